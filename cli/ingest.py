"""``ingest``."""

from __future__ import annotations

import click

from pokeladder.cli.options import opened
from pokeladder.cli.output import counted, say
from pokeladder.cli.progress import FileBar
from pokeladder.errors import IngestError
from pokeladder.names import RULE, is_name

BROKEN_SHOWN, OTHERS_SHOWN = 20, 3


@click.command(epilog="Example: pokeladder ingest ~/gen1_tournament_results")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path())
@click.option(
    "--rename",
    "renames",
    multiple=True,
    metavar="USERNAME=AGENT",
    help="Which agent played under a user name; repeat it.  [default: they are the same]",
)
@click.pass_context
def ingest(context: click.Context, /, paths: tuple[str, ...], renames: tuple[str, ...]) -> None:
    """Add trajectories and battle logs that metamon has written.

    Each PATH is a file (.json.lz4, .json or battle_log_*.csv) or a folder with all that is under it: a folder of
    trajectories, the whole results of an old tournament, or a set of human replays. What the store has already is left
    out, so that a folder that grows can be ingested again and again: a trajectory is known by its content, whatever
    its file is called; one of less than 10 steps by its name as well, as several battles may have the same.

    The two perspectives of a battle, and the rows of both players' logs, become one battle: by names, results, time
    and content. Where that is not certain they stay two battles, each known from one side, and that is said.

    An old tournament_results.json tells which model played under which user name. Other JSON files that are no
    trajectories are left out.

    \b
    Exit status 1 if files are broken; they are listed, and the rest is added. No file is read
    that has more than 256 MiB, compressed or not.
    """
    agents = dict(_rename(text) for text in renames)
    with FileBar("Read") as bar:
        added = opened(context, create=True).ingest(
            *paths,
            renames=agents,
            watch=bar.watch,
            notify=lambda line: say(line, err=True),
        )
    click.echo(
        f"Added {counted(added.battles, 'battle')} and {counted(added.trajectories, 'trajectory', 'trajectories')}"
        + (f" as run {added.run_id}." if added.run_id else ".")
    )
    if added.half_known:
        click.echo(f"{counted(added.half_known, 'battle is', 'battles are')} known from one side only.")
    if added.already_there:
        were = counted(added.already_there, "file or row was", "files and rows were")
        click.echo(f"{were} in the store already.")
    if added.others:
        more = f" and {len(added.others) - OTHERS_SHOWN} more" if len(added.others) > OTHERS_SHOWN else ""
        listed = ", ".join(added.others[:OTHERS_SHOWN])
        say(f"Left out {counted(len(added.others), 'JSON file')} without a trajectory: {listed}{more}", err=True)
    if added.unsure is not None:
        number, player, opponent = added.unsure
        say(
            f"warning: {number} perspectives may be of battles that others are of as well, and are kept apart; one "
            f"is {player} against {opponent}. Such battles may count twice.",
            err=True,
        )
    for path, reason in added.broken[:BROKEN_SHOWN]:
        say(f"broken: {path}: {reason}", err=True)
    if added.broken:
        rest = len(added.broken) - BROKEN_SHOWN
        more = f", {rest} more of them" if rest > 0 else ""
        raise IngestError(
            f"{counted(len(added.broken), 'file or row', 'files or rows')} could not be read{more}: see above"
        )


def _rename(text: str) -> tuple[str, str]:
    username, equals, agent = text.partition("=")
    if not (username and equals and agent):
        raise click.BadParameter(f"{text!r} is not USERNAME=AGENT", param_hint="--rename")
    if not is_name(agent):
        raise click.BadParameter(f"{agent!r} cannot be an agent's name: {RULE}", param_hint="--rename")
    return username, agent
