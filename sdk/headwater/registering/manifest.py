"""The Flow resource that means what a flow in Python means. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from headwater.core.errors import FlowError, ParameterError
from headwater.core.flow import Flow
from headwater.registering.place import Place
from headwater.resources.names import API_VERSION, object_name
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
    _check_parameters(flow, values)
    name = object_name(flow.name)
    spec: dict[str, Any] = {} if name == flow.name else {"title": flow.name}
    if image is not None:
        spec["image"] = image
    spec["entrypoint"] = place.entrypoint
    if place.files:
        spec["source"] = {"files": place.files}
    if flow.schedule is not None:
        spec["schedules"] = _schedules(flow, values, active)
    if values:
        spec["parameters"] = values
    if execution:
        spec["execution"] = dict(execution)
    return {"apiVersion": API_VERSION, "kind": "Flow", "metadata": {"name": name}, "spec": spec}


def _check_parameters(flow: Flow, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ParameterError(
                f'Flow "{flow.name}": parameter "{name}" cannot be written as JSON ({error}).'
            ) from None
    # The rest may come with a run.
    lacking = {p.name: None for p in flow.parameters() if p.required and p.name not in values}
    known = {p.name: p for p in flow.parameters()}
    unknown = sorted(set(values) - set(known))
    if unknown:
        flow.check_parameters({**lacking, **values})
    for name, value in values.items():
        known[name].converted(value)


def _schedules(flow: Flow, values: Mapping[str, Any], active: bool) -> list[dict[str, Any]]:
    if not isinstance(flow.schedule, Schedule):
        raise FlowError(f'Flow "{flow.name}": schedule is {flow.schedule!r}; give one of headwater.schedules.')
    entries = to_manifest(flow.schedule)
    for entry in entries:
        try:
            flow.check_parameters({**values, **entry.get("parameters", {})})
        except ParameterError as error:
            raise ParameterError(
                f'{error} The runs of its schedule ("{entry["name"]}") would be refused: give values in the '
                "parameter_defaults of the clock, in --param, or as defaults in the code."
            ) from None
    return entries if active else [{**entry, "suspend": True} for entry in entries]
