"""``check`` and ``compact``."""

from __future__ import annotations

from math import ceil

import click

from pokeladder.cli.numbers import Finite
from pokeladder.cli.options import opened
from pokeladder.cli.output import counted, say
from pokeladder.cli.progress import FileBar
from pokeladder.errors import StoreError
from pokeladder.store.examination import Checked, Fault
from pokeladder.store.files import GRACE_SECONDS


@click.command(epilog="Example: pokeladder check --repair")
@click.option("--repair", is_flag=True, help="Set aside broken and left-over files, and list the losses.")
@click.pass_context
def check(context: click.Context, repair: bool) -> None:
    """Read every file of the store completely, and find references to rows that are missing.

    --repair moves broken files, and rows that refer to them, to the folder set-aside of the store. It deletes nothing,
    and skips runs that another process is playing.

    Exit status 1 if something is broken and was not set aside.
    """
    ladder = opened(context, hint=False)
    with FileBar("Checked") as bar:
        checked = ladder.check(repair=repair, watch=bar.watch)
    for fault in checked.faults:
        say(f"broken: {_told(fault)}")
    for fault in checked.leftovers if repair else ():
        say(f"left over: {_told(fault)}")
    for note in checked.notes:
        say(f"note: {note}")
    left = len({fault.file for fault in checked.faults if not repair or fault.run_id in checked.left_alone})
    if checked.set_aside is not None:
        say(f"Set aside in {checked.set_aside}.")
        for cost in checked.costs or ["nothing"]:
            say(f"lost: {cost}")
    elif not checked.faults:
        click.echo(_summary(checked))
    if checked.leftovers and not repair:
        left_over = counted(len({fault.file for fault in checked.leftovers}), "file")
        click.echo(
            f"note: {left_over} or parts of them belong to no battle, as after a kill: set them aside with --repair"
        )
    for run_id in checked.left_alone:
        click.echo(f"skipped: run {run_id or 'none'}, which another process is playing: repair it when that has ended")
    if left:
        remedy = "repair again when that has ended" if repair else "set them aside with `pokeladder check --repair`"
        raise StoreError(f"{counted(left, 'file')} broken, as listed above: {remedy}")


@click.command(epilog="Example: pokeladder compact")
@click.option(
    "--grace",
    type=Finite(min=0),
    default=GRACE_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="Seconds for which old files stay for queries that have listed them.",
)
@click.pass_context
def compact(context: click.Context, grace: float) -> None:
    """Merge the small files of each run into a few large ones; readers are not disturbed.

    Old files are removed when this command runs again after --grace seconds. Runs that another process is playing are
    skipped.

    Exit status 1 if a file is broken; the files of its run are not merged, and the others are.
    """
    with FileBar("Merged") as bar:
        done = opened(context, hint=False).compact(grace=grace, watch=bar.watch)
    if done.merged:
        click.echo(f"Merged {counted(done.merged, 'file')} into {done.made:,}.")
    if done.removed:
        click.echo(f"Removed {counted(done.removed, 'file')} that were merged before.")
    if not (done.merged or done.removed or done.kept or done.broken):
        click.echo("There is nothing to merge.")
    if done.kept:
        size, minutes = done.kept_bytes / 1e6, counted(ceil(done.kept_seconds / 60), "minute")
        click.echo(
            f"{counted(done.kept, 'old file')} ({size:,.1f} MB) stay for running queries: run the same command after "
            f"{minutes} to remove them."
        )
    for run_id, reason in done.skipped.items():
        say(f"skipped: run {run_id}: {reason}")
    if done.broken:
        raise StoreError("; ".join(done.broken))


def _told(fault: Fault) -> str:
    rows = "" if fault.rows is None else f"{fault.rows:,} rows: "
    return f"{fault.file}: {rows}{fault.reason}"


def _summary(checked: Checked) -> str:
    numbers = (
        f"{counted(checked.files, 'file')} ({checked.size / 1e6:,.1f} MB)",
        counted(checked.battles, "battle"),
        counted(checked.trajectories, "trajectory", "trajectories"),
        counted(checked.documents, "document"),
        counted(checked.runs, "run"),
    )
    return f"{', '.join(numbers)}: nothing is broken."
