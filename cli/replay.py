"""``replay``."""

from __future__ import annotations

from pathlib import Path

import click

from pokeladder.cli.options import opened
from pokeladder.cli.output import print_data, say
from pokeladder.errors import SimulatorError, StoreError
from pokeladder.records import Side
from pokeladder.runs.replays import Replay
from pokeladder.store.files import checked_output


@click.command(epilog="Example: pokeladder replay 20261122-181500-0a1b-000012 --html battle.html")
@click.argument("battle_id")
@click.option(
    "--html",
    "page",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a page that shows the battle in Showdown's replay viewer, instead of printing its log.",
)
@click.pass_context
def replay(context: click.Context, battle_id: str, page: Path | None) -> None:
    """Play a stored battle again in a fresh simulator and print its log.

    Exit status 1 if winner or turns differ from those in the store.
    """
    if page is not None:
        checked_output(page)
    played = opened(context).replay(battle_id, notify=lambda line: say(line, err=True))
    if page is None:
        print_data(played.log)
    else:
        try:
            page.write_text(played.page(), encoding="utf-8")
        except OSError as error:
            raise StoreError(f"cannot write {page}: {error}; name another file with --html") from error
        say(f"Wrote {page}: open it in a browser (it loads the viewer from Showdown's site).", err=True)
    stored = _story(played, played.winner, played.turns)
    replayed = _story(played, played.replayed_winner, played.replayed_turns)
    if not played.agrees:
        raise SimulatorError(
            f"the replay of {battle_id} differs: {stored} in the store, {replayed} in the replay; check whether the "
            "battle was played on another version of Showdown (showdown_version in battles)"
        )
    say(f"The replay agrees with the store: {replayed}.", err=True)


def _story(played: Replay, winner: Side | None, turns: int) -> str:
    if winner is None:
        return f"a tie after {turns} turns"
    return f"{played.p1 if winner == 'p1' else played.p2} ({winner}) won after {turns} turns"
