"""Resources that a part of a flow needs: set up before it, cleaned up after it, whatever becomes of it.

    @resource_manager
    class Cluster:
        def __init__(self, workers): ...
        def setup(self): ...                 # returns the resource
        def cleanup(self, resource): ...

    with Cluster(workers=4) as cluster:
        count(rows, cluster)

Three tasks come of it: one makes the manager, one sets up, one cleans up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, overload

from headwater.core import triggers
from headwater.core.context import context
from headwater.core.control_flow import building_flow
from headwater.core.errors import FlowError
from headwater.core.parameter import Parameter
from headwater.core.signals import SKIP
from headwater.core.states import State
from headwater.core.task import FunctionTask, Task

if TYPE_CHECKING:
    from headwater.core.flow import Flow

MANAGER, RESOURCE = "manager", "resource"


def when_set_up(upstream_states: Mapping[Any, State]) -> bool:
    """Run when the resource was set up, whatever became of the tasks that used it; else there is nothing to clean."""
    for edge, state in upstream_states.items():
        if edge.key in (MANAGER, RESOURCE) and (state.is_skipped() or not state.is_successful()):
            raise SKIP("The resource was not set up; there is nothing to clean up.")
    return True


# It looks at states only.
triggers.BUILT_IN.add(when_set_up)


class InitTask(FunctionTask):
    """Makes the manager."""

    is_resource_task = True


class SetupTask(Task):
    """Sets the resource up."""

    is_resource_task = True

    def run(self, manager: Any) -> Any:
        return manager.setup()


class CleanupTask(Task):
    """Cleans the resource up."""

    is_resource_task = True
    is_cleanup_task = True

    def run(self, manager: Any, resource: Any) -> Any:
        return manager.cleanup(resource)


class ResourceManager:
    """A class of resources; called in a flow, it gives the block in which such a resource is there."""

    def __init__(
        self,
        resource_class: Callable[..., Any],
        name: str | None = None,
        init_task_kwargs: Mapping[str, Any] | None = None,
        setup_task_kwargs: Mapping[str, Any] | None = None,
        cleanup_task_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(resource_class, type):
            raise TypeError(f"@resource_manager decorates a class; {resource_class!r} is none.")
        for method in ("setup", "cleanup"):
            if not callable(getattr(resource_class, method, None)):
                raise TypeError(
                    f"@resource_manager: class {resource_class.__name__} has no {method}(); "
                    "it needs setup(self), which returns the resource, and cleanup(self, resource)."
                )
        self.resource_class = resource_class
        self.name = name or resource_class.__name__
        self.__doc__ = resource_class.__doc__
        # A resource is of use only in the run that has set it up.
        self._init = {"name": self.name, "checkpoint": False, **(init_task_kwargs or {})}
        self._setup = {"name": f"{self.name}.setup", "checkpoint": False, **(setup_task_kwargs or {})}
        self._cleanup = {
            "name": f"{self.name}.cleanup",
            "checkpoint": False,
            "trigger": when_set_up,
            "skip_on_upstream_skip": False,
            **(cleanup_task_kwargs or {}),
        }

    def __call__(self, *args: Any, flow: Flow | None = None, **kwargs: Any) -> ResourceBlock:
        """Add the task that makes the manager, from these arguments; open the block with `with`."""
        target = flow or building_flow(f"Resource manager {self.name}")
        manager = InitTask(self.resource_class, **self._init).bind(*args, flow=target, **kwargs)
        return ResourceBlock(target, manager, SetupTask(**self._setup), CleanupTask(**self._cleanup))

    def __repr__(self) -> str:
        return f"<ResourceManager {self.name}>"


class ResourceBlock:
    """The tasks that are made in this block run between setting the resource up and cleaning it up."""

    def __init__(self, flow: Flow, manager: Task, setup: Task, cleanup: Task) -> None:
        self._flow = flow
        self._manager = manager
        self._setup = setup
        self._cleanup = cleanup
        self._made: dict[Task, None] = {}
        self._scope: Any = None

    def __enter__(self) -> Task:
        if self._scope is not None:
            raise FlowError(f'"{self._manager.name}" is set up once; call {self._manager.name}(...) for another.')
        self._setup.bind(self._manager, flow=self._flow)
        self._scope = context(blocks=(*context.get("blocks", ()), self))
        self._scope.__enter__()
        return self._setup

    def note_task(self, task: Task) -> None:
        """Take notice of a task that the flow got while this block is open."""
        if not isinstance(task, Parameter):
            self._made[task] = None

    def __exit__(self, *exception: Any) -> None:
        self._scope.__exit__(*exception)
        if exception[0] is not None:
            return
        for task in self._made:
            upstream = self._flow.upstream_tasks(task)
            if self._setup not in upstream and not any(up in self._made for up in upstream):
                task.set_upstream(self._setup, flow=self._flow)
        last = [t for t in self._made if not any(down in self._made for down in self._flow.downstream_tasks(t))]
        self._cleanup.bind(self._manager, self._setup, upstream_tasks=last, flow=self._flow)


@overload
def resource_manager(resource_class: type) -> ResourceManager: ...
@overload
def resource_manager(resource_class: None = None, **options: Any) -> Callable[[type], ResourceManager]: ...
def resource_manager(
    resource_class: type | None = None, **options: Any
) -> ResourceManager | Callable[[type], ResourceManager]:
    """Make a resource manager of a class: `@resource_manager`, or with the options of its tasks.

    Takes *name*, *init_task_kwargs*, *setup_task_kwargs* and *cleanup_task_kwargs*.
    """
    if resource_class is not None:
        return ResourceManager(resource_class, **options)
    return lambda decorated: ResourceManager(decorated, **options)
