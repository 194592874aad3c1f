"""What is kept of trajectories besides their documents, so that most questions need not read these."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pyarrow as pa

from pokeladder.statements import statement

_DOCUMENTS = pa.schema([("trajectory_id", pa.string()), ("document", pa.string())])


class Summariser:
    """Summarises documents with ``sql/queries/trajectory_summaries.sql``; each thread needs its own."""

    def __init__(self) -> None:
        self._connection = duckdb.connect(config={"threads": 1})

    def summarise(self, trajectory_ids: Sequence[str], documents: Sequence[bytes]) -> pa.Table:
        """One row a document, in no particular order; ``fault`` says why a document is no trajectory."""
        columns = [pa.array(trajectory_ids, pa.string()), pa.array(documents, pa.binary()).cast(pa.string())]
        return self._run("trajectory_summaries", documents=pa.table(columns, schema=_DOCUMENTS))

    def describe(self, trajectory_ids: Sequence[str], documents: Sequence[bytes], facts: pa.Table) -> pa.Table:
        """The rows of a trajectory file; ``facts`` has what documents do not tell, a row each."""
        return self.combine("trajectory_rows", self.summarise(trajectory_ids, documents), facts)

    def combine(self, name: str, summaries: pa.Table, facts: pa.Table) -> pa.Table:
        """The rows of the query ``name`` over both."""
        return self._run(name, summaries=summaries, facts=facts)

    def _run(self, name: str, **tables: pa.Table) -> pa.Table:
        for table_name, table in tables.items():
            self._connection.register(table_name, table)
        try:
            return self._connection.sql(statement(name)).to_arrow_table()
        finally:
            for table_name in tables:
                self._connection.unregister(table_name)
