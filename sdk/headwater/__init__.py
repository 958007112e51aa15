"""Headwater: write a data flow as Python functions, run it here or on Kubernetes.

    from headwater import Flow, Parameter, task

Importing this loads neither Dask nor Kubernetes.
"""

from headwater.core.context import context
from headwater.core.flow import Flow
from headwater.core.parameter import Parameter
from headwater.core.task import Task, task

__version__ = "0.1.0"
__all__ = ["Flow", "Parameter", "Task", "context", "task"]
