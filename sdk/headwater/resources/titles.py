"""How a Flow is found by what people call it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from headwater.core.errors import FlowError
from headwater.resources.names import object_name


def flow_called(called: str, flows: Iterable[dict[str, Any]], namespace: str) -> str:
    """Return the name of the Flow that is called so: by its name, its title, or what would become its name.

    Raises FlowError where there is none, or several have the title.
    """
    titles: dict[str, str | None] = {flow["metadata"]["name"]: flow["spec"].get("title") for flow in flows}
    if called in titles:
        return called
    found = [name for name, title in titles.items() if title == called]
    found = found or [name for name in titles if name == object_name(called)]
    if not found:
        raise FlowError(
            f'There is no Flow called "{called}" in namespace "{namespace}"; there is '
            f"{', '.join(sorted(titles)) or 'none'}. Give the name of its resource, or its spec.title."
        )
    if len(found) > 1:
        raise FlowError(
            f'Several Flows in namespace "{namespace}" have the title "{called}": {", ".join(found)}; '
            "give the name of one."
        )
    return found[0]
