"""``sql``."""

from __future__ import annotations

import sys

import click

from pokeladder.cli.options import format_option, opened
from pokeladder.cli.output import print_relation


@click.command(epilog='Example: pokeladder sql "SELECT end_reason, count(*) FROM battles GROUP BY ALL" --format csv')
@click.argument("query")
@format_option("table", "csv", "json", "parquet")
@click.option(
    "--write",
    is_flag=True,
    help="Let QUERY make tables of its own, which are gone afterwards, and COPY to files outside of the store.",
)
@click.pass_context
def sql(context: click.Context, query: str, output: str, write: bool) -> None:
    """Run any SQL QUERY that reads the store; - reads it from standard input.

    Tables and views: battles, input_logs, runs, rated_battles, results, matchups, statistics, elo, elo_progression,
    standings. `SHOW TABLES` lists them and `DESCRIBE battles` their columns. Other files (CSV, JSON, Parquet) are read
    by name: `FROM 'notes.csv'`. No extension is fetched from the network.
    """
    text = sys.stdin.read() if query == "-" else query
    print_relation(opened(context).sql(text, write=write), output)
