"""Versions of agents: digests of all that decides how they play.

For a poke-env player: the source of its module, of the author's modules that it imports, the parameters, and the
versions of installed distributions. For a program: its file. For a checkpoint: the weights. Nothing is imported or run,
so imports of computed names are not seen.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import re
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import resolve_name
from itertools import pairwise
from pathlib import Path
from types import CodeType
from typing import Any

from pokeladder.agents.modules import find_module, search_path, with_packages
from pokeladder.agents.programs import Program
from pokeladder.agents.specs import Agent

# Packages whose files are not read: the version of the distribution is enough.
DISTRIBUTIONS = {"poke_env": "poke-env", "pokeladder": "pokeladder"}
_INSTALLED = ("site-packages", "dist-packages")
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_PYTHON = re.compile(r"python[\d.]*")


@dataclass(frozen=True)
class Version:
    """The version of an agent.

    Attributes:
        parts: digest or value of each thing that decides how the agent plays.
    """

    parts: Mapping[str, str]

    @cached_property
    def digest(self) -> str:
        """Twelve hexadecimal digits, equal for equal parts."""
        return _digest(self.as_json().encode())[:12]

    def as_json(self) -> str:
        return json.dumps(dict(sorted(self.parts.items())))


def version_of(agent: Agent | Program) -> Version:
    """The present version of an agent; a part that cannot be found has a value that says so."""
    return Version(_of_program(agent) if isinstance(agent, Program) else _of_player(agent))


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The differences between the parts of two versions, as text."""
    found = []
    for part in sorted(before.keys() | now.keys()):
        if part not in now:
            found.append(f"{part} was removed")
        elif part not in before:
            found.append(f"{part} is new")
        elif before[part] != now[part]:
            kind = part.partition(" ")[0]
            told = "changed" if kind in ("module", "class", "file") else f"was {before[part]} and is {now[part]}"
            found.append(f"{part} {told}")
    return found


def _of_player(agent: Agent) -> dict[str, str]:
    identity = agent.identity()
    module = identity["target"].partition(":")[0]
    parts = {"target": identity["target"], "parameters": _ADDRESS.sub("", json.dumps(identity["parameters"]))}
    parts |= {f"file {path.name}": _digest_of_file(path) for path in _files(agent.parameters.values(), Path.cwd())}
    parts["distribution poke-env"] = _distribution_version("poke-env")
    top = module.partition(".")[0]
    if top in DISTRIBUTIONS:
        return parts
    if not isinstance(agent.target, str) and not _has_file(module):
        # A class that was defined in a notebook or in a script's main module.
        parts |= _of_object(agent.target)
    return parts | _of_modules(module, search_path())


def _of_program(program: Program) -> dict[str, str]:
    parts = {key: json.dumps(value) for key, value in sorted(program.plays.items())}
    folder = Path(program.folder) if program.folder else Path.cwd()
    files = [Path(path) for path in program.files]
    if program.kind == "command":
        executable, *arguments = program.command
        files += _files(arguments, folder)
        if not _PYTHON.fullmatch(Path(executable).name):
            found = folder / executable if "/" in executable else Path(shutil.which(executable) or executable)
            files.append(found)
        else:
            for module in _run_modules(arguments):
                parts |= _of_modules(module, [str(folder), *sys.path])
        for script in [path for path in files if path.suffix == ".py"]:
            parts |= _of_imports(_source(script), "", _top(script.stem), [str(script.parent)])
    return parts | {f"file {path.name}": _digest_of_file(path) for path in files}


def _run_modules(arguments: Sequence[str]) -> list[str]:
    """The modules in ``-m MODULE`` of a command line."""
    return [module for option, module in pairwise(arguments) if option == "-m"]


def _files(values: Iterator[Any] | Sequence[Any] | Any, folder: Path) -> list[Path]:
    """The existing files whose names are among the values."""
    found = []
    for value in values:
        if isinstance(value, str | Path) and value and "{" not in str(value) and "\0" not in str(value):
            path = folder / Path(value).expanduser()
            try:
                if path.is_file():
                    found.append(path)
            except OSError:
                continue
    return found


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _digest_of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _distribution_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _of_object(target: Any) -> dict[str, str]:
    """The source of a class or function that is in no file."""
    name = getattr(target, "__qualname__", type(target).__qualname__)
    try:
        source = inspect.getsource(target).encode()
    except (OSError, TypeError):
        source = repr(sorted(_code_of(target))).encode()
    return {f"class {name}": _digest(source)[:16]}


def _code_of(target: Any) -> Iterator[str]:
    """The bytecode of a class or function, without source positions."""
    for value in [target, *vars(target).values()] if inspect.isclass(target) else [target]:
        code = getattr(value, "__code__", None)
        if isinstance(code, CodeType):
            yield from _of_code(code)


def _of_code(code: CodeType) -> Iterator[str]:
    yield f"{code.co_name} {code.co_code.hex()} {code.co_names}"
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _of_code(constant)
        else:
            yield repr(constant)


def _has_file(module: str) -> bool:
    return module != "__main__" and getattr(sys.modules.get(module), "__file__", None) is not None


def _of_modules(module: str, path: Sequence[str]) -> dict[str, str]:
    """A module, and the modules of the same author that it imports, directly or indirectly."""
    spec = find_module(module, path) if module != "__main__" else None
    top = module.partition(".")[0]
    parts: dict[str, str] = {}
    if spec is None:
        main = getattr(sys.modules.get("__main__"), "__file__", None)
        if module == "__main__" and main is not None:
            return _of_imports(_source(Path(main)), "", "", path)
        loaded = getattr(sys.modules.get(module), "__file__", None) if module != "__main__" else None
        if loaded is not None:
            return {f"module {module}": _digest_of_file(Path(loaded))}
        return {} if module == "__main__" else {f"module {module}": "not found"}
    if spec.origin is not None and _is_installed(spec.origin):
        names = packages_distributions().get(top, [])
        parts |= {f"distribution {name}": _distribution_version(name) for name in sorted(set(names))}
    return parts | _walk([with_packages(module)], top, path)


def _of_imports(source: bytes, package: str, top: str, path: Sequence[str]) -> dict[str, str]:
    """The author's modules that a source imports."""
    return _walk([with_packages(name) for name in _imports(source, package)], top, path)


def _walk(waiting: list[list[str]], top: str, path: Sequence[str]) -> dict[str, str]:
    parts: dict[str, str] = {}
    seen: set[str] = set()
    while waiting:
        for name in waiting.pop():
            if name in seen:
                continue
            seen.add(name)
            spec = find_module(name, path)
            if spec is None or spec.origin is None or not _is_own(name, spec.origin, top):
                continue
            origin = Path(spec.origin)
            parts[f"module {name}"] = _digest_of_file(origin)
            if origin.suffix == ".py":
                package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
                waiting += [with_packages(imported) for imported in _imports(_source(origin), package)]
    return parts


def _is_own(name: str, origin: str, top: str) -> bool:
    """Whether a module belongs to the agent, and not to Python or to another distribution."""
    first = name.partition(".")[0]
    if first in DISTRIBUTIONS or not Path(origin).is_absolute():
        return False
    if first == top:
        return True
    return not _is_installed(origin) and not Path(origin).is_relative_to(sysconfig.get_path("stdlib"))


def _is_installed(origin: str) -> bool:
    return any(folder in Path(origin).parts for folder in _INSTALLED)


def _source(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _imports(source: bytes, package: str) -> Iterator[str]:
    """The modules that a source may import; names imported from a package may be modules, too."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = _absolute("." * node.level + (node.module or ""), package)
            if module:
                yield module
                yield from (f"{module}.{alias.name}" for alias in node.names if alias.name != "*")


def _absolute(name: str, package: str) -> str:
    try:
        return resolve_name(name, package)
    except ImportError:
        return ""


def _top(name: str) -> str:
    return name.partition(".")[0]


def shown(agent: Agent | Program) -> str:
    """The program or class that an agent runs, in one line."""
    if isinstance(agent, Program):
        return f"{agent.name}: the program {shlex.join(agent.command)}"
    identity = agent.identity()
    module = identity["target"].partition(":")[0]
    spec = find_module(module, search_path()) if module != "__main__" else None
    place = f" from {spec.origin}" if spec is not None and spec.origin else ""
    return f"{agent.name}: {identity['target']}{place}"
