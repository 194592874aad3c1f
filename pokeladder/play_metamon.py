"""Plays battles with one agent of metamon on a Showdown server; run by the interpreter that has metamon.

Nothing but metamon and the standard library is needed here. metamon's versions differ in what they can do and in what
their functions take, so that is looked up and never concluded from a version. What cannot be told to metamon is changed
where it reads it: the server's address, which older ones fix at localhost:8000, and where it writes.

Exit status: 0 when all battles are over; else the last line on stderr says what was wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import inspect
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SETTINGS = {
    "HF_HUB_OFFLINE": "1",
    "WANDB_MODE": "disabled",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
}
POLL_SECONDS = 0.25
CHALLENGE_SECONDS = 1.0


class PlayError(Exception):
    """It cannot be played; the message says why."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--model", help="a registered pretrained model")
    which.add_argument("--run", type=Path, help="the folder of a run, with ckpts/policy_weights in it")
    parser.add_argument("--epoch", type=int, help="of the run, or of the model if not its default one")
    parser.add_argument("--base", help="the registered model that the run was finetuned from")
    parser.add_argument("--model-config", help="gin file; the run's ckpts/config.txt by default")
    parser.add_argument("--train-config", help="gin file, where it changes the architecture")
    parser.add_argument("--observation-space", default="TeamPreviewObservationSpace")
    parser.add_argument("--action-space", default="DefaultActionSpace")
    parser.add_argument("--reward", default="DefaultShapedReward")
    parser.add_argument("--tokenizer", default="DefaultObservationSpace-v1")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--backend", default="poke-env", help="what reads battles")
    parser.add_argument("--username", required=True)
    parser.add_argument("--server", required=True)
    parser.add_argument("--format", required=True)
    parser.add_argument("--team-dir", required=True)
    parser.add_argument("--battles", type=int, required=True)
    parser.add_argument("--role", choices=["ladder", "challenger", "acceptor"], default="ladder")
    parser.add_argument("--opponent", required=True)
    parser.add_argument("--work-dir", required=True, help="gets trajectories and battle logs")
    return parser.parse_args()


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def parameters(function: Any) -> set[str]:
    return set(inspect.signature(function).parameters)


def poke_env(module: str) -> Any:
    """A module of metamon's poke-env, which is not the one that pokeladder plays with."""
    return importlib.import_module(f"poke_env.{module}")


class Metamon:
    """The modules of the installed metamon."""

    def __init__(self) -> None:
        try:
            import amago
            import metamon
            from metamon import interface, tokenizer
            from metamon.env import wrappers
            from metamon.rl import metamon_to_amago, pretrained
        except Exception as error:
            raise PlayError(f"metamon cannot be imported: {type(error).__name__}: {error}") from error
        try:
            from metamon.rl.evaluate import __main__ as evaluate
        except ImportError:
            try:
                from metamon.rl import evaluate
            except ImportError as error:
                raise PlayError(f"metamon {metamon.__version__} is too old: it has no metamon.rl.evaluate") from error
        self.package, self.amago, self.interface, self.tokenizer = metamon, amago, interface, tokenizer
        self.wrappers, self.bridge, self.pretrained, self.evaluate = wrappers, metamon_to_amago, pretrained, evaluate

    def registered(self, name: str) -> Any:
        models = self.pretrained.ALL_PRETRAINED_MODELS
        if name not in models:
            raise PlayError(f"metamon has no model {name}: there are {', '.join(sorted(models))}")
        return models[name]

    def gin_file(self, given: str, kind: str) -> str:
        """A gin file by its path, or by its name among metamon's own."""
        from metamon import rl

        for path in (Path(given), Path(getattr(rl, f"{kind}_CONFIG_DIR")) / given):
            if path.is_file():
                return str(path.resolve())
        raise PlayError(f"there is no gin file {given}, neither here nor among metamon's")


def model_of(metamon: Metamon, options: argparse.Namespace, scratch: Path) -> Any:
    """metamon's description of the agent: where its weights are, and what they were trained with."""
    if options.model:
        return metamon.registered(options.model)()
    weights = options.run / "ckpts" / "policy_weights"
    if not (weights / f"policy_epoch_{options.epoch}.pt").is_file():
        raise PlayError(f"there is no epoch {options.epoch} in {weights}")
    # Configurations are joined to metamon's own folders, which an absolute path overrides.
    train_config = scratch / "empty.gin"
    train_config.touch()
    configs: dict[str, Any] = {"train_gin_config": str(train_config)}
    if options.train_config:
        configs["train_gin_config"] = metamon.gin_file(options.train_config, "TRAINING")
    place = {
        "amago_ckpt_dir": str(options.run.parent),
        "model_name": options.run.name,
        "default_checkpoint": options.epoch,
    }
    if options.base:
        if not options.train_config:
            configs["train_gin_config"] = None
        base = metamon.registered(options.base)
        return metamon.pretrained.LocalFinetunedModel(base_model=base, **place, **configs)
    recorded = options.run / "ckpts" / "config.txt"
    if options.model_config:
        configs["model_gin_config"] = metamon.gin_file(options.model_config, "MODEL")
    elif recorded.is_file():
        configs["model_gin_config"] = str(recorded.resolve())
    else:
        raise PlayError(f"the run does not say its architecture ({recorded} does not exist): set base or model_config")
    return metamon.pretrained.LocalPretrainedModel(
        tokenizer=metamon.tokenizer.get_tokenizer(options.tokenizer),
        observation_space=metamon.interface.get_observation_space(options.observation_space),
        action_space=metamon.interface.get_action_space(options.action_space),
        reward_function=metamon.interface.get_reward_function(options.reward),
        **place,
        **configs,
    )


def mend_configuration(metamon: Metamon, model: Any) -> None:
    """Has the model's tokenizer used everywhere, and an attention that this machine has."""
    import gin
    import torch

    use_config = metamon.amago.cli_utils.use_config
    with_tokenizer = [
        name
        for name, found in vars(metamon.bridge).items()
        if inspect.isclass(found) and found.__module__ == metamon.bridge.__name__
        if "tokenizer" in parameters(found.__init__)
    ]
    try:
        import flash_attn  # noqa: F401

        flash = torch.cuda.is_available()
    except ImportError:
        flash = False

    def use(custom: Any, configs: Any = None, finalize: bool = True) -> None:
        use_config(custom, configs, finalize=False)
        # Files are read after what was given, and win: what must hold is bound last.
        with gin.unlock_config():
            for name in with_tokenizer:
                gin.bind_parameter(f"{name}.tokenizer", model.tokenizer)
            if not flash:
                attention = metamon.amago.nets.transformer.VanillaAttention
                gin.bind_parameter("amago.nets.traj_encoders.TformerTrajEncoder.attention_type", attention)
        if finalize:
            gin.finalize()

    metamon.amago.cli_utils.use_config = use


def mend_loading(metamon: Metamon, model: Any, options: argparse.Namespace, scratch: Path) -> None:
    """Has nothing written into the run's folder, epoch 0 loaded too, and the temperature heeded."""
    import torch

    make_experiment = metamon.pretrained.make_placeholder_experiment
    initialize = model.initialize_agent

    def make_elsewhere(*given: Any, **named: Any) -> Any:
        bound = inspect.signature(make_experiment).bind(*given, **named)
        bound.arguments.update(ckpt_base_dir=str(scratch), run_name="play")
        return make_experiment(*bound.args, **bound.kwargs)

    def initialize_agent(*given: Any, **named: Any) -> Any:
        epoch = inspect.signature(initialize).bind(*given, **named).arguments.get("checkpoint")
        epoch = model.default_checkpoint if epoch is None else epoch
        try:
            path = model.get_path_to_checkpoint(epoch)
            agent = initialize(*given, **named)
            if epoch == 0:
                # metamon takes 0 for none and would play with random weights.
                weights = torch.load(path, map_location="cpu", weights_only=True)
                agent.policy.load_state_dict(weights, strict=True)
                if hasattr(agent.policy, "on_checkpoint_loaded"):
                    agent.policy.on_checkpoint_loaded(is_resume=False)
        except (OSError, RuntimeError) as error:
            raise PlayError(f"epoch {epoch} of {model.model_name} cannot be loaded: {str(error)[:1000]}") from error
        if options.temperature != 1 and "action_temperature" not in parameters(initialize):
            scale_logits(agent.policy.actor, options.temperature)
        say(f"playing {path}")
        return agent

    metamon.pretrained.make_placeholder_experiment = make_elsewhere
    model.initialize_agent = initialize_agent


def scale_logits(actor: Any, temperature: float) -> None:
    forward = actor.actor_network_forward

    def scaled(*given: Any, **named: Any) -> Any:
        return forward(*given, **named) / temperature

    actor.actor_network_forward = scaled


def point_to_server(metamon: Metamon, url: str) -> None:
    """Has metamon play on this server; fails at once if there is none, for which metamon would wait for minutes."""
    address = urlsplit(url)
    try:
        socket.create_connection((address.hostname, address.port or 80), 5).close()
    except OSError as error:
        raise PlayError(f"the server {url} does not answer: {error}") from error
    metamon.wrappers.LocalhostServerConfiguration = poke_env("ps_client.server_configuration").ServerConfiguration(
        url, ""
    )


def teach_fight(metamon: Metamon) -> None:
    """Gen 1's ``fight``, the one move of a Pokémon that cannot choose, is shown as ``struggle`` to those that do not
    know it: they would raise, and wait until they lose."""
    client_class = poke_env("ps_client.ps_client").PSClient
    known = '"fight"' in inspect.getsource(metamon.interface.UniversalAction.action_idx_to_BattleOrder)
    if known and "fight" in getattr(poke_env("environment.move"), "SPECIAL_MOVES", ()):
        return
    handle, send = client_class._handle_message, client_class.send_message
    fighting: set[str] = set()

    async def handle_message(client: Any, message: str) -> None:
        room, _, rest = message.partition("\n")
        if room.startswith(">battle") and "|request|{" in rest:
            fighting.discard(room[1:])
            if '"id":"fight"' in rest:
                fighting.add(room[1:])
                for fight, struggle in (('"id":"fight"', '"id":"struggle"'), ('"Fight"', '"Struggle"')):
                    message = message.replace(fight, struggle)
        await handle(client, message)

    async def send_message(client: Any, message: str, room: str = "", message_2: str | None = None) -> None:
        if room in fighting:
            message = message.replace("/choose move struggle", "/choose move fight")
        await send(client, message, room, message_2)

    client_class._handle_message, client_class.send_message = handle_message, send_message


def heed_refusals(options: argparse.Namespace) -> None:
    """Ends the process where metamon would wait for ever, its name or team refused; challenges those who come late."""
    client_class = poke_env("ps_client.ps_client").PSClient
    handle = client_class._handle_message
    asking: set[Any] = set()

    async def ask_again(client: Any) -> None:
        await asyncio.sleep(CHALLENGE_SECONDS)
        await client.send_message(f"/challenge {options.opponent}, {options.format}")

    async def handle_message(client: Any, message: str) -> None:
        if message.startswith("|nametaken|"):
            end(f"the server refuses the name {options.username}: {message.rpartition('|')[2]}")
        if message.startswith("|popup|"):
            if options.role == "challenger" and "not found" in message:
                asked = asyncio.ensure_future(ask_again(client))
                asking.add(asked)
                asked.add_done_callback(asking.discard)
                return
            if "rejected" in message:
                end(message[len("|popup|") :].replace("||", " ")[:1000])
        await handle(client, message)

    client_class._handle_message = handle_message


def watch_connection(metamon: Metamon) -> list[Any]:
    """Ends the process when the server is gone; the environments that metamon makes."""
    made: list[Any] = []
    base = metamon.wrappers.PokeEnvWrapper
    initialize: Callable[..., None] = base.__init__

    def note(environment: Any, *given: Any, **named: Any) -> None:
        initialize(environment, *given, **named)
        made.append(environment)

    def watch() -> None:
        while True:
            time.sleep(POLL_SECONDS)
            if any(environment.agent.ps_client._listening_coroutine.done() for environment in made):
                time.sleep(POLL_SECONDS)
                end("the connection to the server has ended")

    base.__init__ = note
    # It draws a bar, and what it may raise would forfeit the battle.
    base.render = lambda *_, **__: None
    threading.Thread(target=watch, daemon=True).start()
    return made


def end(reason: str) -> None:
    say(reason)
    os._exit(1)


def play(metamon: Metamon, options: argparse.Namespace, scratch: Path) -> None:
    model = model_of(metamon, options, scratch)
    mend_configuration(metamon, model)
    mend_loading(metamon, model, options, scratch)
    if options.backend == "pokeagent" and not hasattr(metamon.wrappers, "PokeAgentPlayer"):
        from metamon.env import metamon_player

        metamon.wrappers.PokeAgentPlayer = metamon_player.PokeAgentPlayer
    point_to_server(metamon, options.server)
    teach_fight(metamon)
    heed_refusals(options)
    environments = watch_connection(metamon)
    function = metamon.evaluate.pretrained_vs_local_ladder
    if options.role != "ladder":
        function = getattr(metamon.evaluate, "pretrained_vs_challenge", None)
        if function is None:
            raise PlayError(f"metamon {metamon.package.__version__} can only ladder: register it with that role alone")
    wanted = {
        "pretrained_model": model,
        "username": options.username,
        "opponent_username": options.opponent,
        "role": options.role,
        "battle_format": options.format,
        "team_set": metamon.wrappers.TeamSet(options.team_dir, options.format),
        "total_battles": options.battles,
        "checkpoint": options.epoch,
        "battle_backend": options.backend,
        "action_temperature": options.temperature,
        "save_trajectories_to": options.work_dir,
        "save_results_to": options.work_dir,
        "save_team_results_to": options.work_dir,
        "log_to_wandb": False,
    }
    known = parameters(function)
    function(**{name: value for name, value in wanted.items() if name in known})
    for environment in environments:
        leave(environment)


def leave(environment: Any) -> None:
    """Closes the connection, which metamon leaves to the end of the process."""

    async def close() -> None:
        await environment.agent.ps_client.websocket.close()

    with suppress(Exception):
        asyncio.run_coroutine_threadsafe(close(), poke_env("concurrency").POKE_LOOP).result(10)
    # The watching thread must not take this for the server's doing.
    os._exit(0)


def main() -> int:
    options = arguments()
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    if not Path("/dev/nvidiactl").exists():
        # Compiling the networks takes a C++ compiler and half a minute, and gains nothing for single positions.
        os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
    with tempfile.TemporaryDirectory(prefix="play-metamon-") as folder:
        # Needed for its import; registered models are found there.
        os.environ.setdefault("METAMON_CACHE_DIR", folder)
        try:
            play(Metamon(), options, Path(folder))
        except PlayError as error:
            say(str(error))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
