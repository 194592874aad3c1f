"""Loads a metamon agent; runs in metamon's interpreter.

It needs only metamon and the standard library. Functions of metamon's versions take different arguments, which are
looked up and not derived from the version.
"""

from __future__ import annotations

import argparse
import inspect
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

SETTINGS = {
    "HF_HUB_OFFLINE": "1",
    "WANDB_MODE": "disabled",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
}


class PlayError(Exception):
    """The agent cannot be played; the message has the reason."""


def add_weights(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the weights and their architecture."""
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


def settle(folder: Path) -> None:
    """Makes ``folder`` for temporary files, and sets the environment variables that metamon reads at import."""
    folder.mkdir(exist_ok=True)
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    # metamon cannot be imported without it; pretrained models are found there.
    os.environ.setdefault("METAMON_CACHE_DIR", str(folder))
    # Libraries leave folders behind, since these processes end abruptly; compiled kernels are kept for later processes.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", f"{tempfile.gettempdir()}/torchinductor_{os.getuid()}")
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def parameters(function: Any) -> set[str]:
    return set(inspect.signature(function).parameters)


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
        """The path of a gin file, given as a path or as the name of one of metamon's."""
        from metamon import rl

        for path in (Path(given), Path(getattr(rl, f"{kind}_CONFIG_DIR")) / given):
            if path.is_file():
                return str(path.resolve())
        raise PlayError(f"there is no gin file {given}: name a path, or one of metamon's files")


def model_of(metamon: Metamon, options: argparse.Namespace, folder: Path) -> Any:
    """metamon's model of the agent, with the path and the architecture of its weights."""
    if options.model:
        return metamon.registered(options.model)()
    weights = options.run / "ckpts" / "policy_weights"
    if not (weights / f"policy_epoch_{options.epoch}.pt").is_file():
        raise PlayError(f"there is no epoch {options.epoch} in {weights}")
    # metamon joins paths of configurations to its own folders, which an absolute path overrides.
    train_config = folder / "empty.gin"
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
        raise PlayError(f"the run has no configuration ({recorded} does not exist): set base or model_config")
    return metamon.pretrained.LocalPretrainedModel(
        tokenizer=metamon.tokenizer.get_tokenizer(options.tokenizer),
        observation_space=metamon.interface.get_observation_space(options.observation_space),
        action_space=metamon.interface.get_action_space(options.action_space),
        reward_function=metamon.interface.get_reward_function(options.reward),
        **place,
        **configs,
    )


def mend_configuration(metamon: Metamon, model: Any) -> None:
    """Patches metamon to use the model's tokenizer everywhere, and an attention that this machine supports."""
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
        # Bound last, since files override given values.
        with gin.unlock_config():
            for name in with_tokenizer:
                gin.bind_parameter(f"{name}.tokenizer", model.tokenizer)
            if not flash:
                attention = metamon.amago.nets.transformer.VanillaAttention
                gin.bind_parameter("amago.nets.traj_encoders.TformerTrajEncoder.attention_type", attention)
        if finalize:
            gin.finalize()

    metamon.amago.cli_utils.use_config = use


def mend_loading(metamon: Metamon, model: Any, options: argparse.Namespace, folder: Path) -> None:
    """Patches metamon: read-only run folder, load epoch 0, apply the temperature."""
    import torch

    make_experiment = metamon.pretrained.make_placeholder_experiment
    initialize = model.initialize_agent

    def make_elsewhere(*given: Any, **named: Any) -> Any:
        bound = inspect.signature(make_experiment).bind(*given, **named)
        bound.arguments.update(ckpt_base_dir=str(folder), run_name="play")
        return make_experiment(*bound.args, **bound.kwargs)

    def initialize_agent(*given: Any, **named: Any) -> Any:
        epoch = inspect.signature(initialize).bind(*given, **named).arguments.get("checkpoint")
        epoch = model.default_checkpoint if epoch is None else epoch
        try:
            path = model.get_path_to_checkpoint(epoch)
            agent = initialize(*given, **named)
            if epoch == 0:
                # metamon takes 0 for no epoch, and would play with random weights.
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
