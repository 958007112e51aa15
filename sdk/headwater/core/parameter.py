"""Parameters: the inputs of a flow, given anew for each run."""

from __future__ import annotations

import json
from typing import Any

from headwater.core.context import context
from headwater.core.errors import FlowError
from headwater.core.task import Task

_NO_DEFAULT: Any = object()


class Parameter(Task):
    """An input of a flow: `airport = Parameter("airport", default="IAD")`.

    Required unless a default is given; `default=None` is a default. The name may be any text.
    Raises FlowError when the default cannot be written as JSON, for it travels in resources.
    """

    def __init__(self, name: str, default: Any = _NO_DEFAULT, required: bool | None = None) -> None:
        if not isinstance(name, str) or not name:
            raise FlowError(f"A parameter needs a name, such as Parameter('airport'); got {name!r}.")
        self.required = default is _NO_DEFAULT if required is None else required
        self.default = None if default is _NO_DEFAULT else default
        try:
            json.dumps(self.default, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise FlowError(
                f'Parameter "{name}": the default {self.default!r} cannot be written as JSON ({error}); '
                "use numbers, texts, booleans, lists and dicts."
            ) from None
        super().__init__(name, slug=name)
        flow = context.get("flow")
        if flow is not None:
            flow.add_task(self)

    def run(self) -> Any:
        return context.get("parameters", {}).get(self.name, self.default)

    def __call__(self, *args: Any, **kwargs: Any) -> Task:
        raise TypeError(f'Parameter "{self.name}" is not called; hand it to a task as an argument.')

    def __repr__(self) -> str:
        return f'<Parameter "{self.name}">'


def parameters_schema(parameters: list[Parameter]) -> dict[str, Any]:
    """Return the JSON schema (2020-12) that the parameters of a run must meet."""
    return {
        "type": "object",
        "properties": {p.name: {} if p.required else {"default": p.default} for p in parameters},
        "required": sorted(p.name for p in parameters if p.required),
        "additionalProperties": False,
    }
