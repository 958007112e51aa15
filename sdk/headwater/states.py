"""The states of runs, as `headwater.states`; `headwater.core.states` tells what each means."""

from headwater.core.states import (
    Crashed,
    Failed,
    Finished,
    Pending,
    Retrying,
    Running,
    Scheduled,
    State,
    Success,
    TimedOut,
    TriggerFailed,
)

__all__ = [
    "Crashed",
    "Failed",
    "Finished",
    "Pending",
    "Retrying",
    "Running",
    "Scheduled",
    "State",
    "Success",
    "TimedOut",
    "TriggerFailed",
]
