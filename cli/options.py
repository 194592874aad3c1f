"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import reduce
from pathlib import Path
from typing import Any, get_args

import click

from pokeladder.cli.numbers import Finite
from pokeladder.ladder import Ladder, Slice, open_ladder
from pokeladder.runs.settings import PlaySettings, Venue

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
# Number of spare files from which on queries take several times as long.
MANY_FILES = 1000


def opened(context: click.Context, *, create: bool = False, hint: bool = True) -> Ladder:
    """The store that ``--store`` names.

    Args:
        hint: whether to print a hint if the store has too many small files.
    """
    ladder = open_ladder(context.obj, create=create)
    if hint and not create and (spare := ladder.store.spare_files()) >= MANY_FILES:
        click.echo(
            f"The store has {spare:,} more small files than needed, which slows down every query: merge them with "
            "`pokeladder compact`.",
            err=True,
        )
    return ladder


def slice_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of a slice of the battles."""
    options: list[Decorator] = [
        click.option("--battle-format", metavar="FORMAT", help="Only battles of this format."),
        click.option("--run", metavar="RUN_ID", help="Only battles of this run."),
        click.option(
            "--agent", "agents", metavar="NAME", multiple=True, help="Only battles between such agents; repeatable."
        ),
        click.option("--where", metavar="SQL", help="Only battles that meet this condition over their columns."),
    ]
    return _with(command, options)


def play_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of :class:`~pokeladder.runs.settings.PlaySettings`, except ``--parallel``."""
    return _with(command, PLAY_OPTIONS)


def _with(command: Callable[..., Any], options: Sequence[Decorator]) -> Callable[..., Any]:
    return reduce(lambda decorated, option: option(decorated), reversed(options), command)


def slice_of(
    battle_format: str | None, run: str | None, agents: tuple[str, ...], where: str | None, by_version: bool = False
) -> Slice:
    """The options as keywords of :class:`pokeladder.Ladder` methods."""
    return {
        "battle_format": battle_format,
        "run": run,
        "agents": list(agents) or None,
        "where": where,
        "by_version": by_version,
    }


by_version_option = click.option(
    "--by-version", is_flag=True, help="Rate each version of an agent as an agent of its own, NAME#VERSION."
)


def format_option(*choices: str) -> Decorator:
    return click.option(
        "--format", "output", type=click.Choice(choices), default=choices[0], show_default=True, help="Output format."
    )


def _listed(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if value else ()


class RareOption(click.Option):
    """An option that is rarely needed."""


class PlayCommand(click.Command):
    """A command that shows each :class:`RareOption` under a separate heading."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        shown = {False: list[tuple[str, str]](), True: list[tuple[str, str]]()}
        for parameter in self.get_params(ctx):
            if isinstance(parameter, click.Option) and (record := parameter.get_help_record(ctx)) is not None:
                shown[isinstance(parameter, RareOption)].append(record)
        for rare, records in shown.items():
            with formatter.section("Rarely needed" if rare else "Options"):
                formatter.write_dl(records)


def _play_option(name: str, *, rare: bool = False, **attributes: Any) -> Decorator:
    """An option with the name and the default of a setting."""
    if rare:
        attributes["cls"] = RareOption
    default = DEFAULTS[name.removeprefix("--").partition("/")[0].replace("-", "_")]
    if default not in (None, ()) and not attributes.get("is_flag"):
        attributes |= {"default": default, "show_default": True}
    return click.option(name, **attributes)


DEFAULTS = {setting.name: setting.default for setting in fields(PlaySettings)}
PLAY_OPTIONS: tuple[Decorator, ...] = (
    _play_option("--battle-format", help="Any singles format of Showdown."),
    _play_option("--team-set", help="A built-in set, one under $METAMON_CACHE_DIR/teams, or a path."),
    _play_option("--seed", type=int, help="Seed of teams and battles.  [default: a drawn one, which is printed]"),
    _play_option(
        "--workers",
        type=click.IntRange(min=1),
        help="Playing processes; on a server, simulating ones.  [default: one for each core]",
    ),
    _play_option(
        "--ray", rare=True, metavar="ADDRESS", help="Play on this Ray cluster: auto, HOST:PORT or ray://HOST:PORT."
    ),
    _play_option(
        "--simulators",
        rare=True,
        type=click.IntRange(min=1),
        help="Simulator processes of each worker, for agents that choose in batches.",
    ),
    _play_option(
        "--turn-timeout", rare=True, type=Finite(min=0, min_open=True), help="Time limit of a decision in seconds."
    ),
    _play_option(
        "--max-invalid",
        rare=True,
        type=click.IntRange(min=1),
        help="Number of invalid decisions in a battle after which an agent forfeits.",
    ),
    _play_option(
        "--max-timeouts",
        rare=True,
        type=click.IntRange(min=1),
        help="Number of time-outs in a battle after which an agent forfeits.",
    ),
    _play_option("--trajectories/--no-trajectories", help="Record states and actions of both sides, for training."),
    _play_option(
        "--venue",
        type=click.Choice(get_args(Venue)),
        help="server: each agent plays in a process of its own, on a Showdown server.",
    ),
    _play_option("--server-url", rare=True, metavar="URL", help="Play on this running server."),
    _play_option(
        "--port", rare=True, type=click.IntRange(1, 65535), help="Port of the started server.  [default: a free one]"
    ),
    _play_option(
        "--server-dir",
        rare=True,
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder for the started server's files, with its log of every battle.",
    ),
    _play_option(
        "--battle-backend",
        rare=True,
        type=click.Choice(["poke-env", "metamon", "pokeagent"]),
        help="Battle backend of metamon's agents.",
    ),
    _play_option(
        "--gpus",
        rare=True,
        metavar="0,1,...",
        callback=_listed,
        help="GPUs over which agents' processes are distributed.",
    ),
    _play_option("--resume", is_flag=True, help="Play the missing battles of the latest such run."),
    _play_option(
        "--allow-changed",
        rare=True,
        is_flag=True,
        help="Resume even if an agent's code or weights differ from those in the run.",
    ),
    _play_option(
        "--more",
        type=click.IntRange(min=1),
        metavar="N",
        help="Add N new battles a matchup to the latest finished run of these agents with these settings.",
    ),
)
