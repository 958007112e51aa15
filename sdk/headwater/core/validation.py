"""Whether a flow can run, as far as that can be known before it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.core.errors import FlowError
from headwater.core.options import check_retries

if TYPE_CHECKING:
    from headwater.core.flow_view import FlowView


def check_flow(flow: FlowView) -> None:
    """Raise FlowError for a cycle, an argument that nothing fills, retries without a delay, a slug used twice."""
    flow.sorted_tasks()
    for task in flow.tasks:
        filled = flow.filled_arguments(task)
        missing = [
            p.name
            for p in task.signature().parameters.values()
            if p.default is p.empty and p.kind is not p.VAR_KEYWORD and p.name not in filled
        ]
        if missing:
            raise FlowError(
                f'Task "{task.name}" in flow "{flow.name}" gets no value for {", ".join(missing)}; '
                "call it with all its arguments."
            )
        check_retries(f'Task "{task.name}" in flow "{flow.name}"', task.max_retries, task.retry_delay)
    _check_slugs(flow)


def _check_slugs(flow: FlowView) -> None:
    # Slugs may be assigned after a task was added.
    slugs = flow.slugs
    if len(set(slugs.values())) == len(slugs):
        return
    seen = set()
    for task, slug in slugs.items():
        if slug in seen:
            raise FlowError(
                f'Flow "{flow.name}" has the slug "{slug}" already; give task "{task.name}" another with slug=...'
            )
        seen.add(slug)
