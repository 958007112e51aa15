"""Headwater: write a data flow as Python functions, run it here or on Kubernetes.

    from headwater import Flow, Parameter, task

Importing this loads neither Dask nor Kubernetes.
"""

from headwater.core.apply_map import apply_map
from headwater.core.context import context
from headwater.core.control_flow import case
from headwater.core.flow import Flow
from headwater.core.mapping import flatten, mapped, unmapped
from headwater.core.parameter import Parameter
from headwater.core.resource_manager import resource_manager
from headwater.core.tags import tags
from headwater.core.task import Task, task

__version__ = "0.1.0"
__all__ = [
    "Flow",
    "Parameter",
    "Task",
    "apply_map",
    "case",
    "context",
    "flatten",
    "mapped",
    "resource_manager",
    "tags",
    "task",
    "unmapped",
]
