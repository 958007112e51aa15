"""The tasks of `headwater.tasks.flow_runs` under the name by which many flows import them."""

from headwater.core.flow_runs import FlowRunView
from headwater.tasks.flow_runs import (
    CreateFlowRun,
    GetTaskRunResult,
    StartFlowRun,
    WaitForFlowRun,
    create_flow_run,
    get_task_run_result,
    wait_for_flow_run,
)

__all__ = [
    "CreateFlowRun",
    "FlowRunView",
    "GetTaskRunResult",
    "StartFlowRun",
    "WaitForFlowRun",
    "create_flow_run",
    "get_task_run_result",
    "wait_for_flow_run",
]
