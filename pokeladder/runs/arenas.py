"""Opens the arena of a run's settings."""

from __future__ import annotations

from math import ceil
from pathlib import Path

from pokeladder.agents.programs import Program
from pokeladder.agents.specs import Agent
from pokeladder.errors import UsageError
from pokeladder.metamon.policy_servers import PolicyServers
from pokeladder.play.arena import Arena
from pokeladder.play.embedded.pool import WorkerPool
from pokeladder.play.embedded.ray_pool import RayPool
from pokeladder.play.messages import Job, Rules
from pokeladder.play.server.arena import ServerArena, ServerSettings
from pokeladder.runs.settings import Plan
from pokeladder.runs.teams import team_files
from pokeladder.simulator.setup import Simulator
from pokeladder.system.processes import default_workers

BATTLES_A_WORKER = 8
# Number of battles at once with policies, which answer many positions in hardly more time than one.
BATTLES_WITH_POLICIES = 128


def open_arena(simulator: Simulator, plan: Plan, rules: Rules, log_folder: Path, games: int) -> Arena:
    """The arena of a plan; a context manager.

    Args:
        log_folder: folder for the logs of processes.
        games: number of games to play.

    Raises:
        AgentError, SimulatorError, UsageError: the arena cannot be opened.
    """
    settings = plan.settings
    if plan.venue == "server":
        return ServerArena(simulator, plan.agents, rules, _server_settings(plan, rules), log_folder)
    programs = [agent for agent in plan.agents if isinstance(agent, Program)]
    agents = tuple(agent for agent in plan.agents if isinstance(agent, Agent))
    job = Job(simulator, agents, rules, settings.simulators)
    if settings.ray is not None:
        if programs:
            raise UsageError(
                f"agent {programs[0].name} has a policy server, which other machines cannot reach: leave out --ray"
            )
        return RayPool(job, settings.ray, settings.workers, settings.parallel, BATTLES_A_WORKER, log_folder)
    workers = min(settings.workers or default_workers(), settings.parallel or games, games)
    usual = BATTLES_WITH_POLICIES if programs else BATTLES_A_WORKER
    slots = ceil((settings.parallel or usual * workers) / workers)
    servers = PolicyServers(programs, rules.format_id, log_folder, settings.gpus, workers)
    return WorkerPool(job, workers, slots, log_folder, servers)


def _server_settings(plan: Plan, rules: Rules) -> ServerSettings:
    settings = plan.settings
    return ServerSettings(
        url=settings.server_url,
        port=_port(plan),
        processes=settings.workers or default_workers(),
        folder=Path(settings.server_dir).absolute() if settings.server_dir else None,
        parallel=settings.parallel or default_workers(),
        gpus=tuple(settings.gpus),
        backend=settings.battle_backend,
        team_files=tuple(team_files(settings.team_set, rules.format_id)) if rules.teams else (),
    )


def _port(plan: Plan) -> int:
    """The port of the server to start; 0 for a free one.

    Raises:
        UsageError: agents need different ports.
    """
    wanted = {agent.name: agent.port for agent in plan.agents if agent.port}
    if plan.settings.port:
        wanted["--port"] = plan.settings.port
    if len(set(wanted.values())) > 1:
        told = ", ".join(f"{who} {number}" for who, number in wanted.items())
        raise UsageError(f"the server has one port, but several are needed ({told}): leave out --port")
    return next(iter(wanted.values()), 0) or 0
