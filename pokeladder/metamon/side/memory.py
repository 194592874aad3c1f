"""Hidden states of a metamon policy for many battles, whose steps come at different times.

Runs in metamon's interpreter.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or __package__:
    from pokeladder.metamon.side import loading
else:  # run as a file, by an interpreter that has no pokeladder
    import loading


class Memory:
    """Memory of a policy without hidden states; rows are slots."""

    ROWS = 16

    def __init__(self) -> None:
        self._free: list[int] = []
        self._rows = 0

    def take(self) -> int:
        """A free row, for a new battle."""
        if not self._free:
            rows = max(self.ROWS, 2 * self._rows)
            self._grow(rows)
            self._free += reversed(range(self._rows, rows))
            self._rows = rows
        row = self._free.pop()
        self._clear(row)
        return row

    def release(self, row: int) -> None:
        self._free.append(row)

    def gather(self, rows: Any) -> Any:
        """The hidden states of a batch, in the form that metamon's networks take and change."""
        return None

    def scatter(self, rows: Any, hidden: Any) -> None:
        """Stores the hidden states of :meth:`gather` after a step."""

    def _grow(self, rows: int) -> None:
        pass

    def _clear(self, row: int) -> None:
        pass


class RecurrentMemory(Memory):
    """Memory of a GRU: a tensor of layers, rows and units."""

    def __init__(self, encoder: Any, device: Any) -> None:
        super().__init__()
        self._state = next(encoder.parameters()).new_zeros(
            encoder.rnn.num_layers, 0, encoder.rnn.hidden_size, device=device
        )

    def gather(self, rows: Any) -> Any:
        return self._state[:, rows]

    def scatter(self, rows: Any, hidden: Any) -> None:
        self._state[:, rows] = hidden.to(self._state.dtype)

    def _grow(self, rows: int) -> None:
        layers, before, units = self._state.shape
        larger = self._state.new_zeros(layers, rows, units)
        larger[:, :before] = self._state
        self._state = larger

    def _clear(self, row: int) -> None:
        self._state[:, row] = 0


class TransformerMemory(Memory):
    """Memory of a transformer: keys and values of all steps, by layer, row, step, head and unit."""

    def __init__(self, encoder: Any, device: Any) -> None:
        super().__init__()
        self._encoder, self._device = encoder, device
        self._kept = self._new(0)
        self._batch = copy.copy(self._kept)
        self._batch.key_cache, self._batch.val_cache = copy.copy(self._kept.key_cache), copy.copy(self._kept.val_cache)

    def _new(self, rows: int) -> Any:
        return self._encoder.init_hidden_state(rows, self._device)

    @property
    def _caches(self) -> list[tuple[Any, Any]]:
        kept, batch = self._kept, self._batch
        return [(kept.key_cache, batch.key_cache), (kept.val_cache, batch.val_cache)]

    def gather(self, rows: Any) -> Any:
        self._batch.seq_lens = self._kept.seq_lens[rows]
        # Not more steps than the longest of these battles has.
        steps = int(self._batch.seq_lens.max()) + 1
        for kept, batch in self._caches:
            batch.data = kept.data[:, :, :steps].index_select(1, rows)
        return self._batch

    def scatter(self, rows: Any, hidden: Any) -> None:
        before = self._kept.seq_lens[rows]
        # In a full row all steps moved by one; in others one step was added.
        full = before == self._kept.key_cache.max_seq_len - 1
        where = (~full).nonzero().squeeze(-1)
        for kept, batch in self._caches:
            kept.data[:, rows[where], before[where]] = batch.data[:, where, before[where]]
            if full.any():
                kept.data[:, rows[full]] = batch.data[:, full]
        self._kept.seq_lens[rows] = hidden.seq_lens

    def _grow(self, rows: int) -> None:
        larger = self._new(rows)
        before = self._kept.seq_lens.shape[0]
        larger.key_cache.data[:, :before] = self._kept.key_cache.data
        larger.val_cache.data[:, :before] = self._kept.val_cache.data
        larger.seq_lens[:before] = self._kept.seq_lens
        self._kept = larger

    def _clear(self, row: int) -> None:
        self._kept.seq_lens[row] = 0


def memory_of(metamon: loading.Metamon, policy: Any, device: Any) -> Memory:
    """The memory for a policy's kind of network.

    Raises:
        PlayError: there is none.
    """
    encoders = metamon.amago.nets.traj_encoders
    encoder = policy.traj_encoder
    if isinstance(encoder, encoders.TformerTrajEncoder):
        return TransformerMemory(encoder, device)
    if isinstance(encoder, encoders.GRUTrajEncoder):
        return RecurrentMemory(encoder, device)
    without = (encoders.FFTrajEncoder, getattr(encoders, "IdentityTrajEncoder", encoders.FFTrajEncoder))
    if isinstance(encoder, without):
        return Memory()
    raise loading.PlayError(
        f"the hidden state of {type(encoder).__name__} is not supported here: play this agent with --venue server"
    )
