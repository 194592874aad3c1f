"""What a person sees while battles are played."""

from __future__ import annotations

import time
from types import TracebackType

import click
from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from pokeladder.cli.output import console
from pokeladder.cli.tables import STANDINGS_COLUMNS, drawn
from pokeladder.ladder import Ladder
from pokeladder.tournament import Progress

# Standings are asked for again after this many times what asking took last time.
STANDINGS_SHARE = 20
STANDINGS_SECONDS = 1.0
LINE_SECONDS = 10.0


class Display:
    """Live progress and standings on a terminal; elsewhere a line every ten seconds. All on stderr."""

    def __init__(self, ladder: Ladder) -> None:
        self._ladder = ladder
        self._console = console(stderr=True)
        self._live: Live | None = None
        self._standings: object = Text("")
        self._standings_due = 0.0
        self._line_due = time.monotonic() + LINE_SECONDS
        self._stored = 0

    def __enter__(self) -> Display:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.update(Text(""))
            self._live.stop()

    def notify(self, line: str) -> None:
        if self._live is not None:
            self._live.console.print(line, markup=False)
        else:
            click.echo(line, err=True)

    def watch(self, progress: Progress) -> None:
        now = time.monotonic()
        if self._console.is_terminal:
            if self._live is None:
                self._live = Live(console=self._console, auto_refresh=False)
                self._live.start()
            self._refresh_standings(progress, now)
            bar = ProgressBar(total=progress.scheduled, completed=progress.stored, width=40)
            self._live.update(Group(Text(describe(progress)), bar, Text(""), self._standings), refresh=True)  # type: ignore[arg-type]
        elif now >= self._line_due or progress.stored == progress.scheduled:
            self._line_due = now + LINE_SECONDS
            click.echo(describe(progress), err=True)

    def _refresh_standings(self, progress: Progress, now: float) -> None:
        if progress.stored == self._stored or now < self._standings_due:
            return
        self._stored = progress.stored
        self._standings = drawn(self._ladder.standings(run=progress.run_id), STANDINGS_COLUMNS)
        took = time.monotonic() - now
        self._standings_due = now + max(STANDINGS_SECONDS, STANDINGS_SHARE * took)


def describe(progress: Progress) -> str:
    """Progress in a line: battles, rate, time left, void battles."""
    line = f"{progress.stored}/{progress.scheduled} battles"
    if progress.played:
        rate = progress.played / progress.seconds
        line += f", {rate:.1f} battles/s"
        missing = progress.scheduled - progress.stored
        if missing:
            line += f", {_duration(missing / rate)} left"
        else:
            line += f", {_duration(progress.seconds)} in all"
    if progress.void:
        line += f", {progress.void} void"
    return line


class FileBar:
    """A bar with rate and time left on a terminal; elsewhere a line every ten seconds. On stderr."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._console = console(stderr=True)
        self._live: Live | None = None
        self._line_due = time.monotonic() + LINE_SECONDS

    def __enter__(self) -> FileBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.update(Text(""))
            self._live.stop()

    def watch(self, done: int, files: int, seconds: float) -> None:
        line = f"{self._what}: {done:,} of {files:,} files"
        if done and seconds > 0:
            line += f", {done / seconds:,.0f} files/s"
            if done < files:
                line += f", {_duration((files - done) * seconds / done)} left"
        now = time.monotonic()
        if self._console.is_terminal:
            if self._live is None:
                self._live = Live(console=self._console, auto_refresh=False)
                self._live.start()
            bar = ProgressBar(total=max(files, 1), completed=done, width=40)
            self._live.update(Group(Text(line), bar), refresh=True)
        elif now >= self._line_due:
            self._line_due = now + LINE_SECONDS
            click.echo(line, err=True)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
