"""A flow as JSON: its tasks, edges and parameters, for people and programs that compare flows. No code of tasks."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from headwater.core.parameter import parameters_schema

if TYPE_CHECKING:
    from headwater.core.flow import Flow


def serialized(flow: Flow) -> dict[str, Any]:
    """Return a flow as JSON values. Raises FlowError when it cannot run."""
    flow.validate()
    slugs = flow.slugs
    return {
        "name": flow.name,
        "parameters": parameters_schema(flow.parameters()),
        "tasks": [
            {
                "slug": slug,
                "name": task.name,
                "type": type(task).__name__,
                "tags": sorted(task.tags),
                "mapped": flow.is_mapped(task),
                "trigger": getattr(task.trigger, "__name__", str(task.trigger)),
                "max_retries": task.max_retries,
                "timeout_seconds": task.timeout,
                "auto_generated": task.auto_generated,
            }
            for task, slug in slugs.items()
        ],
        "edges": [
            {
                "upstream": slugs[edge.upstream],
                "downstream": slugs[edge.downstream],
                "key": edge.key,
                "mapped": edge.mapped,
                "flattened": edge.flattened,
            }
            for edge in flow.edges
        ],
        "reference_tasks": [slugs[task] for task in flow.reference_tasks()],
    }


def serialized_hash(flow: Flow) -> str:
    """Return the SHA-256 of a flow as JSON; it does not change with the code of its tasks."""
    text = json.dumps(serialized(flow), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
