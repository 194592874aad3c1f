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
    help="Agent that played under a user name; repeatable.  [default: the user name]",
)
@click.pass_context
def ingest(context: click.Context, /, paths: tuple[str, ...], renames: tuple[str, ...]) -> None:
    """Add trajectories and battle logs that metamon has written.

    Each PATH is a file (.json.lz4, .json or battle_log_*.csv) or a folder, which is searched: trajectories, the results
    of an old tournament, or a set of human replays. Trajectories that the store has are skipped, so that a growing
    folder can be ingested repeatedly. They are recognised by content, whatever the file's name; those with less than 10
    steps by name, too, since several battles may have equal content.

    The two perspectives of a battle, and the rows of both players' logs, become one battle, matched by names, results,
    time and content. Ambiguous pairs are kept as two battles, with a warning.

    An old tournament_results.json gives the models of user names. Other JSON files are skipped.

    \b
    Exit status 1 if files are broken; they are listed, and the others are added. Files of more
    than 256 MiB, compressed or not, are not read.
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
        say(f"Skipped {counted(len(added.others), 'JSON file')} without a trajectory: {listed}{more}", err=True)
    if added.unsure is not None:
        number, player, opponent = added.unsure
        say(
            f"warning: {number} perspectives match several others and are kept as battles of their own, for example "
            f"{player} against {opponent}: such battles may count twice.",
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
