"""``agents``."""

from __future__ import annotations

from dataclasses import astuple, fields

import click

from pokeladder.agents import Listing, list_agents
from pokeladder.cli.output import console, table


@click.command(epilog="Example: pokeladder tournament random my_bots:Search,name=deep,depth=3")
def agents() -> None:
    """List the agents that can play.

    Besides these, any poke-env Player class can: name it package.module:Class. Parameters follow after commas, as in
    my_bots:Search,depth=3,name=deep; those but name are passed to the class.
    """
    rows = [astuple(listing) for listing in list_agents()]
    console().print(table([field.name for field in fields(Listing)], rows))
