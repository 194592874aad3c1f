"""Messages between the policy server and its clients: tuples over a Unix socket.

- ``("ready",)``, to a client: sent once, when positions can be sent.
- ``("ask", [(slot, state, legal, seed), ...])``, from a client. A slot is one side of one battle: an int, unique in the
  connection. Its first question begins the battle, and each further one must wait for the answer. The state is a JSON
  object of metamon's parsed-replay format, as bytes; ``legal`` lists the indices of legal actions; the action is drawn
  from the seed.
- ``("answer", [(slot, action), ...])``, to a client: an index of ``legal``, if there is any; :data:`MISSING` if the
  position could not be read.
- ``("forget", [slot, ...])``, from a client: the battles have ended.
"""

from __future__ import annotations

import pickle
from typing import Any

# The answer to a question that cannot be answered; metamon's index for no action.
MISSING = -1
# Both ends may have different versions of Python.
PROTOCOL = 4


def pack(message: tuple[Any, ...]) -> bytes:
    return pickle.dumps(message, PROTOCOL)


def unpack(data: bytes) -> tuple[Any, ...]:
    message: tuple[Any, ...] = pickle.loads(data)  # noqa: S301 (the socket is in a private folder of the run)
    return message
