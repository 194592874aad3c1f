"""``check`` and ``compact``."""

from __future__ import annotations

import click

from pokeladder.check import Checked, Fault
from pokeladder.cli.options import opened
from pokeladder.cli.progress import FileBar
from pokeladder.compaction import GRACE_SECONDS
from pokeladder.errors import StoreError


@click.command(epilog="Example: pokeladder check --repair")
@click.option("--repair", is_flag=True, help="Set aside what is broken and what is left over, and say what it cost.")
@click.pass_context
def check(context: click.Context, repair: bool) -> None:
    """Read every file of the store whole, and see whether what refers to each other is there.

    --repair moves what is broken, and what refers to it, to the folder set-aside of the store, and deletes nothing. Runs
    that another process is playing are left alone.

    Exit status 1 if something is broken, and was not set aside.
    """
    ladder = opened(context)
    with FileBar("Checked") as bar:
        checked = ladder.check(
            repair=repair, watch=lambda progress: bar.watch(progress.read, progress.files, progress.seconds)
        )
    for fault in checked.faults:
        click.echo(f"broken: {_told(fault)}")
    for fault in checked.leftovers if repair else ():
        click.echo(f"left over: {_told(fault)}")
    for note in checked.notes:
        click.echo(f"note: {note}")
    left = len({fault.file for fault in checked.faults if not repair or fault.run_id in checked.left_alone})
    if checked.set_aside is not None:
        click.echo(f"Set aside in {checked.set_aside}.")
        for cost in checked.costs or ["no battle and no trajectory is lost"]:
            click.echo(f"cost: {cost}")
    elif not checked.faults:
        click.echo(_summary(checked))
    if checked.leftovers and not repair:
        click.echo(
            f"{len({fault.file for fault in checked.leftovers}):,} files or parts of them are left over from processes "
            "that were killed, and not shown: --repair sets them aside"
        )
    for run_id in checked.left_alone:
        click.echo(f"left alone: run {run_id or 'none'}, which another process is playing: repair it when that ends")
    if left:
        remedy = "run the same again when nothing is played" if repair else "`pokeladder check --repair` sets aside"
        files = "1 file is" if left == 1 else f"{left:,} files are"
        raise StoreError(f"{files} broken, see above: {remedy}{'' if repair else ' what is broken'}")


@click.command(epilog="Example: pokeladder compact")
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=GRACE_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long the old files stay for queries that are under way.",
)
@click.pass_context
def compact(context: click.Context, grace: float) -> None:
    """Merge the small files of each run into few large ones, while others read.

    Old files go when they have been merged for --grace seconds and this command runs again. Runs that another process is
    playing are left alone.

    Exit status 1 if a file is broken; the files of its run stay as they are, and the others are merged.
    """
    with FileBar("Merged") as bar:
        done = opened(context).compact(
            grace=grace, watch=lambda progress: bar.watch(progress.merged, progress.files, progress.seconds)
        )
    if done.merged:
        click.echo(f"Merged {done.merged:,} files into {done.made:,}.")
    if done.removed:
        click.echo(f"Removed {done.removed:,} files that were merged before.")
    if not (done.merged or done.removed or done.kept):
        click.echo("There is nothing to merge.")
    if done.kept:
        click.echo(
            f"{done.kept:,} old files ({done.kept_bytes / 1e6:,.1f} MB) stay for queries that are under way: the same "
            f"command removes them in {done.kept_seconds / 60:,.0f} minutes."
        )
    for run_id, reason in done.skipped.items():
        click.echo(f"left alone: run {run_id}: {reason}")
    if done.broken:
        raise StoreError("; ".join(done.broken))


def _told(fault: Fault) -> str:
    rows = "" if fault.rows is None else f"{fault.rows:,} rows: "
    return f"{fault.file}: {rows}{fault.reason}"


def _summary(checked: Checked) -> str:
    return (
        f"{checked.files:,} files ({checked.size / 1e6:,.1f} MB), {checked.battles:,} battles, "
        f"{checked.trajectories:,} trajectories, {checked.documents:,} documents, {checked.runs:,} runs: nothing is broken"
    )
