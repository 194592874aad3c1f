"""Child processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from pokeladder.system.processes import Child


@pytest.mark.parametrize("size", [1, 10_000_000], ids=["written", "being written"])
def test_a_child_whose_answer_is_never_read_ends_without_a_word(tmp_path: Path, size: int) -> None:
    log = tmp_path / "log"
    child = Child("echo_child", log=log)
    child.send(b"-" * size)
    assert child.connection.poll(None)
    child.connection.close()
    assert (child.status(), log.read_text()) == (0, "")
