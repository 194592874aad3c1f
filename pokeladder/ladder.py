"""The store as an object: plays battles and answers questions. Methods have the names of the commands."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

import duckdb

from pokeladder.errors import QueryError, StoreError, UsageError
from pokeladder.exchange import result_files
from pokeladder.keywords import keywords_of, settings_of
from pokeladder.quantities import checked
from pokeladder.query import client_database, permissions, statements, views
from pokeladder.query.catalogue import VIEWS
from pokeladder.query.texts import query_text
from pokeladder.runs.settings import SelfPlaySettings, TournamentSettings
from pokeladder.store.files import GRACE_SECONDS, Store, checked_output

# Methods import what only they need: a question takes half as long without it.
if TYPE_CHECKING:
    import altair

    from pokeladder.exchange.ingest import Ingested
    from pokeladder.exchange.selection import Exported
    from pokeladder.exchange.training_files import Target
    from pokeladder.progress import FileWatch
    from pokeladder.registry import Registry
    from pokeladder.runs.progress import Progress
    from pokeladder.runs.replays import Replay
    from pokeladder.runs.settings import Notify, PlaySettings, RunKind
    from pokeladder.store.examination import Checked
    from pokeladder.store.merging import Compacted

K_FACTOR = 32.0
INITIAL_RATING = 1500.0
# With fewer ties of every agent, sums of results lose their digits.
LEAST_PRIOR = 1e-9


def default_folder() -> str:
    """``$POKELADDER_STORE``, else ``ladder``."""
    return os.environ.get("POKELADDER_STORE") or "ladder"


def open_ladder(folder: str | os.PathLike[str] | None = None, *, create: bool = True) -> Ladder:
    """Opens a store, ``$POKELADDER_STORE`` or ``./ladder`` if none is named.

    Args:
        create: make the store if the folder holds none.

    Raises:
        StoreError: the folder cannot be used, or holds no store and ``create`` is False.
    """
    return Ladder(folder if folder is not None else default_folder(), create=create)


class Slice(TypedDict, total=False):
    """A slice of the battles: those that meet every condition given."""

    where: str | None
    battle_format: str | None
    run: str | None
    agents: Sequence[str] | None
    by_version: bool


@dataclass(frozen=True)
class Overview:
    """Remarks on a slice of the battles, to be read beside a table of agents.

    Attributes:
        formats: formats of the battles between two agents.
        versions: of each agent with several versions, its games by version, in order of first play.
        invalid_rates: share of invalid decisions by format and agent, where it is over 5%.
    """

    formats: list[str]
    versions: dict[str, dict[str, int]]
    invalid_rates: dict[tuple[str, str], float]


class Ladder:
    """A store of battles: plays more of them and answers questions about them.

    Answers are DuckDB relations: ``.df()``, ``.pl()``, ``.arrow()``, ``.fetchall()``. Methods with the keywords of
    :class:`Slice` use only the battles that meet the SQL condition ``where`` over the columns of ``battles``, have the
    given ``battle_format`` and ``run``, and are between two of the ``agents``. With ``by_version`` each version of an
    agent counts as an agent of its own, named ``NAME#VERSION``.
    """

    def __init__(self, folder: str | os.PathLike[str], *, create: bool = True) -> None:
        self.store = Store(folder, create=create)
        # The views and macros that the connection for SQL of users has so far.
        self._made = set(views.needed(""))
        self._write_database()

    def _write_database(self) -> None:
        if not client_database.database_is_current(self.store.database, self.store.files):
            self.store.complete()
            # Only other DuckDB clients need the file: a read-only store can still be read.
            with suppress(StoreError):
                client_database.write_database(self.store.database, self.store.files)

    @property
    def agents(self) -> Registry:
        """Registered agents: those of the file ``$POKELADDER_AGENTS``, else of ``agents.toml`` in the store."""
        from pokeladder.registry import Registry

        return Registry.of(self.store.folder)

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        """The connection for SQL that only reads."""
        return self._connect_locked(self._made)

    def _connection_for(self, items: Sequence[str]) -> duckdb.DuckDBPyConnection:
        """The same connection with these views and macros.

        Making all of them takes most of the time of a small query.
        """
        lacking = [item for item in items if item not in self._made]
        if lacking:
            views.extend(self._connection, self.store.files, lacking)
            self._made |= set(lacking)
        return self._connection

    def sql(
        self, query: str, parameters: Mapping[str, Any] | None = None, *, write: bool = False
    ) -> duckdb.DuckDBPyRelation:
        """Runs SQL that reads the store's views, and other files by their names.

        Args:
            parameters: values of ``$name`` in the last statement.
            write: also allow statements that make tables or views in memory, which last as long as the relation, and
                COPY to files outside of the store. Databases cannot be attached, settings not changed, extensions not
                loaded: for that open :attr:`~pokeladder.store.files.Store.database` read-only with ``duckdb``.

        Raises:
            QueryError: DuckDB refused a statement, or it is not allowed here.
        """
        checked_statements = permissions.checked(self._connection, query, write=write, store=self.store.folder)
        if write:
            return permissions.run(self._connect_locked(VIEWS), checked_statements, parameters)
        try:
            return permissions.run(self._connection_for(views.needed(query)), checked_statements, parameters)
        except QueryError as error:
            if self._made >= set(VIEWS) or not isinstance(error.__cause__, duckdb.CatalogException):
                raise
        # DuckDB proposes names that are like an unknown one: with all views it proposes the right one.
        return permissions.run(self._connection_for(VIEWS), checked_statements, parameters)

    @keywords_of(Slice)
    def battles(self, **slice_: Unpack[Slice]) -> duckdb.DuckDBPyRelation:
        """One row for each battle."""
        return self._ask("FROM battles ORDER BY finished_at, battle_id", {}, slice_)

    @keywords_of(Slice)
    def elo(
        self, k_factor: float = K_FACTOR, initial_rating: float = INITIAL_RATING, **slice_: Unpack[Slice]
    ) -> duckdb.DuckDBPyRelation:
        """One row for each agent and format: Elo, rank, games, wins, losses, ties, win rate with its 95% interval.

        Battles count in order of finish.
        """
        _check_elo(k_factor, initial_rating)
        parameters = {"k": k_factor, "initial": initial_rating}
        return self._ask("FROM elo_with($k, $initial) ORDER BY format, rank, agent", parameters, slice_)

    @keywords_of(Slice)
    def elo_progression(
        self, k_factor: float = K_FACTOR, initial_rating: float = INITIAL_RATING, **slice_: Unpack[Slice]
    ) -> duckdb.DuckDBPyRelation:
        """One row for each rated battle, with both ratings before and after it."""
        connection = self._connect(**slice_)
        views.progression(connection, k_factor, initial_rating)
        return statements.run_sql(connection, "FROM progression")

    @keywords_of(Slice)
    def ratings(
        self, prior: float = 0.0, *, excluding: str | None = None, **slice_: Unpack[Slice]
    ) -> duckdb.DuckDBPyRelation:
        """One row for each agent and format: its Bradley-Terry rating, mean 1500, with its 95% interval and ranks.

        The order of battles does not matter. ``status`` is ``rated`` for ratings that are finite and comparable; the
        other values are explained in ``sql/macros/ratings_with.sql``.

        Args:
            prior: number of ties of each agent with one rated 1500, which makes all ratings finite.
            excluding: an SQL condition over ``battles``. Battles that meet it are left out, and ``shift`` has the
                change of each rating caused by that.

        Raises:
            UsageError: ``prior`` is neither 0 nor from 1e-9 to 1e9.
        """
        if prior != 0:
            checked("prior", prior, least=LEAST_PRIOR)
        if excluding is None:
            return self._ask(
                "FROM ratings_with(prior := $prior) ORDER BY format, component, rank, agent", {"prior": prior}, slice_
            )
        before = statements.arrow_table(self.ratings(prior, **slice_))
        connection = views.connect(self.store.files, **slice_, excluding=excluding)
        connection.register("before", before)
        return statements.query(connection, "rating_shifts", {"prior": prior})

    @keywords_of(Slice)
    def glicko(self, **slice_: Unpack[Slice]) -> duckdb.DuckDBPyRelation:
        """One row for each agent and format: Glicko-1 rating, its deviation and GXE, as Showdown shows them."""
        return self._ask("FROM glicko ORDER BY format, rank, agent", {}, slice_)

    @keywords_of(Slice)
    def matchups(
        self,
        sprt: tuple[float, float] = (0, 10),
        *,
        alpha: float = 0.05,
        beta: float = 0.05,
        **slice_: Unpack[Slice],
    ) -> duckdb.DuckDBPyRelation:
        """One row for each agent, opponent and format: results, win rate, Elo difference, with their intervals.

        Args:
            sprt: Elo differences of the hypotheses H0 and H1 of a sequential test; column ``sprt`` has its state.
            alpha, beta: error rates of the test: H1 accepted though H0 holds, and H0 accepted though H1 holds.

        Raises:
            UsageError: a difference is not finite, H0's is not the smaller one, or a rate is not between 0 and 1.
        """
        checked("the Elo difference of H1", sprt[1], above=checked("the Elo difference of H0", sprt[0]))
        checked("alpha", alpha, above=0, below=1)
        checked("beta", beta, above=0, below=1)
        parameters = {"elo0": sprt[0], "elo1": sprt[1], "alpha": alpha, "beta": beta}
        settings = ", ".join(f"{name} := ${name}" for name in parameters)
        return self._ask(f"FROM matchups_with({settings}) ORDER BY format, agent, opponent", parameters, slice_)

    @keywords_of(Slice)
    def cycles(self, **slice_: Unpack[Slice]) -> duckdb.DuckDBPyRelation:
        """One row for three agents of which each beats the next, and the last the first; the most certain first."""
        return self._ask("FROM cycles ORDER BY format, los DESC, first, second, third", {}, slice_)

    @keywords_of(Slice)
    def side_bias(self, **slice_: Unpack[Slice]) -> duckdb.DuckDBPyRelation:
        """One row for each format: the results of side p1, over all agents."""
        return self._ask("FROM side_bias ORDER BY format", {}, slice_)

    @keywords_of(Slice)
    def stats(self, **slice_: Unpack[Slice]) -> duckdb.DuckDBPyRelation:
        """One row for each agent and format: games, results, average turns, rate of invalid choices and more."""
        return self._ask("FROM statistics ORDER BY format, agent", {}, slice_)

    @keywords_of(Slice)
    def formats(self, **slice_: Unpack[Slice]) -> list[str]:
        """The formats of the slice's rated battles."""
        return self.overview(**slice_).formats

    @keywords_of(Slice)
    def overview(self, **slice_: Unpack[Slice]) -> Overview:
        """Remarks on the slice, to be read beside a table of agents."""
        connection = views.connect(self.store.files, **slice_, items=views.needed(query_text("overview")))
        statements.materialise(connection, "overview", "overview")
        formats, versions, invalid = (
            statements.tuples(connection, f"overview_{part}") for part in ("formats", "versions", "invalid")
        )
        return Overview(
            formats=[name for (name,) in formats],
            versions={agent: dict(zip(known, games, strict=True)) for agent, known, games in versions},
            invalid_rates={(battle_format, agent): rate for battle_format, agent, rate in invalid},
        )

    def repeated(self, run_id: str) -> int:
        """The number of battles of a run that repeat earlier ones of the store, and therefore do not count."""
        return self._count("repeated_of_run", run_id)

    def unrecorded(self, run_id: str) -> int:
        """The number of trajectories of a run that could not be recorded."""
        return self._count("unrecorded_of_run", run_id)

    def _count(self, query: str, run_id: str) -> int:
        connection = views.connect(self.store.files, items=views.needed(query_text(query)))
        return sum(count for (count,) in statements.tuples(connection, query, {"run": run_id}))

    @keywords_of(Slice)
    def write_elo_files(
        self,
        output_dir: str | os.PathLike[str],
        prefix: str = "elo_results",
        k_factor: float = K_FACTOR,
        initial_rating: float = INITIAL_RATING,
        **slice_: Unpack[Slice],
    ) -> list[Path]:
        """Writes ratings, progression, matchup matrix and statistics under the names of the former pipeline.

        Returns:
            The four files.

        Raises:
            UsageError: the slice holds several formats, which these files do not separate, or the folder is a store's.
            StoreError: a file cannot be written.
        """
        _check_elo(k_factor, initial_rating)
        folder = checked_output(output_dir)
        connection = self._connect_one_format(**slice_)
        return result_files.write_elo_files(connection, folder, prefix, k_factor, initial_rating)

    @keywords_of(Slice)
    def report(
        self,
        output_dir: str | os.PathLike[str],
        k_factor: float = K_FACTOR,
        initial_rating: float = INITIAL_RATING,
        *,
        kinds: Sequence[Literal["png", "svg", "pdf"]] = ("png",),
        watch: Callable[[Path], None] = lambda _: None,
        **slice_: Unpack[Slice],
    ) -> list[Path]:
        """Writes the pictures, ``tournament_summary.csv`` and ``index.html``, a page that needs no network.

        The pictures are those of :meth:`chart`.

        Args:
            kinds: file types of the pictures.
            watch: called with each file once it is written.

        Returns:
            All files.

        Raises:
            UsageError: the slice holds several formats, and a report is about one, or the folder is a store's.
            StoreError: a file cannot be written.
        """
        from pokeladder.report.page import write_report

        _check_elo(k_factor, initial_rating)
        folder = checked_output(output_dir)
        connection = self._connect_one_format(**slice_)
        return write_report(connection, folder, k_factor, initial_rating, kinds, watch)

    @keywords_of(Slice)
    def chart(
        self, name: Literal["rankings", "progression", "heatmap", "statistics"], **slice_: Unpack[Slice]
    ) -> altair.TopLevelMixin:
        """A picture of the report as an altair chart, for notebooks.

        The function of the same name in :mod:`pokeladder.report.charts` describes it.

        Raises:
            UsageError: the slice holds several formats, or there is no such chart.
        """
        from pokeladder.report.charts import CHARTS

        if name not in CHARTS:
            raise UsageError(f"there is no chart {name}: choose one of {', '.join(CHARTS)}")
        return CHARTS[name](self._connect_one_format(**slice_))

    @settings_of(TournamentSettings)
    def tournament(self, settings: TournamentSettings) -> Progress:
        """Plays a round-robin: every agent meets every other in mirrored pairs of battles.

        Raises:
            AgentError, FormatError, TeamError, SimulatorError, StoreError, UsageError: as the message says.
            InterruptedRunError: stopped by Ctrl-C; what had finished is stored.
        """
        return self._play("tournament", settings.agents, settings.battles_per_matchup, settings)

    @settings_of(SelfPlaySettings)
    def selfplay(self, settings: SelfPlaySettings) -> Progress:
        """Plays an agent against itself, or against another one in mirrored pairs, for the trajectories.

        Battles of an agent against itself count in no rating.

        Raises:
            AgentError, FormatError, TeamError, SimulatorError, StoreError, UsageError: as the message says.
            InterruptedRunError: stopped by Ctrl-C; what had finished is stored.
        """
        agents = [one for one in (settings.agent, settings.opponent) if one is not None]
        if not agents and not settings.resume:
            raise UsageError("self-play needs an agent: see `pokeladder agents`")
        if settings.parallel_instances is not None:
            settings = replace(settings, parallel=settings.parallel_instances)
        return self._play("selfplay", agents, settings.num_battles, settings)

    def _play(self, kind: RunKind, agents: Iterable[Any], battles: int, settings: PlaySettings) -> Progress:
        from pokeladder.agents.specs import as_agents
        from pokeladder.runs.resume import play

        registry = self.agents
        return play(self.store, registry, kind, as_agents(agents, registry), battles, settings)

    def ingest(
        self,
        *paths: str | os.PathLike[str],
        renames: Mapping[str, str] | None = None,
        watch: FileWatch = lambda _: None,
        notify: Callable[[str], None] = lambda _: None,
    ) -> Ingested:
        """Adds trajectories and battle logs that metamon has written, except those that the store already has.

        The perspectives of both sides become one battle; ambiguous pairs are kept as two battles.

        Args:
            paths: files (``.json.lz4``, ``.json``, ``battle_log_*.csv``), and folders, which are searched for them.
            renames: agents by the user names under which they played; other user names are taken as agents. An old
                ``tournament_results.json`` among the files adds its renames.
            watch: called with the :class:`~pokeladder.progress.FileProgress` while files are read.
            notify: called with a line when another ingest into the store is running, which this one waits for.

        Returns:
            Counts of what was added, and the files that could not be read, with reasons.

        Raises:
            UsageError: a path does not exist, no path has files to ingest, or a name cannot be an agent's.
            StoreError: the store cannot be written; nothing was added.
            InterruptedRunError: stopped by Ctrl-C; nothing was added.
        """
        from pokeladder.exchange.ingest import ingest

        return ingest(self.store, paths, renames or {}, watch, notify)

    def export_filtered(
        self,
        output_dir: str | os.PathLike[str] | None,
        *,
        max_invalid_rate: float = 0.05,
        min_steps: int = 10,
        max_steps: int = 1000,
        balance_outcomes: bool = False,
        seed: int = 42,
        where: str | None = None,
        agents: Sequence[str] | None = None,
        battle_format: str | None = None,
        run: str | None = None,
        since: datetime | None = None,
        limit: int | None = None,
        to: Target = "metamon",
        overwrite: bool = False,
        append: bool = False,
        watch: FileWatch = lambda _: None,
        min_turns: int | None = None,
        max_turns: int | None = None,
    ) -> Exported:
        """Writes a training set: the trajectories that meet every condition, and ``filtering_stats.json``.

        Args:
            output_dir: folder for ``<format>/*.json.lz4``; None only counts.
            max_invalid_rate: largest share of missing and invalid actions among the steps.
            min_steps, max_steps: bounds of a trajectory's length.
            balance_outcomes: drop ties, and wins or losses at random until there are equally many.
            seed: decides which are dropped; the choice is the same on every machine.
            where: an SQL condition over the columns of ``trajectories``.
            agents, battle_format, run: only trajectories of these agents, this format, this run.
            since: only trajectories played at this time (UTC) or later.
            limit: largest number of trajectories.
            to: ``parquet`` writes ``<format>/trajectories.parquet`` instead.
            overwrite, append: replace the trajectories in a folder that is not empty, or add to them.
            watch: called with the :class:`~pokeladder.progress.FileProgress` while files are written.
            min_turns, max_turns: former names of ``min_steps`` and ``max_steps``.

        Raises:
            UsageError: the folder is not empty, or options contradict each other.
            QueryError: ``where`` is not a condition over ``trajectories``.
            StoreError: a document cannot be read, or a file not written; the same call completes the set.
            InterruptedRunError: stopped by Ctrl-C; the same call completes the set.
        """
        from pokeladder.exchange.export import export_filtered
        from pokeladder.exchange.selection import Filters

        filters = Filters(
            max_invalid_rate=max_invalid_rate,
            min_steps=min_steps if min_turns is None else min_turns,
            max_steps=max_steps if max_turns is None else max_turns,
            balance_outcomes=balance_outcomes,
            seed=seed,
            where=where,
            agents=tuple(agents) if agents is not None else None,
            battle_format=battle_format,
            run=run,
            since=since,
            limit=limit,
        )
        folder = checked_output(output_dir) if output_dir is not None else None
        return export_filtered(self.store, folder, filters, to=to, overwrite=overwrite, append=append, watch=watch)

    def check(self, *, repair: bool = False, watch: FileWatch = lambda _: None) -> Checked:
        """Reads every file of the store completely, and finds references to rows that are missing.

        Args:
            repair: move broken files, and rows that refer to them, to the folder ``set-aside`` of the store; runs that
                another process is playing are skipped.
            watch: called with the :class:`~pokeladder.progress.FileProgress` while files are read.

        Raises:
            StoreError: the store was compacted during the check, or a repair could not write.
        """
        from pokeladder.store.check import check

        checked = check(self.store, repair=repair, watch=watch)
        self._write_database()
        # Broken files, too, can be why it was not made anew.
        if not checked.faults and not client_database.database_is_current(self.store.database, self.store.files):
            checked.notes.append(
                f"{self.store.database.name} was made by another version of pokeladder, or changed, and the folder "
                "cannot be written: do not read the store through it; open the store once where it can be written"
            )
        return checked

    def compact(self, *, grace: float = GRACE_SECONDS, watch: FileWatch = lambda _: None) -> Compacted:
        """Merges the small files of each run into a few large ones; readers are not disturbed.

        Runs that another process is playing are skipped. Old files stay for queries that have listed them, and a later
        call removes them.

        Args:
            grace: seconds for which old files stay.
            watch: called with the :class:`~pokeladder.progress.FileProgress` while files are merged.

        Raises:
            StoreError: the store cannot be written; no battle is lost.
        """
        from pokeladder.store.compaction import compact_all

        return compact_all(self.store, grace=grace, watch=watch)

    def write_tournament_results(self, run_id: str, output_dir: str | os.PathLike[str]) -> Path:
        """Writes ``tournament_results.json``: the settings of a run, and the results of each matchup.

        Raises:
            UsageError: the folder is a store's.
            StoreError: the file cannot be written.
        """
        folder = checked_output(output_dir)
        return result_files.write_tournament_results(self._connect(run=run_id), run_id, folder)

    def replay(self, battle_id: str, notify: Notify = lambda _: None) -> Replay:
        """Plays a stored battle again in a fresh simulator.

        Raises:
            StoreError: the battle is not in the store, or has no input log.
            SimulatorError: the simulator cannot play it.
        """
        from pokeladder.runs.replays import replay
        from pokeladder.simulator.process import Inquiry
        from pokeladder.simulator.setup import ensure_simulator

        parameters = {"battle_id": battle_id}
        connection = views.connect(self.store.files, items=views.needed(query_text("stored_battle")))
        found = statements.tuples(connection, "stored_battle", parameters)
        if not found:
            raise StoreError(f"there is no battle {battle_id}: list them with `pokeladder sql 'FROM battles'`")
        (row,) = found
        if row[-1] is None:
            raise StoreError(
                f"battle {battle_id} has no input log: it was imported, or the process that played it died"
            )
        with Inquiry(ensure_simulator(notify)) as inquiry:
            return replay(inquiry, *row)

    def _ask(self, query: str, parameters: Mapping[str, Any], slice_: Slice) -> duckdb.DuckDBPyRelation:
        connection = views.connect(self.store.files, **slice_, items=views.needed(query))
        return statements.run_sql(connection, query, parameters)

    def _connect_one_format(self, **slice_: Unpack[Slice]) -> duckdb.DuckDBPyConnection:
        formats = self.formats(**slice_)
        if len(formats) > 1:
            raise UsageError(f"the store holds {', '.join(formats)}: choose one with --battle-format")
        return self._connect(**slice_)

    def _connect_locked(self, items: Collection[str]) -> duckdb.DuckDBPyConnection:
        """A connection for SQL of users, whose settings are locked."""
        # Such SQL may need all of the memory.
        connection = views.connect(self.store.files, bounded=False, items=items)
        connection.execute("SET lock_configuration = true")
        return connection

    def _connect(self, **slice_: Unpack[Slice]) -> duckdb.DuckDBPyConnection:
        return views.connect(self.store.files, **slice_)


def _check_elo(k_factor: float, initial_rating: float) -> None:
    """
    Raises:
        UsageError: K is not positive, or a number is not finite.
    """
    checked("K", k_factor, above=0)
    checked("the initial rating", initial_rating)
