"""Parameters: the inputs of a flow, given anew for each run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from headwater.core.context import context
from headwater.core.errors import FlowError, ParameterError
from headwater.core.parameter_types import as_json, check_annotation, converted, schemas, shown
from headwater.core.task import Task

_NO_DEFAULT: Any = object()


class Parameter(Task):
    """An input of a flow: `airport = Parameter("airport", default="IAD")`.

    Required unless a default is given; `default=None` is a default. With *required* the default only says what a value
    looks like. An *annotation* is any type that pydantic knows: values are checked and converted before a run.
    The name may be any text. Raises FlowError when the default does not fit, or cannot be written as JSON, for it
    travels in resources.
    """

    def __init__(
        self,
        name: str,
        default: Any = _NO_DEFAULT,
        required: bool | None = None,
        tags: Iterable[str] | None = None,
        annotation: Any = None,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise FlowError(f"A parameter needs a name, such as Parameter('airport'); got {name!r}.")
        self.has_default = default is not _NO_DEFAULT
        self.required = not self.has_default if required is None else required
        self.default = default if self.has_default else None
        self.annotation = annotation
        super().__init__(name, slug=name, tags=tags)
        if annotation is not None:
            check_annotation(self._label(), annotation)
        self._check_default()
        flow = context.get("flow")
        if flow is not None:
            flow.add_task(self)

    def _check_default(self) -> None:
        try:
            json.dumps(self.default_as_json(), allow_nan=False)
        except ParameterError as error:
            raise FlowError(f"The default does not fit. {error}") from None
        except (TypeError, ValueError) as error:
            if isinstance(error, FlowError):
                raise
            raise FlowError(
                f"{self._label()}: the default {self.default!r} cannot be written as JSON ({error}); "
                "use numbers, texts, booleans, lists and dicts."
            ) from None

    def default_as_json(self) -> Any:
        """Return the default as it stands in a schema."""
        if self.annotation is None or not self.has_default:
            return self.default
        return as_json(self._label(), self.annotation, self.converted(self.default))

    def converted(self, value: Any) -> Any:
        """Return a value of a run as its type wants it. Raises ParameterError when it cannot be one."""
        return value if self.annotation is None else converted(self._label(), self.annotation, value)

    def run(self) -> Any:
        return context.get("parameters", {}).get(self.name, self.default)

    def __call__(self, *args: Any, **kwargs: Any) -> Task:
        raise TypeError(f'Parameter "{self.name}" is not called; hand it to a task as an argument.')

    def map(self, *args: Any, **kwargs: Any) -> Task:
        raise TypeError(f'Parameter "{self.name}" is not mapped; map a task over it: task.map({self.name}).')

    def _label(self) -> str:
        return f'Parameter "{self.name}"'

    def __repr__(self) -> str:
        return f'<Parameter "{self.name}">'


class DateTimeParameter(Parameter):
    """A parameter that is a point in time: an ISO text, `2026-11-23T04:00:00Z`, becomes a datetime with a time zone.

    Without one in the text it is UTC. Required unless a default is given.
    """

    def converted(self, value: Any) -> datetime | None:
        if value is None and not self.required:
            return None
        try:
            moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        except (TypeError, ValueError):
            raise ParameterError(
                f"{self._label()} is {shown(value)}, but it has to be a time; write it as 2026-11-23T04:00:00Z."
            ) from None
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)

    def default_as_json(self) -> Any:
        if self.default is None:
            return None
        moment = self.converted(self.default)
        return moment and moment.isoformat()


def parameter_values(flow_name: str, parameters: Iterable[Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of all parameters for a run. Raises ParameterError for unknown, missing and wrong ones."""
    known = {p.name: p for p in parameters}
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ParameterError(
            f'Flow "{flow_name}" received unexpected parameters: {", ".join(unknown)}; '
            f"it has {', '.join(sorted(known)) or 'none'}."
        )
    missing = sorted(name for name, p in known.items() if p.required and name not in given)
    if missing:
        raise ParameterError(f'Flow "{flow_name}" did not receive the required parameters: {", ".join(missing)}.')
    values, wrong = {}, []
    for name, parameter in known.items():
        try:
            values[name] = parameter.converted(given.get(name, parameter.default))
        except ParameterError as error:
            wrong.append(str(error))
    if wrong:
        raise ParameterError(f'Flow "{flow_name}": {" ".join(wrong)}')
    return values


def parameters_schema(parameters: Sequence[Parameter]) -> dict[str, Any]:
    """Return the JSON schema (2020-12) that the parameters of a run must meet."""
    found, definitions = schemas({p.name: p.annotation for p in parameters if p.annotation is not None})
    properties = {}
    for parameter in parameters:
        schema = found.get(parameter.name, {})
        if isinstance(parameter, DateTimeParameter):
            schema = {"type": "string" if parameter.required else ["string", "null"], "format": "date-time"}
        if not parameter.required:
            schema["default"] = parameter.default_as_json()
        elif parameter.has_default:
            # A default would be taken for a value by those who fill in forms and requests.
            schema["examples"] = [parameter.default_as_json()]
        properties[parameter.name] = schema
    schema = {
        "type": "object",
        "properties": properties,
        "required": sorted(p.name for p in parameters if p.required),
        "additionalProperties": False,
    }
    return {**schema, "$defs": definitions} if definitions else schema
