"""Agents that behave, and agents that do not; each is named after what it does."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from poke_env.player import MaxBasePowerPlayer, Player, RandomPlayer
from poke_env.player.battle_order import BattleOrder, ForfeitBattleOrder, _EmptyBattleOrder

from pokeladder.batches import BatchPlayer, decision_seed
from pokeladder.play.embedded import simulators


class FirstLegal(Player):
    """Always the first choice there is."""

    def choose_move(self, battle: Any) -> BattleOrder:
        orders = battle.valid_orders
        return orders[0] if orders else self.choose_default_move()

    def teampreview(self, battle: Any) -> str:
        assert len(battle.team) == 6
        assert len(battle.teampreview_opponent_team) == 6
        assert len(battle.teampreview_team) == 6
        return "/team 213456"


class Strongest(Player):
    """The move with the highest base power, else the first switch: always the same in the same place."""

    def choose_move(self, battle: Any) -> BattleOrder:
        if battle.available_moves:
            return self.create_order(max(battle.available_moves, key=lambda move: (move.base_power, move.id)))
        return (
            self.create_order(battle.available_switches[0]) if battle.available_switches else self.choose_default_move()
        )

    def teampreview(self, battle: Any) -> str:
        return "/team 123456"


class AsyncRandom(RandomPlayer):
    """Thinks asynchronously, about the battle and about the team."""

    async def choose_move(self, battle: Any) -> BattleOrder:  # type: ignore[override]
        await asyncio.sleep(0.001)
        async with self.lock:
            return self.choose_random_move(battle)

    async def teampreview(self, battle: Any) -> str:  # type: ignore[override]
        await asyncio.sleep(0.001)
        return self.random_teampreview(battle)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lock = asyncio.Lock()


class Stubborn(RandomPlayer):
    """Takes no arguments but its own, and passes none on."""

    def __init__(self, strength: int = 1, target: str = "") -> None:
        super().__init__()
        self.strength = strength
        self.target = target


class Raises(Player):
    def choose_move(self, battle: Any) -> BattleOrder:
        raise ValueError("no idea")


class RaisesLater(RandomPlayer):
    async def choose_move(self, battle: Any) -> BattleOrder:  # type: ignore[override]
        await asyncio.sleep(0)
        raise ValueError("no idea either")


class Exits(Player):
    def choose_move(self, battle: Any) -> BattleOrder:
        raise SystemExit(3)


class ExitsLater(Player):
    async def choose_move(self, battle: Any) -> BattleOrder:  # type: ignore[override]
        await asyncio.sleep(0)
        raise SystemExit(4)


class Nonsense(Player):
    def choose_move(self, battle: Any) -> BattleOrder:
        return 42  # type: ignore[return-value]


class ForfeitsAtOnce(Player):
    def choose_move(self, battle: Any) -> BattleOrder:
        return ForfeitBattleOrder()


class Illegal(Player):
    """Insists on a switch that nobody has."""

    def choose_move(self, battle: Any) -> BattleOrder:
        return self.create_order("/choose switch missingno")  # type: ignore[arg-type]


class Sleeps(Player):
    def choose_move(self, battle: Any) -> BattleOrder:
        time.sleep(3600)
        raise AssertionError


class Spins(Player):
    """Catches what it can and never comes to an end by itself."""

    def choose_move(self, battle: Any) -> BattleOrder:
        try:
            while True:
                pass
        except Exception:  # noqa: BLE001
            return self.choose_move(battle)


class AsyncSleeps(Player):
    """Does not even let itself be cancelled."""

    async def choose_move(self, battle: Any) -> BattleOrder:  # type: ignore[override]
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                await asyncio.sleep(1)


class AsyncBlocks(Player):
    """Blocks the event loop between two awaits."""

    async def choose_move(self, battle: Any) -> BattleOrder:  # type: ignore[override]
        await asyncio.sleep(0)
        time.sleep(3600)
        raise AssertionError


class Deaf(Player):
    """Blocks the alarm, as native code that never returns does."""

    def choose_move(self, battle: Any) -> BattleOrder:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        time.sleep(3600)
        raise AssertionError


class Crashes(Player):
    """Takes its whole process down."""

    def choose_move(self, battle: Any) -> BattleOrder:
        os._exit(7)


class Forfeits(RandomPlayer):
    def choose_move(self, battle: Any) -> BattleOrder:
        return ForfeitBattleOrder() if battle.turn >= 3 else self.choose_random_move(battle)


class Observer(RandomPlayer):
    """Raises in the callback at the end unless the battle looks as it should; writes down which it won, in ``path``."""

    def __init__(self, path: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.path = Path(path)

    def _battle_finished_callback(self, battle: Any) -> None:
        assert battle.finished
        assert battle.battle_tag in self.battles
        assert battle.player_username == self.username
        assert len(self.battles) <= 16, "finished battles are kept"
        with self.path.open("a") as file:
            file.write(f"{number_of(battle)} {battle.won}\n")


class Unbuildable(Player):
    def __init__(self, **kwargs: Any) -> None:
        raise RuntimeError("weights are missing")

    def choose_move(self, battle: Any) -> BattleOrder:
        raise AssertionError


class PondersFirst(RandomPlayer):
    """Blocks the event loop for a while in the first turn of each battle, and gives up in the second."""

    def choose_move(self, battle: Any) -> BattleOrder:
        if battle.turn >= 2:
            return ForfeitBattleOrder()
        time.sleep(0.4)
        return self.choose_random_move(battle)


class Ponders(RandomPlayer):
    """Blocks the event loop, but not for long, and gives up soon."""

    def choose_move(self, battle: Any) -> BattleOrder:
        time.sleep(0.1)
        return ForfeitBattleOrder() if battle.turn >= 4 else self.choose_random_move(battle)


class NeverBuilt(RandomPlayer):
    def __init__(self, **kwargs: Any) -> None:
        sys.stderr.write("loading for ever\n")
        time.sleep(3600)


class Undecided(Player):
    """Lacks choose_move."""


NOT_AN_AGENT = 42


def not_a_player(**kwargs: Any) -> object:
    return object()


class KilledOnce(RandomPlayer):
    """Is killed in its first battle, unless the file ``flag`` in a folder says that it has been."""

    def __init__(self, folder: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.flag = Path(folder, "flag")

    def choose_move(self, battle: Any) -> BattleOrder:
        if battle.turn >= 3 and not self.flag.exists():
            self.flag.touch()
            self.happen()
        return self.choose_random_move(battle)

    def happen(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class SleepsOnce(KilledOnce):
    """Falls asleep instead of being killed."""

    def happen(self) -> None:
        time.sleep(3600)


class Waits(MaxBasePowerPlayer):
    """Waits in each battle whose number in its process is above that in a folder's file ``limit``, while it is there.

    The folder is a parameter, and not the file, whose content would be part of the agent's version.
    """

    def __init__(self, folder: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.limit = Path(folder, "limit")

    async def choose_move(self, battle: Any) -> BattleOrder:  # type: ignore[override]
        while number_of(battle) > self.allowed():
            await asyncio.sleep(0.02)
        return super().choose_move(battle)  # type: ignore[return-value]

    def allowed(self) -> float:
        try:
            return float(self.limit.read_text() or 0)
        except FileNotFoundError:
            return float("inf")


class Kills(RandomPlayer):
    """Kills its simulator, or its own process, once for each file in ``folder``, which it removes."""

    def __init__(self, folder: str, victim: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.folder = Path(folder)
        self.victim = victim
        self.killed = 0

    def choose_move(self, battle: Any) -> BattleOrder:
        if battle.turn >= 3 and number_of(battle) > 2:
            for file in self.folder.iterdir():
                self.kill(file)
        return self.choose_random_move(battle)

    def kill(self, file: Path) -> None:
        victims = simulator_processes() if self.victim == "simulator" else [os.getpid()]
        if victims and victims[-1] != self.killed:
            with suppress(FileNotFoundError):  # another process was faster
                file.unlink()
                self.killed = victims[-1]
                os.kill(self.killed, signal.SIGKILL)


class StopsSimulator(RandomPlayer):
    """Stops its simulator in the first battle, which then has a second to answer; the next one has a minute again."""

    def __init__(self, folder: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.flag = Path(folder, "flag")
        self.watching: asyncio.Future[None] | None = None

    async def choose_move(self, battle: Any) -> BattleOrder:  # type: ignore[override]
        if battle.turn >= 3 and not self.flag.exists():
            (stopped,) = simulator_processes()
            self.flag.write_text(f"{stopped}")
            os.kill(stopped, signal.SIGSTOP)
            usual, simulators.SILENT_SECONDS = simulators.SILENT_SECONDS, 1.0
            self.watching = asyncio.ensure_future(self.restore(stopped, usual))
        return self.choose_random_move(battle)

    async def restore(self, stopped: int, usual: float) -> None:
        while stopped in simulator_processes():
            await asyncio.sleep(0.01)
        simulators.SILENT_SECONDS = usual


class StopsItself(RandomPlayer):
    """Stops its own process in the first battle, while it decides nothing."""

    def __init__(self, folder: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.flag = Path(folder, "flag")

    async def choose_move(self, battle: Any) -> BattleOrder:  # type: ignore[override]
        if battle.turn >= 3 and not self.flag.exists():
            asyncio.get_running_loop().call_soon(self.stop)
        return self.choose_random_move(battle)

    def stop(self) -> None:
        self.flag.touch()
        os.kill(os.getpid(), signal.SIGSTOP)


class Leaves(RandomPlayer):
    """Leaves each battle in its third turn, for good."""

    async def choose_move(self, battle: Any) -> BattleOrder:  # type: ignore[override]
        if battle.turn >= 3:
            await self.ps_client.send_message(f"/leave {battle.battle_tag}")
            await self.ps_client.send_message("/noreply /part")
            await asyncio.sleep(3600)
        return self.choose_random_move(battle)


class Batched(BatchPlayer, Strongest):
    """As Strongest, for many positions at once; writes down how many they were, and how many battles it knows."""

    # Batches are as large as they can be, however slow the machine is.
    batch_seconds = 3600.0
    choose_one = Strongest.choose_move
    choose_move = BatchPlayer.choose_move

    def __init__(self, folder: str = "", size: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.folder = Path(folder)
        self.batch_size = size
        self.under_way: list[Any] = []

    def note(self, text: str) -> None:
        with (self.folder / f"{os.getpid()}.txt").open("a") as file:
            file.write(f"{text}\n")

    def battle_began(self, battle: Any) -> None:
        assert battle not in self.under_way
        self.under_way.append(battle)

    def battle_ended(self, battle: Any) -> None:
        self.under_way.remove(battle)
        self.note(f"left {len(self.under_way)}")

    def choose_batch(self, battles: Sequence[Any]) -> Sequence[BattleOrder]:
        assert set(battles) <= set(self.under_way)
        self.note(f"asked {len(battles)}")
        return [self.choose_one(battle) for battle in battles]


class BatchedLater(Batched):
    """Awaits something in between."""

    async def choose_batch(self, battles: Sequence[Any]) -> Sequence[BattleOrder]:  # type: ignore[override]
        await asyncio.sleep(0.005)
        return super().choose_batch(battles)


class BatchedLuck(Batched):
    """Draws its choices as one should."""

    def choose_one(self, battle: Any) -> BattleOrder:
        return random.Random(decision_seed(battle)).choice(battle.valid_orders or [self.choose_default_move()])


class BatchedTrouble(Batched):
    """Cannot deal with every seventh turn."""

    def choose_batch(self, battles: Sequence[Any]) -> Sequence[BattleOrder]:
        if any(battle.turn % 7 == 0 for battle in battles):
            raise ValueError("not in turn seven")
        return super().choose_batch(battles)


class BatchedShort(Batched):
    """Forgets the last position."""

    def choose_batch(self, battles: Sequence[Any]) -> Sequence[BattleOrder]:
        return super().choose_batch(battles[:-1])


class BatchedSleep(Batched):
    def choose_batch(self, battles: Sequence[Any]) -> Sequence[BattleOrder]:
        time.sleep(1000)
        return []


class BatchedKill(BatchedLater):
    """Kills one of two simulators, once, while it is asked about two of its battles; writes down which they are."""

    def choose_batch(self, battles: Sequence[Any]) -> Any:
        if not list(self.folder.glob("*.killed")):
            found = simulator_processes()
            for which, pid in enumerate(found):
                # A battle is in the simulator that its number says.
                lost = {number for number in map(number_of, battles) if number % len(found) == which}
                if len(lost) >= 2:
                    (self.folder / f"{pid}.killed").write_text(" ".join(map(str, lost)))
                    os.kill(pid, signal.SIGKILL)
                    break
        return super().choose_batch(battles)


class Renews(Strongest):
    """Has its process renew simulators after ten battles; does not go on before it has, and writes down which it saw.

    At most three more battles may begin before a simulator is renewed that has had ten.
    """

    def __init__(self, path: str, **kwargs: Any) -> None:
        simulators.BATTLES = 10
        super().__init__(**kwargs)
        self.path = Path(path)
        self.seen: set[int] = set()

    async def choose_move(self, battle: Any) -> BattleOrder:  # type: ignore[override]
        number = number_of(battle)
        while len(self.seen) < 1 + (number > 13) + (number > 30):
            await asyncio.sleep(0.01)
            for pid in {*simulator_processes()} - self.seen:
                self.seen.add(pid)
                with self.path.open("a") as file:
                    file.write(f"{pid}\n")
        return super().choose_move(battle)


def number_of(battle: Any) -> int:
    """The number of a battle in its process, the first being 1."""
    return int(battle.battle_tag.rpartition("-")[2])


def simulator_processes() -> list[int]:
    """Those of this process that have not ended, in the order in which they were started."""
    found = []
    for process in psutil.Process().children():
        with suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and any("driver.js" in word for word in process.cmdline()):
                found.append(process.pid)
    return sorted(found)


class Slow(MaxBasePowerPlayer):
    """In the store that version 0.1.0 left (``data/store-0.1.0.tar.gz``)."""

    def __init__(self, *, patience: int = 1, **settings: object) -> None:
        super().__init__(**settings)
        self.patience = patience


class SendsForfeit(RandomPlayer):
    """Gives up by a message to the server, as bots do, and chooses a move all the same.

    Args:
        way: by which road the message goes.
    """

    def __init__(self, way: str = "message", **settings: Any) -> None:
        super().__init__(**settings)
        self.way = way

    async def choose_move(self, battle: Any) -> BattleOrder:  # type: ignore[override]
        if battle.turn >= 3:
            if self.way == "socket":
                await self.ps_client.websocket.send(f"{battle.battle_tag}|/forfeit")
            else:
                await self.ps_client.send_message("/forfeit", battle.battle_tag)
        return self.choose_random_move(battle)


class SendsChoices(FirstLegal):
    """Sends its choices itself and answers nothing; and talks."""

    async def choose_move(self, battle: Any) -> BattleOrder:  # type: ignore[override]
        await self.ps_client.send_message("/timer on", battle.battle_tag)
        await self.ps_client.send_message("good luck", battle.battle_tag)
        await self.ps_client.send_message(super().choose_move(battle).message, battle.battle_tag)
        return _EmptyBattleOrder()
