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
from pokeladder.store.merging import GRACE_SECONDS


@click.command(epilog="Example: pokeladder check --repair")
@click.option("--repair", is_flag=True, help="Set aside what is broken and what is left over, and say what it cost.")
@click.pass_context
def check(context: click.Context, repair: bool) -> None:
    """Read every file of the store whole, and see whether what refers to each other is there.

    --repair moves what is broken, and what refers to it, to the folder set-aside of the store, and deletes nothing.
    Runs that another process is playing are left alone.

    Exit status 1 if something is broken, and was not set aside.
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
        for cost in checked.costs or ["nothing that a question shows is lost"]:
            say(f"cost: {cost}")
    elif not checked.faults:
        click.echo(_summary(checked))
    if checked.leftovers and not repair:
        left_over = counted(len({fault.file for fault in checked.leftovers}), "file")
        click.echo(
            f"note: {left_over} or parts of them refer to no battle, as a killed process leaves them: --repair "
            "sets them aside"
        )
    for run_id in checked.left_alone:
        click.echo(f"left alone: run {run_id or 'none'}, which another process is playing: repair it when that ends")
    if left:
        remedy = "run the same again when that ends" if repair else "`pokeladder check --repair` sets aside what is"
        raise StoreError(f"{counted(left, 'file')} broken, see above: {remedy}")


@click.command(epilog="Example: pokeladder compact")
@click.option(
    "--grace",
    type=Finite(min=0),
    default=GRACE_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long the old files stay for queries that are under way.",
)
@click.pass_context
def compact(context: click.Context, grace: float) -> None:
    """Merge the small files of each run into few large ones, while others read.

    Old files go when they have been merged for --grace seconds and this command runs again. Runs that another process
    is playing are left alone.

    Exit status 1 if a file is broken; the files of its run stay as they are, and the others are merged.
    """
    with FileBar("Merged") as bar:
        done = opened(context, hint=False).compact(grace=grace, watch=bar.watch)
    if done.merged:
        click.echo(f"Merged {counted(done.merged, 'file')} into {done.made:,}.")
    if done.removed:
        click.echo(f"Removed {counted(done.removed, 'file')} that had been merged before.")
    if not (done.merged or done.removed or done.kept or done.broken):
        click.echo("There is nothing to merge.")
    if done.kept:
        size, minutes = done.kept_bytes / 1e6, counted(ceil(done.kept_seconds / 60), "minute")
        click.echo(
            f"{counted(done.kept, 'old file')} ({size:,.1f} MB) stay for queries that are under way: the same command "
            f"removes them in {minutes}."
        )
    for run_id, reason in done.skipped.items():
        say(f"left alone: run {run_id}: {reason}")
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
