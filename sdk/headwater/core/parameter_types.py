"""Typed parameters: their values are checked and converted by pydantic, which also writes their JSON schema.

pydantic is imported when a parameter with an annotation is made, not before.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headwater.core.errors import FlowError, ParameterError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SHOWN = 80


def check_annotation(who: str, annotation: Any) -> None:
    """Raise FlowError for a type that pydantic does not understand, or that JSON cannot carry."""
    _adapter(who, annotation)
    schemas({who: annotation})


def converted(who: str, annotation: Any, value: Any) -> Any:
    """Return a value as its annotation wants it, such as a date for a text. Raises ParameterError."""
    from pydantic import ValidationError

    try:
        return _adapter(who, annotation).validate_python(value)
    except ValidationError as error:
        problems = "; ".join(
            ": ".join([*([".".join(map(str, problem["loc"]))] if problem["loc"] else []), problem["msg"]])
            for problem in error.errors(include_url=False, include_context=False, include_input=False)
        )
        raise ParameterError(
            f"{who} is {shown(value)}, but it has to be {type_text(annotation)}: {problems}."
        ) from None


def as_json(who: str, annotation: Any, value: Any) -> Any:
    """Return a value as JSON values. Raises FlowError when it has none."""
    from pydantic_core import PydanticSerializationError

    try:
        return _adapter(who, annotation).dump_python(value, mode="json")
    except PydanticSerializationError as error:
        raise FlowError(f"{who}: {shown(value)} cannot be written as JSON ({error}).") from None


def schemas(annotations: Mapping[str, Any]) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Return the JSON schema of each annotation, and the definitions that they refer to as `#/$defs/...`."""
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticUserError

    if not annotations:
        return {}, {}
    adapters = {name: _adapter(name, annotation) for name, annotation in annotations.items()}
    try:
        found, root = TypeAdapter.json_schemas([(name, "validation", adapter) for name, adapter in adapters.items()])
    except PydanticUserError as error:
        first = str(error).splitlines()[0]
        raise FlowError(f"{', '.join(annotations)}: the annotation has no JSON schema ({first})") from None
    return {name: dict(found[name, "validation"]) for name in annotations}, root.get("$defs", {})


def type_text(annotation: Any) -> str:
    """Return a type as people write it."""
    if hasattr(annotation, "__metadata__"):
        return type_text(typing.get_args(annotation)[0])
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return annotation.__name__
    return str(annotation).replace("typing.", "")


def shown(value: Any) -> str:
    """Return a value as text, shortened."""
    text = repr(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def _adapter(who: str, annotation: Any) -> TypeAdapter[Any]:
    try:
        from pydantic import TypeAdapter
        from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
    except ImportError:
        raise FlowError(f"{who} has an annotation, which needs pydantic: pip install pydantic.") from None
    try:
        return TypeAdapter(annotation)
    except (PydanticUserError, PydanticUndefinedAnnotation) as error:
        first = str(error).splitlines()[0]
        raise FlowError(
            f"{who}: the annotation {annotation!r} is no type that can be checked ({first}); "
            "use int, str, list[int], Literal[...], date, a pydantic model and the like."
        ) from None
