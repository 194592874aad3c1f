"""Builds the trajectory of one side in metamon's parsed-replay format.

The document is a JSON object ``{"states": [...], "actions": [...]}`` with two lists of equal length. The last state is
that at the end of the battle, and the last action is the placeholder -1.
"""

from __future__ import annotations

from lz4.frame import LZ4FrameCompressor

from pokeladder.records import Outline, StateOutline
from pokeladder.trajectories.observation import NO_ACTION, Observation
from pokeladder.trajectories.outlines import outline_of_state
from pokeladder.trajectories.states import State, encode

# Size at which states are compressed, in bytes.
COMPRESSED_AT_ONCE = 1 << 20


class TrajectoryBuilder:
    """Collects the states and actions of a side.

    Attributes:
        invalid_steps: numbers, from 0, of the steps at which the agent's first choice was illegal.
        size: size of the finished document in bytes.
    """

    def __init__(self, observation: Observation, format_id: str) -> None:
        self._observation = observation
        self._format = format_id
        self._writer = LZ4FrameCompressor()
        self._frame = bytearray(self._writer.begin())
        self._outlines: list[StateOutline] = []
        self._first: State | None = None
        self._actions: list[int] = []
        # JSON of the states that are not compressed yet, and its size.
        self._states: list[bytes] = []
        self._length = 0
        self.invalid_steps: list[int] = []
        self.size = 0

    @property
    def steps(self) -> int:
        """Number of ended decisions."""
        return len(self._actions)

    def act(self, choice: str) -> None:
        """Ends the decision with the choice that the simulator carried out, in its notation."""
        if self._observation.present is not None:
            self._end_step(self._observation.present, self._observation.action(choice))

    def give_up(self) -> None:
        """Ends the decision without a choice, for a forfeit."""
        if self._observation.present is not None:
            self._forget_invalid()
            self._end_step(self._observation.present, NO_ACTION)

    def mark_invalid(self) -> None:
        """Marks the present decision as invalid."""
        if self._observation.present is not None:
            self.invalid_steps.append(len(self._actions))

    def finish(self) -> tuple[bytes, Outline]:
        """Ends the trajectory with the present state; an unfinished decision is left out.

        Returns:
            The document as an lz4 frame, and its outline.
        """
        self._forget_invalid()
        last = self._observation.final()
        self._write(last)
        self._compress()
        end = b'],"actions":' + encode([*self._actions, NO_ACTION]) + b"}"
        self._frame += self._writer.compress(end)
        self._frame += self._writer.flush()
        self.size += len(end)
        first = self._first or last
        outline = Outline(
            action_count=len(self._actions) + 1,
            format=self._format,
            actions=self._actions,
            states=self._outlines,
            bench=[pokemon.species for pokemon in first.available_switches],
            bench_hp=[pokemon.hp_pct for pokemon in last.available_switches],
            opponent_pokemon_left=last.opponents_remaining,
            won=last.battle_won,
            lost=last.battle_lost,
        )
        return bytes(self._frame), outline

    def _forget_invalid(self) -> None:
        """Unmarks the present decision: one without an action does not count as invalid."""
        if self.invalid_steps and self.invalid_steps[-1] == len(self._actions):
            self.invalid_steps.pop()

    def _end_step(self, state: State, action: int) -> None:
        self._write(state)
        self._actions.append(action)

    def _write(self, state: State) -> None:
        if self._first is None:
            self._first = state
        written = encode(state)
        self._states += b"," if self._outlines else b'{"states":[', written
        self._outlines.append(outline_of_state(state))
        self._length += len(written)
        # Limits the memory of a hundred battles of a thousand turns.
        if self._length > COMPRESSED_AT_ONCE:
            self._compress()

    def _compress(self) -> None:
        text = b"".join(self._states)
        self._frame += self._writer.compress(text)
        self.size += len(text)
        self._states.clear()
        self._length = 0
