"""Decorators for methods whose keywords are listed elsewhere: signatures and errors are those of the method."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Owner = TypeVar("Owner")
Settings = TypeVar("Settings")
Answer = TypeVar("Answer")
Method = TypeVar("Method", bound=Callable[..., Any])


def settings_of(
    made: Callable[Parameters, Settings],
) -> Callable[[Callable[[Owner, Settings], Answer]], Callable[Concatenate[Owner, Parameters], Answer]]:
    """Decorates a method of one argument to take the arguments of ``made``, which builds that argument."""
    taken = inspect.signature(made)

    def decorate(method: Callable[[Owner, Settings], Answer]) -> Callable[Concatenate[Owner, Parameters], Answer]:
        @wraps(method)
        def called(self: Owner, /, *args: Parameters.args, **keywords: Parameters.kwargs) -> Answer:
            try:
                taken.bind(*args, **keywords)
            except TypeError as error:
                raise TypeError(f"{method.__name__}() {error}") from None
            return method(self, made(*args, **keywords))

        own, _ = inspect.signature(method).parameters.values()
        called.__signature__ = taken.replace(  # type: ignore[attr-defined]
            parameters=[own, *taken.parameters.values()], return_annotation=inspect.signature(method).return_annotation
        )
        called.__doc__ = f"{method.__doc__}\n\n{made.__doc__}"
        return called

    return decorate


def keywords_of(listed: type[Any]) -> Callable[[Method], Method]:
    """Decorates a method with ``**keywords`` to take the keywords of a ``TypedDict``, None being their default."""
    keywords = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in listed.__annotations__.items()
    ]

    def decorate(method: Method) -> Method:
        own = inspect.signature(method)
        named = [one for one in own.parameters.values() if one.kind is not one.VAR_KEYWORD]
        known = {one.name for one in named} | {one.name for one in keywords}

        @wraps(method)
        def called(*args: Any, **given: Any) -> Any:
            unknown = [name for name in given if name not in known]
            if unknown:
                raise TypeError(f"{method.__name__}() got an unexpected keyword argument {unknown[0]!r}")
            return method(*args, **given)

        called.__signature__ = own.replace(parameters=[*named, *keywords])  # type: ignore[attr-defined]
        return called  # type: ignore[return-value]

    return decorate
