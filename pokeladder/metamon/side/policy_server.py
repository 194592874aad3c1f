"""Answers positions of many battles with one metamon policy, in batches; runs in metamon's interpreter.

Clients connect to a Unix socket; ``protocol.py`` describes the messages. An action depends on the state, the earlier
steps of the slot, and the seed. Other positions of the batch have no influence, except on the rounding of sums.

Exit status: 0 when the standard input is closed or the parent has ended; otherwise the last line on stderr is the
reason.
"""

from __future__ import annotations

import argparse
import copy
import gc
import os
import random
import select
import sys
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or __package__:
    from pokeladder.metamon.side import loading, memory
    from pokeladder.metamon.side.protocol import MISSING, pack, unpack
else:  # run as a file, by an interpreter that has no pokeladder
    import loading
    import memory
    from protocol import MISSING, pack, unpack

POLL_SECONDS = 0.5
BACKLOG = 128


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    loading.add_weights(parser)
    parser.add_argument("--address", required=True, help="path of the Unix socket")
    parser.add_argument("--format", required=True)
    parser.add_argument(
        "--batch-size", type=int, help="largest number of positions of a batch; default 64 on a CPU, 256 on a GPU"
    )
    parser.add_argument("--delay", type=float, default=0.002, help="seconds to wait for more positions")
    parser.add_argument("--seed", type=int, default=0, help="seed of metamon's own random numbers")
    return parser.parse_args()


class Slot:
    """One side of one battle, with the state of metamon's environment.

    Attributes:
        row: row of its hidden state in the memory; None before the first answer.
        asking: whether a question of the slot is unanswered.
    """

    def __init__(self, client: Client, number: int, environment: Any, model: Any) -> None:
        self.client = client
        self.number = number
        # The tokenizer is large and does not change: copies share it.
        tokenizer = model.tokenizer
        self.observe = copy.deepcopy(model.observation_space, {id(tokenizer): tokenizer})
        self.observe.reset()
        # A shallow copy is enough: only the count of steps differs between slots.
        self.environment = copy.copy(environment)
        self.state: Any = None
        self.action: Any = None
        self.row: int | None = None
        self.asking = False


@dataclass(slots=True)
class Question:
    """A position in the form of the policy's input: observations by name, previous action and reward, step number."""

    slot: Slot
    legal: list[int]
    seed: int
    observation: dict[str, Any]
    rl2: Any
    step: Any


class Client:
    """A connection, with a thread that reads it and prepares positions for the policy."""

    def __init__(self, connection: Connection[bytes, bytes], policy: Policy, queue: Queue) -> None:
        self._connection = connection
        self._policy = policy
        self._queue = queue
        self._environment = policy.new_environment()
        self._slots: dict[int, Slot] = {}

    def send(self, message: tuple[Any, ...]) -> None:
        # The reading thread notices a closed connection, and releases its slots.
        with suppress(OSError):
            self._connection.send_bytes(pack(message))

    def read(self) -> None:
        try:
            self.send(("ready",))
            while True:
                kind, items = unpack(self._connection.recv_bytes())
                if kind == "ask":
                    self._ask(items)
                elif kind == "forget":
                    self._queue.forget([self._slots.pop(number) for number in items if number in self._slots])
                else:
                    raise ValueError(f"a client sends {kind!r}")
        except (EOFError, ConnectionError):
            pass
        except Exception as error:
            loading.say(f"a client was disconnected because of an invalid message: {type(error).__name__}: {error}")
        finally:
            self._queue.forget(list(self._slots.values()))
            self._connection.close()

    def _ask(self, items: list[tuple[int, bytes, list[int], int]]) -> None:
        questions, failed = [], []
        for number, state, legal, seed in items:
            slot = self._slots.get(number)
            if slot is None:
                slot = self._slots[number] = Slot(self, number, self._environment, self._policy.model)
            if slot.asking:
                raise ValueError(f"slot {number} asks again before its answer")
            try:
                questions.append(self._policy.question(slot, state, legal, seed))
            except Exception as error:
                self._policy.complain(error)
                failed.append((number, MISSING))
            else:
                slot.asking = True
        if failed:
            self.send(("answer", failed))
        self._queue.put(questions)


class Queue:
    """Waiting questions and ended slots of all clients."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._questions: deque[Question] = deque()
        self._over: list[Slot] = []

    def put(self, questions: list[Question]) -> None:
        with self._changed:
            self._questions += questions
            self._changed.notify()

    def forget(self, slots: list[Slot]) -> None:
        with self._changed:
            self._over += slots

    def take(self, most: int, delay: float) -> tuple[list[Question], list[Slot]]:
        """The next questions, at least one, and the ended slots without further questions."""
        with self._changed:
            self._changed.wait_for(lambda: self._questions)
            self._changed.wait_for(lambda: len(self._questions) >= most, delay)
            questions = [self._questions.popleft() for _ in range(min(most, len(self._questions)))]
            waiting = {id(question.slot) for question in self._questions}
            over = [slot for slot in self._over if id(slot) not in waiting]
            self._over = [slot for slot in self._over if id(slot) in waiting]
            return questions, over


class Policy:
    """A loaded metamon agent, with metamon's environment to prepare its input.

    Attributes:
        model: metamon's model of the agent.
        batch_size: largest number of positions of a batch.
    """

    def __init__(self, metamon: loading.Metamon, options: argparse.Namespace, folder: Path) -> None:
        import orjson  # metamon's own
        import torch

        random.seed(options.seed)
        torch.manual_seed(options.seed)
        self._torch, self._metamon, self._format = torch, metamon, options.format
        self._parse = orjson.loads
        self.model = loading.model_of(metamon, options, folder)
        wanted = {"checkpoint": options.epoch, "log": False, "action_temperature": options.temperature}
        known = loading.parameters(self.model.initialize_agent)
        loading.mend_configuration(metamon, self.model)
        loading.mend_loading(metamon, self.model, options, folder)
        self._experiment = self.model.initialize_agent(**{name: wanted[name] for name in wanted if name in known})
        self._agent = self._experiment.policy
        self._agent.eval()
        self._device = self._experiment.DEVICE
        self._memory = memory.memory_of(metamon, self._agent, self._device)
        # On a CPU larger batches exceed the caches: each position takes two thirds longer in batches of 256 than of 64.
        self.batch_size = options.batch_size or (64 if self._device.type == "cpu" else 256)
        self._sample = getattr(
            self._experiment, "sample_actions_val", getattr(self._experiment, "sample_actions", True)
        )
        self._seeds: list[int] = []
        for module in self._agent.modules():
            if isinstance(module, metamon.amago.nets.actor_critic.BaseActorHead):
                module.register_forward_hook(self._draw_from_seeds)
        self._complained: set[str] = set()

    def new_environment(self) -> Any:
        """metamon's wrappers around an environment that returns given values."""
        import gymnasium

        model, battle_format = self.model, self._format

        class Handed(gymnasium.Env[Any, Any]):
            observation_space = model.observation_space.gym_space
            action_space = model.action_space.gym_space
            metamon_action_space = model.action_space
            metamon_battle_format = battle_format
            metamon_opponent_name = "opponent"
            observation: Any
            legal: Any
            reward: Any

            def reset(self, **_: Any) -> Any:
                return self.observation, {"legal_actions": self.legal}

            def step(self, _: Any) -> Any:
                return self.observation, self.reward, False, False, {"legal_actions": self.legal}

        return self._metamon.bridge.MetamonAMAGOWrapper(Handed())

    def question(self, slot: Slot, state: bytes, legal: list[int], seed: int) -> Question:
        """The policy's input for a position, as metamon's environment makes it after the slot's earlier steps."""
        interface = self._metamon.interface
        now = interface.UniversalState.from_dict(self._parse(state))
        handed = slot.environment.unwrapped
        handed.observation = slot.observe.state_to_obs(now)
        handed.legal = [
            self.model.action_space.action_to_agent_output(state=now, action=interface.UniversalAction(index))
            for index in legal
        ]
        if slot.state is None:
            step, _ = slot.environment.reset()
        else:
            handed.reward = self.model.reward_function(slot.state, now)
            # metamon's own ``step`` would silently begin another battle after an exception.
            step, *_ = self._metamon.amago.envs.AMAGOEnv.step(slot.environment, slot.action)
        slot.state = now
        return Question(slot, legal, seed, *step.as_input())

    def answer(self, questions: list[Question]) -> list[int]:
        """An action for each question, in their order."""
        torch = self._torch
        for question in questions:
            if question.slot.row is None:
                question.slot.row = self._memory.take()
        rows = torch.tensor([question.slot.row for question in questions], device=self._device)
        self._seeds = [question.seed for question in questions]
        with torch.no_grad(), self._experiment.caster():
            actions, hidden = self._agent.get_actions(
                obs={
                    key: self._stacked([one.observation[key] for one in questions]) for key in questions[0].observation
                },
                rl2s=self._stacked([question.rl2 for question in questions]),
                time_idxs=self._stacked([question.step for question in questions]),
                sample=self._sample,
                hidden_state=self._memory.gather(rows),
            )
            self._memory.scatter(rows, hidden)
        return [
            self._action(question, action)
            for question, action in zip(questions, actions.squeeze(1).cpu().numpy(), strict=True)
        ]

    def release(self, slot: Slot) -> None:
        if slot.row is not None:
            self._memory.release(slot.row)

    def complain(self, error: Exception) -> None:
        kind = type(error).__name__
        if kind not in self._complained:
            self._complained.add(kind)
            loading.say(f"a position could not be read and got no action: {kind}: {error}")

    def _stacked(self, arrays: list[Any]) -> Any:
        """Stacks arrays of one row into a tensor of rows with one step."""
        import numpy as np

        return self._torch.from_numpy(np.concatenate(arrays)).to(self._device).unsqueeze(1)

    def _draw_from_seeds(self, _: Any, __: Any, distribution: Any) -> None:
        def sample() -> Any:
            shares = distribution.probs.double().cumsum(-1)
            drawn = shares.new_tensor([random.Random(seed).random() for seed in self._seeds])  # noqa: S311
            beyond = shares <= drawn.view(-1, 1, 1, 1) * shares[..., -1:]
            return beyond.sum(-1, keepdim=True)

        distribution.sample = sample

    def _action(self, question: Question, action: Any) -> int:
        slot = question.slot
        slot.action = action
        index: int = self.model.action_space.agent_output_to_action(state=slot.state, agent_output=action[0]).action_idx
        if index in question.legal or not question.legal:
            return index
        # Illegal actions keep a small probability. As metamon's environment does, play a random legal action, and show
        # the policy its own choice at the next step.
        generator = random.Random(question.seed)  # noqa: S311
        generator.random()
        return generator.choice(question.legal)


def serve(policy: Policy, listener: Listener, options: argparse.Namespace) -> None:
    """Answers questions until the process ends."""
    queue = Queue()

    def accept() -> None:
        while True:
            client = Client(listener.accept(), policy, queue)
            threading.Thread(target=client.read, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    while True:
        questions, over = queue.take(policy.batch_size, options.delay)
        answers: dict[Client, list[tuple[int, int]]] = {}
        for question, action in zip(questions, policy.answer(questions), strict=True):
            question.slot.asking = False
            answers.setdefault(question.slot.client, []).append((question.slot.number, action))
        for client, answered in answers.items():
            client.send(("answer", answered))
        for slot in over:
            policy.release(slot)


def watch_parent(address: Path) -> None:
    """Starts a thread that ends the process when its standard input is closed or its parent has ended."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            if select.select([0], [], [], POLL_SECONDS)[0] and not os.read(0, 4096):
                break
        address.unlink(missing_ok=True)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def main() -> int:
    options = arguments()
    # Networks would be compiled anew for each size of batch.
    os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
    watch_parent(Path(options.address))
    try:
        listener = Listener(options.address, "AF_UNIX", backlog=BACKLOG)
    except OSError as error:
        loading.say(f"the socket {options.address} cannot be made: {error}")
        return 1
    # Clients can connect while metamon is being loaded.
    with listener:
        folder = Path(f"{options.address}.tmp")
        loading.settle(folder)
        try:
            policy = Policy(loading.Metamon(), options, folder)
        except loading.PlayError as error:
            loading.say(str(error))
            return 1
        # Loaded objects live as long as the process: the garbage collector can skip them.
        gc.freeze()
        serve(policy, listener, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
