from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bots
import pokeladder
from pokeladder.agents.specs import BUILT_IN, Agent, as_agents, list_agents, parse_agent
from pokeladder.errors import AgentError

VALUES = st.one_of(
    st.integers(),
    st.booleans(),
    st.none(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.from_regex(r"[a-z/._-]+", fullmatch=True).filter(lambda text: text not in ("inf", "nan")),
)


@given(st.dictionaries(st.sampled_from(["depth", "_x", "path", "a1"]), VALUES))
def test_parameters_are_read_back(parameters: dict) -> None:
    text = "bots:FirstLegal,name=x" + "".join(f",{key}={value}" for key, value in parameters.items())
    assert parse_agent(text).parameters == parameters


def test_names() -> None:
    assert parse_agent("heuristics") == Agent("heuristics", BUILT_IN["heuristics"])
    assert parse_agent("heuristics,name=h2").name == "h2"
    assert parse_agent("package.bots:Bot").name == "Bot"
    assert parse_agent("package.bots:Bot,depth=3,wide=True").name == "Bot(depth=3,wide=True)"
    assert parse_agent('bots:Bot,path="a, b",name=x').parameters == {"path": "a, b"}
    assert parse_agent("random,name=Gen1BinaryV0@2 日本").name == "Gen1BinaryV0@2 日本"
    assert [parse_agent(f"random,name={name}").name for name in ("1.10", "+2", "1e3", "007")] == [
        "1.10",
        "+2",
        "1e3",
        "007",
    ]
    weights = f"bots:Bot,weights=/{'long/' * 20}weights.pt"
    with pytest.raises(AgentError, match=r"cannot be an agent's name: use 1 to 100 .*; add ,name=NAME to 'bots:Bot,w"):
        parse_agent(weights)
    assert parse_agent(f"{weights},name=mine").name == "mine"


@pytest.mark.parametrize("text", ["", "unknown", "random,depth", "random,1x=2", "random,name=", 'random,name="', "a b"])
def test_texts_that_name_no_agent(text: str) -> None:
    with pytest.raises(AgentError):
        parse_agent(text)


def test_unknown_agents_are_told_what_there_is() -> None:
    with pytest.raises(AgentError, match="unknown agent rnadom: use one of random, max-power, heuristics"):
        parse_agent("rnadom")


def test_two_agents_of_one_name() -> None:
    with pytest.raises(AgentError, match=r"two agents are called random: rename one with random,name="):
        as_agents(["random", "random"])
    assert [agent.name for agent in as_agents(["random", "random,name=other", bots.FirstLegal])] == [
        "random",
        "other",
        "FirstLegal",
    ]


@pytest.mark.parametrize("given_", [42, None, object()])
def test_things_that_are_no_agents(given_: object) -> None:
    with pytest.raises(AgentError, match="is not an agent"):
        as_agents([given_])


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("no_such_package:Bot", "cannot import no_such_package"),
        ("bots:NoSuchBot", "module bots has no NoSuchBot"),
        ("bots:NOT_AN_AGENT", "is not a poke-env Player class"),
        ("bots:Undecided", "does not define choose_move"),
        ("pokeladder.batches:BatchPlayer", "does not define choose_batch"),
    ],
)
def test_targets_that_cannot_be_loaded(target: str, reason: str) -> None:
    with pytest.raises(AgentError, match=reason):
        parse_agent(target).load()


def test_a_module_that_raises_on_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "raises_on_import.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AgentError, match=r"importing raises_on_import of agent .* raised ZeroDivisionError"):
        parse_agent("raises_on_import:Bot").load()


def test_agents_of_installed_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "botpack-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: botpack\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[pokeladder.agents]\nfirst-legal = bots:FirstLegal\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert parse_agent("first-legal").load() is bots.FirstLegal
    listed = {listing.name: listing for listing in list_agents()}
    assert listed["first-legal"].kind == "installed"
    assert "botpack" in listed["first-legal"].note
    assert set(BUILT_IN) <= set(listed)


def test_importing_pokeladder_starts_nothing() -> None:
    code = (
        "import sys, threading, pokeladder, pokeladder.cli; pokeladder.open;"
        "assert threading.active_count() == 1;"
        "heavy = {'poke_env', 'torch', 'altair', 'pandas', 'gymnasium'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_all_names_are_there() -> None:
    assert dir(pokeladder) == sorted(pokeladder.__all__)
    assert all(getattr(pokeladder, name) for name in pokeladder.__all__)
    with pytest.raises(AttributeError, match="module 'pokeladder' has no attribute 'opne'"):
        pokeladder.opne  # noqa: B018


def test_what_plays_needs_no_database() -> None:
    code = (
        "import sys, pokeladder.play.embedded.worker, poke_env;"
        "heavy = {'duckdb', 'pyarrow', 'altair', 'pandas'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
