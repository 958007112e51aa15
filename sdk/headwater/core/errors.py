"""The errors of Headwater, split by whose fault they are.

    HeadwaterError
    ├─ FlowError (ValueError)        the flow or its input is wrong; running it again changes nothing
    │  ├─ CycleError                 tasks wait for each other
    │  ├─ ParameterError             a parameter is missing or unknown
    │  └─ EntrypointError            the flow cannot be found or imported
    ├─ ClusterError                  the cluster refused or went away; running it again may work
    ├─ TaskCrashedError              the result of a Crashed task run: what ran it went away
    └─ TaskError                     stands for an exception of a task that could not travel here

A message says what failed, on which object, why, and what to do, in one line.
"""

from __future__ import annotations


class HeadwaterError(Exception):
    """Everything that Headwater raises on its own account."""


class FlowError(HeadwaterError, ValueError):
    """The flow, or what it was given, is wrong."""


class CycleError(FlowError):
    """Tasks of a flow wait for each other."""


class ParameterError(FlowError):
    """A parameter is missing or unknown."""


class EntrypointError(FlowError):
    """The flow cannot be found or imported."""


class ResumeError(HeadwaterError):
    """A run cannot go on where an earlier one ended."""


class ClusterError(HeadwaterError):
    """The cluster refused, or did not answer."""


class TaskCrashedError(HeadwaterError):
    """What ran a task went away, or took its inputs with it."""


class TaskError(HeadwaterError):
    """A task's exception that cannot be brought here, as text: its class is not known here, or it cannot be pickled."""

    def __init__(self, type: str, message: str, traceback: str = "") -> None:
        super().__init__(type, message, traceback)
        self.type = type
        self.message = message
        self.traceback = traceback

    def __str__(self) -> str:
        return f"{self.type}: {self.message}"
