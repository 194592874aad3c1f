"""``agents`` and its subcommands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

import click

from pokeladder.agents.programs import PLACEHOLDERS, ROLES
from pokeladder.agents.specs import Listing, list_agents, literal
from pokeladder.cli.numbers import Finite
from pokeladder.cli.options import opened
from pokeladder.cli.output import console, counted, say, table
from pokeladder.ladder import default_folder
from pokeladder.registry import Registry

# Options that are paths.
PATHS = ("python", "checkpoints", "cache", "folder")


@click.group(
    invoke_without_command=True,
    epilog="Example: pokeladder agents add deep --player my_bots:Search --parameter depth=5",
)
@click.pass_context
def agents(context: click.Context) -> None:
    """List the agents that can play, and register more.

    Any poke-env Player class can play as well: write package.module:Class, with parameters after commas, as in
    my_bots:Search,depth=3,name=deep. All parameters but name are passed to the class. Modules are also looked up in the
    current folder.

    Registered agents are in agents.toml in the store, or in the file $POKELADDER_AGENTS.
    """
    if context.invoked_subcommand is None:
        _print(context)


@agents.command("list", epilog="Example: pokeladder agents list")
@click.pass_context
def list_(context: click.Context) -> None:
    """List the agents, with the reason for each that cannot play."""
    _print(context)


@agents.command(
    epilog="Placeholders of --command: "
    + "; ".join(f"{{{name}}} {meaning}" for name, meaning in PLACEHOLDERS.items())
    + '. Example: pokeladder agents add mine --command "my-bot {username} {server}" --role ladder'
)
@click.argument("name")
@click.option("--player", "target", metavar="MODULE:CLASS", help="A poke-env Player class.")
@click.option(
    "--parameter", "parameters", metavar="KEY=VALUE", multiple=True, help="Argument of the class; repeatable."
)
@click.option("--command", help="A program that logs in to a Showdown server and plays there.")
@click.option("--model", metavar="NAME", help="One of metamon's pretrained models.")
@click.option("--checkpoint", metavar="RUN@EPOCH", help="A checkpoint in metamon's folder, or its path.")
@click.option("--epoch", type=click.IntRange(min=0), help="Epoch of --model, if not the default one.")
@click.option("--temperature", type=Finite(min=0), help="Temperature of metamon's action distribution.")
@click.option(
    "--role",
    "roles",
    multiple=True,
    metavar="ROLE[=WORD]",
    help=f"How it can enter a battle ({', '.join(ROLES)}), and the value of {{role}}; repeatable.  [default: ladder]",
)
@click.option("--env", "environment", metavar="KEY=VALUE", multiple=True, help="Environment variable; repeatable.")
@click.option("--folder", metavar="DIR", help="Working directory of the program.")
@click.option("--port", type=click.IntRange(1, 65535), help="The only port that the program can connect to.")
@click.option("--fixed-team", is_flag=True, default=None, help="The program keeps the team that it was started with.")
@click.option("--gpu", is_flag=True, default=None, help="The agent uses a GPU: see --gpus of tournament.")
@click.option("--start-timeout", type=Finite(min=0, min_open=True), help="Seconds to log in, and between two battles.")
@click.option("--battle-timeout", type=Finite(min=0, min_open=True), help="Seconds of a battle.")
@click.option("--python", metavar="PATH", help="metamon's interpreter, if not the common one.")
@click.pass_context
def add(
    context: click.Context,
    /,
    name: str,
    parameters: Sequence[str],
    roles: Sequence[str],
    environment: Sequence[str],
    **settings: Any,
) -> None:
    """Register an agent under NAME, or replace the registered one."""
    given = _given(settings)
    kinds = {"target": "player", "command": "command", "model": "metamon", "checkpoint": "metamon"}
    kind = [kinds[key] for key in kinds if key in given]
    if len(kind) != 1:
        raise click.UsageError("give one of --player, --command, --model and --checkpoint")
    table_: dict[str, Any] = {"kind": kind[0], **given}
    if parameters:
        table_["parameters"] = {key: literal(value) for key, value in _pairs("--parameter", parameters)}
    if environment:
        table_["environment"] = dict(_pairs("--env", environment))
    if roles:
        words = {role: word or role for role, _, word in (text.partition("=") for text in roles)}
        table_["roles"] = words if any(role != word for role, word in words.items()) else list(words)
    registry = _registry(context)
    registry.add(name, table_)
    say(f"Registered {name} in {registry.path}.", err=True)


@agents.command(epilog="Example: pokeladder agents remove deep")
@click.argument("name")
@click.pass_context
def remove(context: click.Context, name: str) -> None:
    """Remove NAME from the registry; its battles stay in the store."""
    registry = _registry(context)
    registry.remove(name)
    say(f"Removed {name} from {registry.path}.", err=True)


@agents.command(
    epilog="Example: pokeladder agents metamon --python ~/metamon/.venv/bin/python --checkpoints ~/metamon_checkpoints"
)
@click.option("--python", metavar="PATH", help="The interpreter that has metamon.")
@click.option("--checkpoints", metavar="DIR", help="A folder of runs; each run@epoch in it is an agent.")
@click.option("--cache", metavar="DIR", help="METAMON_CACHE_DIR, if it is not set.")
@click.option(
    "--steps-per-epoch", type=click.IntRange(min=1), help="Training steps of an epoch, if runs do not have it."
)
@click.option("--steps-before", type=click.IntRange(min=0), help="Training steps before the runs.")
@click.pass_context
def metamon(context: click.Context, /, **settings: Any) -> None:
    """Set the paths of metamon and its checkpoints.

    Further keys can be set in the file, for all agents or for one: base (the pretrained model that runs were finetuned
    from) or model_config, and train_config, observation_space, action_space, reward and tokenizer, if they differ from
    the trainer's defaults.
    """
    given = _given(settings)
    if not given:
        raise click.UsageError("give --python or --checkpoints")
    registry = _registry(context)
    registry.set_metamon(given)
    say(f"Updated {registry.path}; {counted(len(registry.checkpoints()), 'checkpoint')} found.", err=True)


def _registry(context: click.Context) -> Registry:
    """The registry of the store, which is made if needed."""
    return opened(context.find_root(), create=True).agents


def _print(context: click.Context) -> None:
    # Listing does not make a store.
    registry = Registry.of(Path(context.find_root().obj or default_folder()))
    rows = [astuple(listing) for listing in [*list_agents(), *registry.listings()]]
    console().print(table([field.name for field in fields(Listing)], rows))


def _given(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The given options, with absolute paths."""
    given = {key: value for key, value in settings.items() if value is not None}
    for key in PATHS:
        if key in given:
            path = Path(given[key]).expanduser().absolute()
            if not path.exists():
                raise click.UsageError(f"--{key}: there is no {path}")
            given[key] = str(path)
    return given


def _pairs(option: str, texts: Sequence[str]) -> list[tuple[str, str]]:
    pairs = [text.partition("=") for text in texts]
    for key, equals, _ in pairs:
        if not equals or not key:
            raise click.UsageError(f"{option} takes KEY=VALUE, not {key}")
    return [(key, value) for key, _, value in pairs]
