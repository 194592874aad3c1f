"""Progress on the screen while battles are played, or files read and written."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from pokeladder.cli.output import console, say
from pokeladder.cli.tables import STANDINGS_COLUMNS, drawn
from pokeladder.ladder import Ladder, Slice
from pokeladder.names import shown
from pokeladder.progress import FileProgress
from pokeladder.runs.progress import Progress

# Standings are computed again after this multiple of the last computation's time.
STANDINGS_SHARE = 20
STANDINGS_SECONDS = 1.0
LINE_SECONDS = 10.0
# Size of a run from which on disk space and memory are shown.
SMALL_MEGABYTES = 10


class _Screen:
    """On a terminal a line, a bar and a table; elsewhere a line every ten seconds. All on stderr."""

    def __init__(self) -> None:
        self._console = console(stderr=True)
        self._live: Live | None = None
        self._line_due = time.monotonic() + LINE_SECONDS
        self._said = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.update(Text(""))
            self._live.stop()

    def _show(self, line: str, done: int, total: int, *below: RenderableType, at_once: bool = False) -> None:
        now = time.monotonic()
        if self._console.is_terminal:
            if self._live is None:
                self._live = Live(console=self._console, auto_refresh=False)
                self._live.start()
            bar = ProgressBar(total=total, completed=done, width=40)
            self._live.update(Group(Text(line), bar, *below), refresh=True)
        elif (now >= self._line_due or at_once) and line != self._said:
            self._line_due = now + LINE_SECONDS
            self._said = line
            say(line, err=True)


class Display(_Screen):
    """Live progress and standings of a tournament."""

    def __init__(self, ladder: Ladder) -> None:
        super().__init__()
        self._ladder = ladder
        self._standings: RenderableType = Text("")
        self._standings_due = 0.0
        self._stored = 0
        self._finished = False
        self._seed_told = False

    def notify(self, line: str) -> None:
        if self._live is not None:
            self._live.console.print(shown(line, "\n\t"), markup=False)
        else:
            say(line, err=True)

    def watch(self, progress: Progress) -> None:
        # The end of a run takes some time; the last line is printed once.
        if self._finished:
            return
        if progress.drawn_seed is not None and progress.played + progress.void and not self._seed_told:
            self._seed_told = True
            seed = progress.drawn_seed
            self.notify(f"Seed {seed} was drawn: play the same battles again with --seed {seed}.")
        if self._console.is_terminal:
            self._refresh_standings(progress, time.monotonic())
        done, total = progress.stored, progress.scheduled
        self._finished = done == total
        self._show(describe(progress), done, total, Text(""), self._standings, at_once=self._finished)

    def _refresh_standings(self, progress: Progress, now: float) -> None:
        if progress.stored == self._stored or now < self._standings_due:
            return
        self._stored = progress.stored
        slice_: Slice = {"run": progress.run_id}
        marked = self._ladder.overview(**slice_).invalid_rates
        self._standings = drawn(self._ladder.elo(**slice_), STANDINGS_COLUMNS, marked)
        took = time.monotonic() - now
        self._standings_due = now + max(STANDINGS_SECONDS, STANDINGS_SHARE * took)


def describe(progress: Progress) -> str:
    """Progress in a line: battles, rate, time left, disk space and memory of a long run, void battles."""
    line = f"{progress.stored}/{progress.scheduled} battles"
    if progress.played:
        rate = progress.played / progress.seconds
        line += f", {rate:.1f} battles/s"
        missing = progress.scheduled - progress.stored
        if missing:
            line += f", {_duration(missing / rate)} left"
            disk, expected = progress.use.disk / 1e6, (progress.disk_expected or 0) / 1e6
            if expected > SMALL_MEGABYTES:
                line += f", {disk:,.0f} of {expected:,.0f} MB on disk, {progress.use.memory / 1e6:,.0f} MB of memory"
        else:
            line += f", {_duration(progress.seconds)} in all"
    if progress.void:
        line += f", {progress.void} void"
    if progress.unrecorded:
        line += f", {progress.unrecorded} trajectories not recorded"
    return line


class FileBar(_Screen):
    """A bar over files, with rate and time left."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self._what = what

    def watch(self, progress: FileProgress) -> None:
        done, files, seconds = progress.done, progress.files, progress.seconds
        line = f"{self._what}: {done:,} of {files:,} files"
        if done and seconds > 0:
            line += f", {done / seconds:,.0f} files/s"
            if done < files:
                line += f", {_duration((files - done) * seconds / done)} left"
        self._show(line, done, max(files, 1))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
