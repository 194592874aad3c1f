"""Facts about Python modules that need no import."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path


def search_path() -> list[str]:
    """The search path of agents' modules: the working directory, then that of Python."""
    here = str(Path.cwd())
    return sys.path if here in sys.path else [here, *sys.path]


def find_module(name: str, path: Sequence[str]) -> ModuleSpec | None:
    """The location of a module, without importing it or its packages; None if it is not found.

    Args:
        path: folders that are searched for top-level modules.
    """
    places: Sequence[str] | None = path
    spec = None
    for number, package in enumerate(with_packages(name)):
        if places is None:
            return None
        spec = _find(package, places, top=number == 0)
        if spec is None:
            return None
        places = spec.submodule_search_locations
    return spec


def with_packages(name: str) -> list[str]:
    """The names of a module's packages, the outermost first, and of the module."""
    parts = name.split(".")
    return [".".join(parts[:number]) for number in range(1, len(parts) + 1)]


def _find(name: str, places: Sequence[str], *, top: bool) -> ModuleSpec | None:
    for finder in sys.meta_path:
        # Only PathFinder searches given folders; finders of editable installations know packages by name.
        looked = places if finder is PathFinder or not top else None
        try:
            spec = finder.find_spec(name, looked)
        except (ImportError, AttributeError, ValueError):
            continue
        if spec is not None:
            return spec
    return None


def what_is_missing(target: str) -> str | None:
    """The reason why ``module:attribute`` cannot be imported, as far as files show; None if there is none.

    Nothing is imported, since that would run the code.
    """
    module, _, path = target.partition(":")
    package = None
    for name in with_packages(module):
        if package is not None and package.submodule_search_locations is None:
            return f"{package.name} is a module and not a package, so there is no {module}"
        package = find_module(name, search_path())
        if package is None:
            return f"there is no module {name}"
    return None if package is None else _missing_attribute(module, package, path.split(".")[0])


def _missing_attribute(module: str, spec: ModuleSpec, attribute: str) -> str | None:
    if spec.origin is None or not spec.origin.endswith(".py"):
        return None
    try:
        tree = ast.parse(Path(spec.origin).read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"module {module} cannot be read: {error}"
    names = set(_names(tree))
    # Such a module may define attributes at run time.
    if attribute in names or not names.isdisjoint({"*", "__getattr__", "globals"}):
        return None
    return f"module {module} has no {attribute}"


def _names(tree: ast.Module) -> Iterator[str]:
    """All names that the code may define."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.alias(name=name, asname=other):
                yield other or name.partition(".")[0]
            case ast.Name(id=name):
                yield name
