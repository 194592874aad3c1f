"""The pictures of a report as altair charts.

Each takes a connection of :func:`pokeladder.query.views.connect` to battles of one format, and shows the rows of the
query ``chart_<name>``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import altair as alt
import duckdb

from pokeladder.names import shown
from pokeladder.query import statements, views

# Okabe and Ito's colours for colour-blind readers, without yellow, which is faint on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MAIN, INK = COLOURS[0], "#333333"
FONT = "Helvetica, Arial, sans-serif"
# Number of points of all lines together.
LINE_POINTS = 480
# Agents chosen on the page; an empty list means all.
CHOSEN = alt.param(name="chosen", value=[])
# Height of a row of an axis and of a line of text, and width of the longest name, in pixels.
ROW, LINE_OF_TEXT, NAME_LIMIT = 20, 15, 160
# Longest name that is never cut; last character that is one unit in JavaScript.
UNCUT, LAST_WHOLE = 8, "\uffff"
Row = dict[str, Any]


def rankings(connection: duckdb.DuckDBPyConnection) -> alt.TopLevelMixin:
    """Ratings with 95% intervals, the strongest agent on top; those without a finite rating are named below."""
    rows = _rows(connection, "chart_rankings")
    rated = [row for row in rows if row["status"] == "rated"]
    others = [f"{row['agent']} ({row['status']})" for row in rows if row["status"] != "rated"]
    title = _title("Ratings", "Bradley-Terry on the Elo scale, mean 1500, with 95% intervals", *_unrated(others))
    names = [row["agent"] for row in rated]
    base = alt.Chart(alt.InlineData(values=rated)).encode(y=_agents(names))
    intervals = base.mark_rule(strokeWidth=3, color=MAIN).encode(
        opacity=_lit(0.45), x=alt.X("low:Q", title="Rating").scale(zero=False, nice=True).axis(format="d"), x2="high:Q"
    )
    points = base.mark_point(filled=True, size=70, color=MAIN).encode(
        x="rating:Q",
        opacity=_lit(),
        tooltip=_tooltips(agent="Agent", rating="Rating", low="Low", high="High", rank="Rank", games="Games"),
    )
    numbers = base.mark_text(dy=-9, fontSize=10, color=INK).encode(
        x="rating:Q", text=alt.Text("rating:Q", format=".0f")
    )
    height = len(rated) * (ROW + 8)
    return _finished(alt.layer(intervals, points, numbers), title, 560, height, empty=not rated)


def progression(
    connection: duckdb.DuckDBPyConnection, k_factor: float = 32.0, initial_rating: float = 1500.0
) -> alt.TopLevelMixin:
    """Sequential Elo over the battles of the format: a line for each agent, with its name at the end."""
    views.progression(connection, k_factor, initial_rating)
    rows = _rows(connection, "chart_progression", {"initial": initial_rating, "points": LINE_POINTS})
    last = [row for row in rows if row["is_last"]]
    height = max(320, len(last) * LINE_OF_TEXT)
    _place_labels(last, [row["elo"] for row in rows], height)
    end = max((row["seq"] for row in rows), default=1)
    names = [row["agent"] for row in last]
    colours = alt.Color("agent:N", legend=None).scale(
        domain=names, range=[COLOURS[number % len(COLOURS)] for number in range(len(names))]
    )
    y = alt.Y("elo:Q", title="Elo").scale(zero=False, nice=True).axis(format="d")
    lines = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_line(strokeWidth=1.6)
        .encode(
            opacity=_lit(0.9),
            x=alt.X("seq:Q", title="Battles").scale(domain=[0, end], nice=False).axis(tickMinStep=1, format="~s"),
            y=y,
            color=colours,
            tooltip=_tooltips(agent="Agent", seq="Battles", elo="Elo"),
        )
    )
    labels = (
        alt.Chart(alt.InlineData(values=last))
        .mark_text(align="left", dx=8, fontSize=11, limit=NAME_LIMIT + 40)
        .encode(x=alt.value(560), y=alt.Y("label:Q"), text="name:N", color=colours, opacity=_lit())
    )
    averaged = end + 2 * len(names) > len(rows)
    about = f"K = {k_factor:g}, from {initial_rating:g}, battles in order of finish"
    about += "; lines are means of some battles, figures the last ratings" if averaged else ""
    title = _title("Elo over time", about)
    return _finished(alt.layer(lines, labels), title, 560, height, empty=not rows)


def heatmap(connection: duckdb.DuckDBPyConnection) -> alt.TopLevelMixin:
    """Mean score of every agent against every other with the number of battles, the strongest agent first."""
    rows = _rows(connection, "chart_heatmap")
    names = _in_order(rows)
    size = 54 if len(names) <= 12 else max(16, 650 // len(names))
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X("opponent:N", title="Opponent")
        .sort(names)
        .scale(domain=names)
        .axis(orient="top", labelAngle=-40, labelLimit=NAME_LIMIT, labelOverlap=False),
        y=_agents(names),
    )
    cells = base.mark_rect(stroke="white").encode(
        opacity=_lit(also="opponent"),
        color=alt.Color("win_rate:Q", title="Score")
        .scale(domain=[0, 0.5, 1], range=["#b35806", "#f7f7f7", "#2166ac"])
        .legend(format=".0%", gradientLength=150),
        tooltip=_tooltips(
            agent="Agent", opponent="Opponent", win_rate="Score", win_rate_low="Low", win_rate_high="High",
            games="Games", wins="Wins", losses="Losses", ties="Ties",
        ),
    )  # fmt: skip
    layers = [cells]
    roomy = size > 40
    if len(names) <= 25:
        ink = alt.condition("abs(datum.win_rate - 0.5) > 0.37", alt.value("white"), alt.value(INK))
        score = alt.Text("win_rate:Q", format=".0%")
        layers.append(base.mark_text(fontSize=12 if roomy else 9, dy=-11 if roomy else 0).encode(text=score, color=ink))
        if roomy:
            figures = base.transform_calculate(
                interval="format(datum.win_rate_low * 100, '.0f') + ' to ' + format(datum.win_rate_high * 100, '.0f')",
                counted="'of ' + format(datum.games, ',')",
            )
            for field, down in (("interval:N", 3), ("counted:N", 15)):
                layers.append(figures.mark_text(fontSize=9, dy=down).encode(text=field, color=ink))
    about = ["Mean score of the row's agent against the column's, a tie being half"]
    if roomy:
        about.append("Below it its 95% interval, and the number of battles")
    width = size * len(names)
    return _finished(alt.layer(*layers), _title("Who beats whom", *about), width, width, empty=not rows)


def statistics(connection: duckdb.DuckDBPyConnection) -> alt.TopLevelMixin:
    """Statistics of the agents, a small chart for each; agents in the order of the rankings."""
    rows = _rows(connection, "chart_statistics")
    names = _in_order(rows)
    title = _title("Statistics", "Win rates with 95% intervals; forfeits and invalid choices as shares")
    if not rows:
        return _finished(alt.layer(), title, 0, 0, empty=True)
    charts = []
    for number, statistic in enumerate(dict.fromkeys(row["statistic"] for row in rows)):
        shown = [row for row in rows if row["statistic"] == statistic]
        share = statistic in ("Win rate", "Invalid choices", "Forfeits")
        axis = alt.Axis(format=".1~%" if share else "~s", tickCount=4, grid=True)
        x = alt.X("value:Q", title=None, axis=axis)
        largest = max((row["value"] for row in shown if row["value"] is not None), default=0)
        if statistic == "Win rate":
            x = x.scale(domain=[0, 1])
        elif largest == 0:
            x = x.scale(domain=[0, 0.01 if share else 1])
        base = alt.Chart(alt.InlineData(values=shown)).encode(y=_agents(names, labels=number % 3 == 0))
        layers = [
            base.mark_bar(color=MAIN, height={"band": 0.7}).encode(
                opacity=_lit(0.8), x=x, tooltip=_tooltips(agent="Agent", value=statistic)
            )
        ]
        if statistic == "Win rate":
            layers.append(base.mark_rule(color=INK, strokeWidth=1.5).encode(x="low:Q", x2="high:Q"))
        charts.append(
            alt.layer(*layers).properties(
                width=190, height=max(1, len(names)) * ROW, title=alt.Title(statistic, anchor="start", fontSize=12)
            )
        )
    return _configured(alt.concat(*charts, columns=3, spacing=24).properties(title=title))


def _rows(connection: duckdb.DuckDBPyConnection, query: str, parameters: Row | None = None) -> list[Row]:
    return [with_names_drawn(row) for row in statements.rows(connection, query, parameters)]


def with_names_drawn(row: Row) -> Row:
    """A row with names of agents that can be drawn.

    Control characters, which old stores may have in names, end the drawing process. The renderer cuts long names, maybe
    inside a character of two units such as an emoji, and then refuses them: in long names such characters are escaped.
    """
    names: Row = {column: shown(row[column]) for column in ("agent", "opponent") if column in row}
    for column, name in names.items():
        if len(name) > UNCUT and max(name) > LAST_WHOLE:
            names[column] = "".join(char if char <= LAST_WHOLE else f"\\U{ord(char):08x}" for char in name)
    return {**row, **names}


def _lit(opacity: float = 1.0, also: str = "agent") -> Any:
    """The opacity, low for agents that are not chosen."""
    chosen = f"!length(chosen) || indexof(chosen, datum.agent) >= 0 || indexof(chosen, datum.{also}) >= 0"
    return alt.condition(chosen, alt.value(opacity), alt.value(0.12))


def _in_order(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["agent"] for row in rows))


def _agents(names: Sequence[str], *, labels: bool = True) -> alt.Y:
    axis = alt.Axis(labelLimit=NAME_LIMIT, labels=labels, ticks=False, domain=False, labelOverlap=False)
    return alt.Y("agent:N", title=None, axis=axis).sort(list(names)).scale(domain=list(names))


def _tooltips(**titles: str) -> list[alt.Tooltip]:
    numbers = {"rating": ".1f", "elo": ".1f", "value": ".4~g"}
    numbers |= dict.fromkeys(("win_rate", "win_rate_low", "win_rate_high"), ".1%")
    return [
        alt.Tooltip(name, type="nominal", title=title)
        if name in ("agent", "opponent")
        else alt.Tooltip(name, type="quantitative", title=title, format=numbers.get(name, ",.0f"))
        for name, title in titles.items()
    ]


def _place_labels(last: Sequence[Row], drawn: Sequence[float], height: float) -> None:
    """Sets the heights of names so that they do not overlap.

    Names stay within ``drawn``, the ratings on the axis, so that they do not extend it.
    """
    if not last:
        return
    lowest = min(drawn)
    room = (max(drawn) - lowest or 1) / height * LINE_OF_TEXT
    ordered = sorted(last, key=lambda row: -row["elo"])
    ceiling = float("inf")
    for row in ordered:
        row["label"] = min(row["elo"], ceiling)
        row["name"] = f"{row['final']:.0f}  {row['agent']}"
        ceiling = row["label"] - room
    for number, row in enumerate(reversed(ordered)):
        row["label"] = max(row["label"], lowest + number * room)


def _unrated(agents: Sequence[str]) -> list[str]:
    if not agents:
        return []
    more = f" and {len(agents) - 4} more" if len(agents) > 4 else ""
    return [f"No comparable rating: {', '.join(agents[:4])}{more}"]


def _title(text: str, *about: str) -> alt.Title:
    return alt.Title(text, subtitle=list(about), anchor="start", fontSize=16, subtitleFontSize=12, offset=14)


def _finished(chart: Any, title: alt.Title, width: float, height: float, *, empty: bool) -> alt.TopLevelMixin:
    if empty:
        nothing = alt.Chart(alt.InlineData(values=[{}])).mark_text(text="Nothing to show yet.", fontSize=13, color=INK)
        return _configured(nothing.properties(title=title, width=560, height=60))
    return _configured(chart.properties(title=title, width=width, height=height))


def _configured(chart: Any) -> alt.TopLevelMixin:
    configured: alt.TopLevelMixin = (
        chart.add_params(CHOSEN)
        .configure(background="white", font=FONT, padding=16)
        .configure_view(stroke=None)
        .configure_axis(labelFontSize=11, titleFontSize=12, gridColor="#e6e6e6", labelColor=INK, titleColor=INK)
        .configure_title(color=INK, subtitleColor="#555555")
    )
    return configured


CHARTS: Mapping[str, Callable[[duckdb.DuckDBPyConnection], alt.TopLevelMixin]] = {
    "rankings": rankings,
    "progression": progression,
    "heatmap": heatmap,
    "statistics": statistics,
}
