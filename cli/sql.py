"""``sql``."""

from __future__ import annotations

import sys

import click

from pokeladder.cli.options import format_option, opened
from pokeladder.cli.output import print_relation
from pokeladder.query.catalogue import view_names

HELP = f"""Run any SQL QUERY that reads the store; - reads it from standard input.

Views: {", ".join(view_names())}.

`DESCRIBE battles` lists the columns of one, and docs/sql.md describes them all. Other files (CSV, JSON, Parquet) are
read by name: `FROM 'notes.csv'`. No extension is fetched from the network.
"""


@click.command(
    help=HELP, epilog='Example: pokeladder sql "SELECT end_reason, count(*) FROM battles GROUP BY ALL" --format csv'
)
@click.argument("query")
@format_option("table", "csv", "json", "parquet")
@click.option(
    "--write",
    is_flag=True,
    help="Allow QUERY to make temporary tables, and to COPY to files outside of the store.",
)
@click.pass_context
def sql(context: click.Context, query: str, output: str, write: bool) -> None:
    text = sys.stdin.read() if query == "-" else query
    print_relation(opened(context).sql(text, write=write), output)
