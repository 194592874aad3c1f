from __future__ import annotations

import csv
import itertools
import random
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import vl_convert

import browser
import pokeladder
from pokeladder.errors import UsageError
from pokeladder.report import charts
from stores import Game, asked, battle, connect, fill, played

Cli = Callable[..., subprocess.CompletedProcess[str]]
CHARTS = tuple(charts.CHARTS.values())
PICTURES = ("elo_rankings", "elo_progression", "winrate_heatmap", "statistics_comparison")
ODD = [
    'a "b" <i>x</i>',
    "</script><script>alert(1)</script>",
    "$about ${standings}",
    "O'Neil & co",
    "null",
    "é_ß",
    "a.b[0]",
]


def games_of(agents: Sequence[str], rounds: int) -> list[Game]:
    """Every two agents meet so often; the first ones are the stronger."""
    seed = random.Random(7)
    return [
        (one, two, seed.choice([1, 1, 1, 0.5, 0]), None)
        for one, two in itertools.combinations(agents, 2)
        for _ in range(rounds)
    ]


def ladder_of(folder: Path, games: Sequence[Game]) -> pokeladder.Ladder:
    fill(folder, played(games))
    return pokeladder.open(folder)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> pokeladder.Ladder:
    """Names that are hard to write down."""
    return ladder_of(tmp_path_factory.mktemp("odd"), games_of(ODD, 6))


# What no name may have, but names of stores that are older than that rule; and what has two halves in JavaScript.
HARMFUL = ["a\x1b[31mb", "x\u2028y", "z\ufffe", "tab\tnl\nq", "bi\u202edi", "\x9b31m", "nul\x00", "\U0001f600" * 60]


def test_names_that_would_end_the_process_that_draws(cli: Cli, tmp_path: Path) -> None:
    ladder_of(tmp_path / "ladder", games_of(HARMFUL, 2))
    shown = cli("report", "--output-dir", "out")
    assert shown.returncode == 0, shown.stderr
    for text in ((tmp_path / "out" / "index.html").read_text(), cli("matchups").stdout):
        assert r"a\x1b[31mb" in text.replace("\\\\", "\\")
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202e\ufffe]", text)


def test_every_file(odd: pokeladder.Ladder, tmp_path: Path) -> None:
    seen: list[Path] = []
    written = odd.report(tmp_path / "out", watch=seen.append)
    names = [*(f"{name}.png" for name in PICTURES), "tournament_summary.csv", "index.html"]
    assert [path.name for path in written] == names
    assert seen == written
    for name in PICTURES:
        content = (tmp_path / "out" / f"{name}.png").read_bytes()
        assert content.startswith(b"\x89PNG")
        assert len(content) > 10_000
    with (tmp_path / "out" / "tournament_summary.csv").open(newline="") as file:
        summary = list(csv.DictReader(file))
    ratings = {row["agent"]: row for row in asked(odd.ratings())}
    elo = {row["agent"]: row["elo"] for row in asked(odd.elo())}
    assert {row["agent"] for row in summary} == set(ODD)
    assert [int(row["place"]) for row in summary] == list(range(1, 8))
    for row in summary:
        assert float(row["rating"]) == pytest.approx(ratings[row["agent"]]["rating"])
        assert float(row["elo"]) == pytest.approx(elo[row["agent"]])
        assert int(row["games"]) == 36


def test_other_kinds(odd: pokeladder.Ladder, tmp_path: Path) -> None:
    odd.report(tmp_path, kinds=["svg", "pdf"])
    for name in PICTURES:
        assert (tmp_path / f"{name}.svg").read_text().startswith("<svg")
        assert (tmp_path / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert not (tmp_path / f"{name}.png").exists()


def drawn(chart: Any) -> list[str]:
    """Texts of a chart."""
    svg = vl_convert.vegalite_to_svg(chart.to_dict())
    return [re.sub(r"&(lt|gt|amp);", lambda m: {"lt": "<", "gt": ">", "amp": "&"}[m[1]], text)
            for text in re.findall(r"<(?:text|tspan)[^>]*>([^<]+)</", svg)]  # fmt: skip


def test_what_charts_say(tmp_path: Path) -> None:
    agents = [f"agent {number}" for number in range(40)]
    ladder = ladder_of(tmp_path / "forty", games_of(agents, 2))
    connection = connect(ladder.store)
    texts = {chart: drawn(chart(connection)) for chart in CHARTS}
    for chart, found in texts.items():
        assert all(agent in " ".join(found) for agent in agents), chart
    order = [text for text in texts[charts.rankings] if text in agents]
    assert order == [row["agent"] for row in asked(ladder.ratings())]
    progression = re.sub(r"\s+", " ", " ".join(texts[charts.progression]))
    for row in asked(ladder.elo()):
        assert f"{row['elo']:.0f} {row['agent']}" in progression


def test_the_heatmap_tells_scores_intervals_and_counts(tmp_path: Path) -> None:
    games: list[Game] = [("a", "b", 1, None)] * 3 + [("a", "b", 0, None)]
    texts = drawn(charts.heatmap(connect(ladder_of(tmp_path / "s", games).store)))
    assert {"75%", "25%", "30 to 95", "5 to 70", "of 4"} <= set(texts)


def test_little_to_show(tmp_path: Path) -> None:
    empty = connect(ladder_of(tmp_path / "empty", []).store)
    for chart in CHARTS:
        assert "Nothing to show yet." in drawn(chart(empty))
    one = connect(ladder_of(tmp_path / "one", [("a", "b", 1, None)]).store)
    assert "No comparable rating: a (unbeaten), b (winless)" in drawn(charts.rankings(one))
    for chart in CHARTS[1:]:
        texts = " ".join(drawn(chart(one)))
        assert "a" in texts
        assert "Nothing to show yet." not in texts
    ladder_of(tmp_path / "empty", []).report(tmp_path / "out")
    assert "No rated battles yet." in (tmp_path / "out" / "index.html").read_text()


def test_many_battles_make_few_points(tmp_path: Path) -> None:
    seed = random.Random(3)
    games: list[Game] = [(*seed.sample("abcdef", 2), seed.choice([0, 1]), None) for _ in range(3000)]
    ladder = ladder_of(tmp_path / "many", games)
    lines = charts.progression(connect(ladder.store)).to_dict()["datasets"]
    points = max(lines.values(), key=len) if lines else []
    assert len(points) <= 480 + 6
    last = {row["agent"]: row["final"] for row in points if row["is_last"]}
    assert last == pytest.approx({row["agent"]: row["elo"] for row in asked(ladder.elo())})


def test_a_line_begins_with_the_first_battle(tmp_path: Path) -> None:
    games: list[Game] = [("a", "b", 1, None)] * 6 + [("a", "c", 0, None)] * 3
    lines = charts.progression(connect(ladder_of(tmp_path / "s", games).store)).to_dict()["datasets"]
    rows = max(lines.values(), key=len)
    paths = {agent: [(row["seq"], row["elo"]) for row in rows if row["agent"] == agent] for agent in "abc"}
    assert paths["b"][0] == (0, 1500)
    assert paths["c"][0] == (6, 1500)
    assert [seq for seq, _ in paths["c"]] == [6, 7, 8, 9]


@pytest.mark.parametrize("number", [7, 40])
def test_names_of_lines_that_end_close_to_each_other(tmp_path: Path, number: int) -> None:
    names = [f"agent {place:02}" for place in range(number)]
    pairs = [*zip(names[::2], names[1::2], strict=False)]
    games: list[Game] = [(*pair, score, None) for pair in pairs for score in [1] * 20 + [0] * 10]
    svg = vl_convert.vegalite_to_svg(charts.progression(connect(ladder_of(tmp_path / "s", games).store)).to_dict())
    heights = sorted(float(y) for y in re.findall(r'translate\([\d.]+,([\d.]+)\)"[^>]*>\d+  agent', svg))
    assert len(heights) == number // 2 * 2
    assert min(below - above for above, below in itertools.pairwise(heights)) > 11, "the size of the letters"


def test_charts_for_notebooks(odd: pokeladder.Ladder) -> None:
    for name in charts.CHARTS:
        assert odd.chart(name, agents=ODD[:2]).to_dict()["$schema"]
    assert set(drawn(odd.chart("rankings", agents=ODD[:2]))) >= set(ODD[:2])
    with pytest.raises(UsageError, match="there is no chart pie: choose one of rankings, progression"):
        odd.chart("pie")


def test_several_formats(tmp_path: Path) -> None:
    fill(tmp_path / "s", [battle(0, "a", "b", "p1"), battle(1, "a", "b", "p2", format="gen2ou")])
    ladder = pokeladder.open(tmp_path / "s")
    with pytest.raises(UsageError, match="the store holds gen1ou, gen2ou: choose one with --battle-format"):
        ladder.report(tmp_path / "out")
    ladder.report(tmp_path / "out", battle_format="gen2ou")
    assert "gen2ou: 1 battles of 2 agents" in (tmp_path / "out" / "index.html").read_text()


def test_the_command(cli: Cli, tmp_path: Path) -> None:
    fill(tmp_path / "s", played(games_of("abc", 3)))
    shown = cli("--store", "s", "report", "--output-dir", "out", "--to", "svg")
    assert (shown.returncode, shown.stdout) == (0, "")
    names = [*(f"{name}.svg" for name in PICTURES), "tournament_summary.csv", "index.html"]
    assert shown.stderr.splitlines() == [f"Wrote out/{name}" for name in names]
    (tmp_path / "file").write_text("mine")
    failed = cli("--store", "s", "report", "--output-dir", "file/out")
    assert failed.returncode == 1
    assert re.fullmatch(r"Error: cannot write file/out.*; name another folder with --output-dir\n", failed.stderr)


@pytest.mark.skipif(browser.CHROMIUM is None, reason="needs Chromium")
def test_the_page_in_a_browser(odd: pokeladder.Ladder, tmp_path: Path) -> None:
    odd.report(tmp_path / "out")
    with browser.opened(tmp_path / "out" / "index.html", tmp_path / "profile") as page:
        page.wait_for("views.length === 4")
        rows = page.evaluate(
            "[...document.querySelectorAll('#standings tr[data-agent]')].map(row => row.dataset.agent)"
        )
        assert sorted(rows) == sorted(ODD)
        assert page.evaluate("document.querySelectorAll('.chart svg.marks').length") == 4
        # An agent that is chosen in the table stands out in all charts, until it is chosen again.
        page.evaluate("rows[1].click()")
        page.wait_for("views.every(view => view.signal('chosen').length === 1)")
        assert page.evaluate("views[0].signal('chosen')[0]") == rows[1]
        assert page.evaluate("document.querySelectorAll('tr.chosen').length") == 1
        page.evaluate("rows[1].click()")
        page.wait_for("views.every(view => view.signal('chosen').length === 0)")
        # A tooltip over a mark, and choosing by it.
        place = page.evaluate(
            """
            (() => {
                const mark = document.querySelector("#elo_rankings .mark-symbol path");
                mark.scrollIntoView({ block: "center" });
                const { x, y, width, height } = mark.getBoundingClientRect();
                return [x + width / 2, y + height / 2];
            })()
            """
        )
        for shift in (3, 0):
            page.send("Input.dispatchMouseEvent", type="mouseMoved", x=place[0] + shift, y=place[1])
        page.wait_for("document.querySelector('#vg-tooltip-element.visible') !== null")
        told = page.evaluate("document.querySelector('#vg-tooltip-element').innerText")
        assert all(word in told for word in ("Agent", "Rating", "Low", "High"))
        for kind in ("mousePressed", "mouseReleased"):
            page.send("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)
        page.wait_for("views.every(view => view.signal('chosen').length === 1)")
        assert page.complaints == []
        assert [address for address in page.requests if not address.startswith(("file:", "data:", "blob:"))] == []
