"""Plays the missing games of a run, and records them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pokeladder.errors import InterruptedRunError
from pokeladder.play.arena import Arena
from pokeladder.play.messages import Attempt
from pokeladder.records import Notice, Result
from pokeladder.runs.arenas import open_arena
from pokeladder.runs.monitor import Monitor
from pokeladder.runs.preparation import Prepared
from pokeladder.runs.progress import Progress
from pokeladder.store.background_compaction import BackgroundCompactor
from pokeladder.store.files import Store
from pokeladder.store.recorder import Recorder
from pokeladder.store.rows import AgentVersion, Run


@dataclass(frozen=True)
class History:
    """The stored games of a run: those that were played, and the number of void attempts at each."""

    played: frozenset[int]
    voided: Mapping[int, int]


def execute(
    store: Store,
    prepared: Prepared,
    run: Run,
    history: History,
    new_versions: Sequence[AgentVersion],
    *,
    resumed: bool,
) -> Progress:
    """Plays the missing games of a run, whose lock the caller holds.

    Args:
        history: the stored games of the run.
        new_versions: versions of its agents that are not in the store.
        resumed: whether the run is in the store.

    Returns:
        The final progress; ``stored`` is less than ``scheduled`` if battles stayed void after all attempts.

    Raises:
        AgentError, SimulatorError, StoreError, UsageError: the run cannot be played, or not to its end.
        InterruptedRunError: stopped by the user; finished battles are stored.
    """
    session = _Session(store, prepared, run, history, new_versions, begun=resumed)
    try:
        session.play()
        session.watch()
    except KeyboardInterrupt:
        if not session.begun:
            raise InterruptedRunError("stopped before the first battle: there is nothing to resume") from None
        reached = session.progress()
        if reached.stored == reached.scheduled:
            raise InterruptedRunError(f"all battles of run {run.run_id} are stored") from None
        raise InterruptedRunError(
            f"{reached.stored} of {reached.scheduled} battles are stored in run {run.run_id}: "
            f"play the rest with `pokeladder {run.kind} --resume`"
        ) from None
    return session.progress()


class _Session:
    """The part of a run that one call plays.

    Attributes:
        begun: whether the run is in the store.
    """

    def __init__(
        self,
        store: Store,
        prepared: Prepared,
        run: Run,
        history: History,
        new_versions: Sequence[AgentVersion],
        *,
        begun: bool,
    ) -> None:
        self.begun = begun
        self._store = store
        self._prepared = prepared
        self._settings = prepared.plan.settings
        self._run = run
        self._stored = len(history.played)
        self._new_versions = new_versions
        self._games = prepared.games()
        self._missing = [
            Attempt(game, history.voided.get(game.index, 0)) for game in self._games if game.index not in history.played
        ]
        versions = {name: version.digest for name, version in prepared.versions.items()}
        self._recorder = Recorder(store, run, self._games, versions)
        self._monitor = Monitor(store, run.run_id)
        self._compactor = BackgroundCompactor(store, run.run_id, self._settings.notify)
        self._started = time.monotonic()
        self._noticed: set[str] = set()

    def play(self) -> None:
        try:
            if self._missing:
                log_folder = self._store.log_folder(self._run.run_id)
                if self._prepared.plan.venue == "server":
                    self._store.clear_work()
                prepared = self._prepared
                with open_arena(
                    prepared.simulator, prepared.plan, prepared.rules, log_folder, len(self._missing)
                ) as arena:
                    self._compactor.begin()
                    self._record(arena)
            self._compactor.finish()
        except BaseException:
            self._compactor.stop()
            raise
        finally:
            self._compactor.close()

    def progress(self) -> Progress:
        return Progress(
            run_id=self._run.run_id,
            scheduled=len(self._games),
            stored=self._stored + self._recorder.stored,
            played=self._recorder.stored,
            void=self._recorder.void,
            unrecorded=self._recorder.unrecorded,
            seconds=time.monotonic() - self._started,
            use=self._monitor.use,
            drawn_seed=self._settings.seed if self._prepared.seed_drawn else None,
        )

    def watch(self) -> None:
        self._settings.watch(self.progress())

    def _record(self, arena: Arena) -> None:
        try:
            for event in arena.play(self._missing):
                if isinstance(event, Result):
                    self._begin()
                    self._recorder.add(event)
                elif isinstance(event, Notice):
                    self._notify(event)
                else:
                    self._recorder.flush_if_due()
                    self._look()
        finally:
            # First, since closing the arena may take longer than a stopped process has.
            self._recorder.flush()

    def _begin(self) -> None:
        """Stores the run before its first result, so that runs without a result are not stored."""
        if self._new_versions:
            self._store.add_versions(self._new_versions)
            self._new_versions = ()
        if not self.begun:
            self._store.add_run(self._run)
            self.begun = True

    def _notify(self, notice: Notice) -> None:
        if notice.topic not in self._noticed:
            self._settings.notify(f"warning: {notice.text}")
        if notice.topic is not None:
            self._noticed.add(notice.topic)

    def _look(self) -> None:
        if self._monitor.look_if_due():
            self._monitor.require_room(self.progress().disk_expected, self._settings.notify)
        self._compactor.compact_if_due()
        self.watch()
