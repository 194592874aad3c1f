"""The process that answers positions with a policy of metamon: its ends, its queue, and the real thing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Client, Connection, wait
from pathlib import Path
from typing import Any

import orjson
import pytest

from metamon_data import read, trajectories_in
from pokeladder.metamon.checkpoints import scan
from pokeladder.metamon.side import policy_server
from pokeladder.metamon.side.memory import Memory
from pokeladder.metamon.side.policy_server import Question, Queue
from pokeladder.metamon.side.protocol import MISSING, PROTOCOL, pack, unpack
from running import DATA, METAMON, wait_until

POLICY = Path(policy_server.__file__)
NOWHERE = ("--run", "nowhere", "--epoch", "0")


def command(address: Path, weights: Sequence[str] = NOWHERE, *more: str, python: str = sys.executable) -> list[str]:
    return [python, str(POLICY), "--address", str(address), "--format", "gen1ou", *weights, *more]


def question(slot: Any) -> Question:
    return Question(slot, [], 0, {}, None, None)


def test_messages_are_read_by_every_python() -> None:
    message = ("ask", [(3, b"{}", [0, 4], 2**63)])
    assert unpack(pack(message)) == message
    assert pack(message)[1] == PROTOCOL == 4


def test_a_battle_is_over_after_its_last_question() -> None:
    queue = Queue()
    slots: list[Any] = [object() for _ in range(4)]
    asked = [question(slot) for slot in slots[:3]]
    queue.put(asked)
    queue.forget([slots[2], slots[3]])
    assert queue.take(2, 0) == (asked[:2], [slots[3]])
    assert queue.take(2, 0) == (asked[2:], [slots[2]])


def test_rows_are_used_again_and_never_twice() -> None:
    memory = Memory()
    rows = [memory.take() for _ in range(3 * Memory.ROWS)]
    assert len(set(rows)) == len(rows)
    memory.release(rows[5])
    assert memory.take() == rows[5]


def failure(address: Path) -> str:
    with subprocess.Popen(command(address), stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == 1
    assert not address.exists()
    return said


def test_what_cannot_be_started_is_said(tmp_path: Path) -> None:
    last = failure(tmp_path / "policy").splitlines()[-1]
    assert last.startswith("metamon cannot be imported: ModuleNotFoundError")
    assert failure(tmp_path / "none" / "policy").startswith(f"the socket {tmp_path}/none/policy cannot be made: ")


# Starts what it is told, says its number, and waits.
PARENT = "import subprocess, sys, time; print(subprocess.Popen(sys.argv[1:]).pid, flush=True); time.sleep(600)"


@pytest.mark.parametrize("ending", ["standard input", "parent"])
def test_it_ends_whatever_it_is_doing(tmp_path: Path, ending: str) -> None:
    """Here it is importing metamon, and does not come back."""
    (tmp_path / "amago.py").write_text("import time\ntime.sleep(600)")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    address = tmp_path / "policy"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *command(address)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "TMPDIR": str(elsewhere)},
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    try:
        number = int(parent.stdout.readline())
        wait_until(address.exists)
        if ending == "parent":
            parent.send_signal(signal.SIGKILL)
        else:
            parent.stdin.close()
        # Without a parent that waits for it, it stays as one that has ended.
        status = Path(f"/proc/{number}/stat")
        wait_until(lambda: not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z")
        assert not address.exists()
        # What it needs for a while lies beside its socket, in a folder of pokeladder's.
        assert not list(elsewhere.iterdir())
    finally:
        parent.kill()
        parent.wait()


def legal_in(state: dict[str, Any]) -> list[int]:
    moves = [] if state["forced_switch"] else range(len(state["player_active_pokemon"]["moves"]))
    return [*moves, *range(4, 4 + len(state["available_switches"]))]


Asked = tuple[int, bytes, list[int], int]


def battles() -> list[list[Asked]]:
    """All questions of some battles, of which no two have the same slot."""
    paths = trajectories_in(DATA / "metamon")[:8]
    return [
        [
            (slot, orjson.dumps(state), legal_in(state), 1000 * slot + step)
            for step, state in enumerate(read(path)["states"][:-1])
        ]
        for slot, path in enumerate(paths)
    ]


def connected(address: Path, process: subprocess.Popen[bytes]) -> Connection[bytes, bytes]:
    wait_until(lambda: address.exists() or process.poll() is not None)
    connection = Client(str(address), "AF_UNIX")
    assert unpack(connection.recv_bytes()) == ("ready",)
    return connection


@pytest.fixture
def weights() -> list[str]:
    folder = Path(METAMON["checkpoints"] or "")
    found = scan(folder)[0]
    config = METAMON["model_config"]
    run = ["--run", str(folder / found.run), "--epoch", str(found.epoch)]
    return [*run, "--model-config", config] if config else run


def play_out(connections: Sequence[Connection[bytes, bytes]]) -> Iterator[tuple[Asked, int]]:
    """Asks all battles from all connections at once; each question with its answer."""
    left = {connection: {one[0][0]: iter(one) for one in battles()} for connection in connections}
    due: dict[tuple[Any, int], Asked] = {}
    for connection, slots in left.items():
        first = [next(questions) for questions in slots.values()]
        due |= {(connection, asked[0]): asked for asked in first}
        connection.send_bytes(pack(("ask", first)))
    while due:
        for ready in wait(list(connections)):
            assert isinstance(ready, Connection)
            kind, answers = unpack(ready.recv_bytes())
            assert kind == "answer"
            following = []
            for slot, action in answers:
                yield due.pop((ready, slot)), action
                asked = next(left[ready][slot], None)
                if asked is None:
                    ready.send_bytes(pack(("forget", [slot])))
                else:
                    due[ready, slot] = asked
                    following.append(asked)
            ready.send_bytes(pack(("ask", following)))


@pytest.mark.slow
@pytest.mark.skipif(
    not (METAMON["python"] and METAMON["checkpoints"]),
    reason="METAMON_PYTHON and METAMON_CHECKPOINTS do not say where metamon is",
)
def test_real_metamon(tmp_path: Path, weights: list[str]) -> None:
    """Each question has one legal answer, the same in batches of any size and in every battle that is played again."""
    given: list[dict[tuple[int, int], int]] = []
    for size in ("1", "64"):
        address = tmp_path / size
        process = subprocess.Popen(
            command(address, weights, "--batch-size", size, python=METAMON["python"] or ""), stdin=subprocess.PIPE
        )
        assert process.stdin is not None
        try:
            connections = [connected(address, process) for _ in range(2)]
            for _ in range(2):
                answers: dict[tuple[int, int], set[int]] = {}
                for (slot, _, legal, seed), action in play_out(connections):
                    assert action in legal
                    answers.setdefault((slot, seed), set()).add(action)
                assert {len(actions) for actions in answers.values()} == {1}
                assert len(answers) == sum(map(len, battles()))
                given.append({key: actions.pop() for key, actions in answers.items()})
            # One that leaves while an answer is due costs the others nothing.
            connections[1].send_bytes(pack(("ask", [battles()[0][0]])))
            connections[1].close()
            connections[0].send_bytes(pack(("ask", [(99, b"{}", [0], 0)])))
            assert unpack(connections[0].recv_bytes()) == ("answer", [(99, MISSING)])
            process.stdin.close()
            assert process.wait() == 0
        finally:
            process.kill()
            process.wait()
    assert all(answers == given[0] for answers in given)
    assert len(set(given[0].values())) > 4
