"""The Flow resource that means what a flow in Python means. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headwater.core.errors import FlowError, ParameterError
from headwater.core.flow import Flow
from headwater.core.parameter import parameters_schema
from headwater.registering.place import Place
from headwater.resources.names import API_VERSION, object_name
from headwater.resources.parameters import check_values
from headwater.schedules.manifest import to_manifest
from headwater.schedules.schedule import Schedule


def flow_manifest(
    flow: Flow,
    place: Place,
    *,
    image: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    execution: Mapping[str, Any] | None = None,
    active: bool = True,
) -> dict[str, Any]:
    """Return the resource without a namespace. *parameters* lie over the defaults in the code; with *active* False its
    schedules are suspended.

    Raises FlowError for a flow that cannot run and a schedule that a resource cannot hold, and ParameterError for
    parameters that its runs would be refused for.
    """
    flow.validate()
    values = dict(parameters or {})
    _check_parameters(flow, values, whole=False)
    name = object_name(flow.name)
    spec: dict[str, Any] = {} if name == flow.name else {"title": flow.name}
    if image is not None:
        spec["image"] = image
    spec["entrypoint"] = place.entrypoint
    if place.files:
        spec["source"] = {"files": place.files}
    if flow.schedule is not None:
        spec["schedules"] = _schedules(flow, values, active)
    if given := {name: value for name, value in values.items() if value is not None}:
        spec["parameters"] = given
    if execution:
        spec["execution"] = dict(execution)
    return {"apiVersion": API_VERSION, "kind": "Flow", "metadata": {"name": name}, "spec": spec}


def _check_parameters(flow: Flow, values: Mapping[str, Any], whole: bool) -> None:
    """Raise ParameterError for what the operator would refuse a run for. Unless it is the *whole* of what a run gets,
    what is lacking may come with the run."""
    try:
        check_values(values)
    except ParameterError as error:
        raise ParameterError(f'Flow "{flow.name}": {error}') from None
    given = {name: value for name, value in values.items() if value is not None}  # null is as if left out
    known = flow.parameters()
    unknown = sorted(set(values) - {p.name for p in known})
    if whole or unknown:
        flow.check_parameters(
            {**({} if whole else {p.name: None for p in known if p.required}), **given, **dict.fromkeys(unknown)}
        )
    for parameter in known:
        if parameter.name in given:
            parameter.converted(given[parameter.name])
    problem = _schema_problem(parameters_schema(known), given)
    if problem is not None:
        raise ParameterError(f'Flow "{flow.name}": {problem}')


def _schema_problem(schema: dict[str, Any], given: dict[str, Any]) -> str | None:
    """What the operator says too: it has the schema alone, which takes less than the conversion of a type does."""
    if not given:
        return None
    try:
        from jsonschema import Draft202012Validator
    except ImportError as error:
        raise FlowError(f"To check parameters needs a package ({error}): pip install 'headwater[register]'") from None
    errors = Draft202012Validator({**schema, "required": []}).iter_errors(given)
    first = min(errors, key=lambda error: list(map(str, error.path)), default=None)
    return None if first is None else f"parameter {'.'.join(map(str, first.path))}: {first.message}."


def _schedules(flow: Flow, values: Mapping[str, Any], active: bool) -> list[dict[str, Any]]:
    if not isinstance(flow.schedule, Schedule):
        raise FlowError(f'Flow "{flow.name}": schedule is {flow.schedule!r}; give one of headwater.schedules.')
    entries = to_manifest(flow.schedule)
    for entry in entries:
        try:
            _check_parameters(flow, {**values, **entry.get("parameters", {})}, whole=True)
        except ParameterError as error:
            raise ParameterError(
                f'{error} The runs of its schedule ("{entry["name"]}") would be refused: give values in the '
                "parameter_defaults of the clock, in --param, or as defaults in the code."
            ) from None
    return entries if active else [{**entry, "suspend": True} for entry in entries]
