"""What the annotations of a task's function say: its inputs, its output, how many values it returns."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from typing import Any


def input_types(run: Callable[..., Any], signature: inspect.Signature) -> dict[str, dict[str, Any]]:
    """Return `{argument: {"required": bool, "type": annotation}}`; the type is Any where there is none."""
    return {
        p.name: {
            "required": p.default is p.empty and p.kind is not p.VAR_KEYWORD,
            "type": Any if p.annotation is p.empty else _resolved(run, p.annotation, default=p.annotation),
        }
        for p in signature.parameters.values()
    }


def output_type(run: Callable[..., Any]) -> Any:
    """Return the annotation of what a function returns, Any without one."""
    annotation = getattr(run, "__annotations__", {}).get("return", Any)
    return _resolved(run, annotation, default=annotation)


def returned_values(run: Callable[..., Any]) -> int | None:
    """Return how many values a function returns, 2 for `-> tuple[int, str]`; None when it does not say."""
    annotation = getattr(run, "__annotations__", {}).get("return")
    if annotation is None:
        return None
    kind = _resolved(run, annotation, default=None)
    # A bare tuple says nothing; tuple[()] is an empty one.
    if typing.get_origin(kind) is not tuple or kind is typing.Tuple:  # noqa: UP006  # what users write
        return None
    values = typing.get_args(kind)
    return None if Ellipsis in values else len(values)


def _resolved(run: Callable[..., Any], annotation: Any, default: Any) -> Any:
    """Return an annotation that may be written as a text; *default* when its names are not known here."""
    if not isinstance(annotation, str):
        return annotation
    function = inspect.unwrap(run)
    function = getattr(function, "__func__", function)
    names = dict(getattr(function, "__globals__", {}))
    closure = getattr(function, "__closure__", None) or ()
    for name, cell in zip(getattr(getattr(function, "__code__", None), "co_freevars", ()), closure, strict=False):
        try:
            names[name] = cell.cell_contents
        except ValueError:
            continue  # not bound yet
    holder = types.SimpleNamespace(__annotations__={"return": annotation})
    try:
        return typing.get_type_hints(holder, globalns=names)["return"]
    except Exception:
        return default
