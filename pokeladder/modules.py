"""What can be said of a Python module without running it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path


def what_is_missing(target: str) -> str | None:
    """Why ``module:attribute`` cannot be imported, as far as files tell; None if nothing speaks against it.

    Neither the module nor the packages that it is in are imported: that would run their code.
    """
    module, _, path = target.partition(":")
    spec = None
    searched: Sequence[str] | None = None
    names = module.split(".")
    for number in range(1, len(names) + 1):
        name = ".".join(names[:number])
        spec = _find(name, searched)
        if spec is None:
            return f"there is no module {name}"
        searched = spec.submodule_search_locations
        if searched is None and number < len(names):
            return f"{name} is a module and not a package, so there is no {module}"
    return None if spec is None else _missing_attribute(module, spec, path.split(".")[0])


def _find(name: str, searched: Sequence[str] | None) -> ModuleSpec | None:
    if searched is None:
        # As when an agent is imported: the working directory goes before.
        here = PathFinder.find_spec(name, [str(Path.cwd())])
        if here is not None:
            return here
    for finder in sys.meta_path:
        found = finder.find_spec(name, searched)
        if found is not None:
            return found
    return None


def _missing_attribute(module: str, spec: ModuleSpec, attribute: str) -> str | None:
    if spec.origin is None or not spec.origin.endswith(".py"):
        return None
    try:
        tree = ast.parse(Path(spec.origin).read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"module {module} cannot be read: {error}"
    names = set(_names(tree))
    # A module may make its attributes while it runs.
    if attribute in names or not names.isdisjoint({"*", "__getattr__", "globals"}):
        return None
    return f"module {module} has no {attribute}"


def _names(tree: ast.Module) -> Iterator[str]:
    """Whatever the code could define, wherever it stands in the file."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.alias(name=name, asname=other):
                yield other or name.partition(".")[0]
            case ast.Name(id=name):
                yield name
