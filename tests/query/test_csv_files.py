"""CSV that spreadsheets open as data."""

from __future__ import annotations

import csv
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pokeladder.query.csv_files import FORMULA, cell, write_csv
from stores import battle, elo_file, fill

FORMULAS = [
    "=1+1",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "=a\nb",
    '=cmd|" /C calc"!A0',
    "\uff1d1",
    "'=1",
    "-x",
]
PLAIN = ["ann", "", "-", "+5", "-12.5", "-12.5%", "a=b", "'quoted'", "5-3", " =1", "Pokémon"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_a_text(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("text", PLAIN)
def test_other_texts_are_left_alone(text: str) -> None:
    assert cell(text) == text


TEXTS = st.text(st.sampled_from("=+-@'\t\r\n1.%a\uff1d "), max_size=5)


@settings(max_examples=10)
@given(texts=st.lists(TEXTS, min_size=1, max_size=40))
def test_duckdb_and_python_agree_and_all_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    path = tmp_path_factory.mktemp("cells") / "cells.csv"
    with duckdb.connect() as connection:
        write_csv(connection.sql("SELECT unnest($texts) AS text, -1.5 AS n", params={"texts": texts}), path)
    with path.open(newline="") as file:
        header, *found = csv.reader(file)
    assert header == ["text", "n"]
    assert found == [[cell(text), "-1.5"] for text in texts]
    for text in texts:
        shown = cell(text)
        assert (shown[1:] if re.fullmatch(f"'{FORMULA}", shown) else shown) == text


def test_types_and_names_of_columns(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    columns = "'=a' AS name, '=b' AS Name, -2 AS n, '=e'::ENUM ('=e') AS e, '=f'::BLOB AS f, NULL AS g, '+1' AS \"=h\""
    write_csv(duckdb.sql(f"SELECT {columns}"), path)
    assert path.read_text() == "name,Name_1,n,e,f,g,'=h\n'=a,'=b,-2,'=e,'=f,,+1\n"


def test_names_of_agents(tmp_path: Path, cli: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    store = fill(tmp_path / "ladder", [battle(0, "=1+1", "@ann", "p1"), battle(1, "@ann", "bob", "p2")])
    matrix = list(csv.reader(elo_file(store, "elo_results_matchup_matrix.csv", tmp_path).open()))
    assert matrix == [
        ["Model", "'=1+1", "bob", "'@ann"],
        ["'=1+1", "-", "0-0", "1-0"],
        ["bob", "0-0", "-", "1-0"],
        ["'@ann", "0-1", "0-1", "-"],
    ]
    done = cli("sql", "SELECT agent, -1 AS one FROM elo ORDER BY agent", "--format", "csv")
    assert done.stdout == "agent,one\n'=1+1,-1\n'@ann,-1\nbob,-1\n"
