"""Flow runs that tasks of a FlowRun start: FlowRuns, made and watched by the parent's runner.

A child is owned by its parent and named after the task run that asked for it, so that to ask again is to find it.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from headwater.core import states
from headwater.core.errors import ClusterError, FlowError
from headwater.core.flow_runs import FlowRunRequest, FlowRunView, by_slug
from headwater.core.states import State
from headwater.pod.api import AnswerError, PodApi
from headwater.resources.conditions import find
from headwater.resources.names import API_VERSION, PARENT_LABEL, child_run_name, object_name
from headwater.resources.titles import flow_called

logger = logging.getLogger("headwater.flow_runs")

LONGEST_PAUSE_SECONDS = 15.0

# How long a request to start a run is repeated while the API server does not answer.
CREATE_SECONDS = 300.0


class ClusterFlowRuns:
    """The child runs of one FlowRun. Their names are `name`, or `namespace/name` in another namespace."""

    def __init__(self, api: PodApi, namespace: str, parent: str) -> None:
        self._api = api
        self._namespace = namespace
        self._parent = parent
        self._flows: dict[tuple[str, str], str] = {}
        self._owner: dict[str, Any] | None = None

    # Creating

    def create(self, request: FlowRunRequest) -> str:
        """Make a FlowRun, once. Raises FlowError and ClusterError when that cannot be."""
        namespace = request.project_name or self._namespace
        if request.context:
            raise FlowError("create_flow_run: context is for runs in one process; hand values over as parameters.")
        flow = self._flow_name(namespace, request.flow_name)
        # A key of the user's own means one run, whoever asks.
        name = (
            object_name(f"{flow}-{request.idempotency_key}")
            if request.idempotency_key
            else child_run_name(self._parent, request.key)
        )
        manifest = self._manifest(namespace, name, flow, request)
        try:
            self._asked("POST", f"{namespace}/flowruns", manifest)
            logger.info("Flow run '%s' of flow '%s' is created", name, flow)
        except AnswerError as error:
            if error.status != 409:
                raise _explained(error, namespace, f'Flow run "{name}" cannot be created') from None
            self._check_same(namespace, name, flow, bool(request.idempotency_key))
            logger.info("Flow run '%s' of flow '%s' is there already", name, flow)
        return name if namespace == self._namespace else f"{namespace}/{name}"

    def _manifest(self, namespace: str, name: str, flow: str, request: FlowRunRequest) -> dict[str, Any]:
        metadata: dict[str, Any] = {
            "name": name,
            "namespace": namespace,
            "labels": {**request.labels, PARENT_LABEL: self._parent},
        }
        if namespace == self._namespace and not request.idempotency_key:
            metadata["ownerReferences"] = [self._owner_reference()]
        spec: dict[str, Any] = {"flow": flow, "parameters": _as_json(request.parameters)}
        if request.run_name:
            spec["title"] = request.run_name
        return {"apiVersion": API_VERSION, "kind": "FlowRun", "metadata": metadata, "spec": spec}

    def _owner_reference(self) -> dict[str, Any]:
        if self._owner is None:
            parent = self._read(self._namespace, self._parent)
            self._owner = {
                "apiVersion": API_VERSION,
                "kind": "FlowRun",
                "name": self._parent,
                "uid": parent["metadata"]["uid"],
                "controller": True,
            }
        return self._owner

    def _check_same(self, namespace: str, name: str, flow: str, shared: bool) -> None:
        there = self._read(namespace, name)
        mine = there["metadata"].get("labels", {}).get(PARENT_LABEL) == self._parent
        if there["spec"]["flow"] != flow or not (mine or shared):
            raise FlowError(
                f'There is a FlowRun "{name}" in namespace "{namespace}" that this run has not started, of flow '
                f'"{there["spec"]["flow"]}"; delete it, or give create_flow_run an idempotency_key of its own.'
            )

    def _flow_name(self, namespace: str, called: str) -> str:
        """Return the name of the Flow that is called so, by its name, its title, or what would become its name."""
        known = self._flows.get((namespace, called))
        if known is not None:
            return known
        try:
            flows = self._asked("GET", f"{namespace}/flows")["items"]
        except AnswerError as error:
            raise _explained(error, namespace, f'Flow "{called}" cannot be looked up') from None
        self._flows[namespace, called] = found = flow_called(called, flows, namespace)
        return found

    # Waiting

    def wait(self, name: str, limit: timedelta, follow: bool) -> FlowRunView:
        return view_of(self._finished(name, limit, follow))

    def _finished(self, name: str, limit: timedelta, follow: bool) -> dict[str, Any]:
        deadline = time.monotonic() + limit.total_seconds()
        said = ""
        for run in self._changes(name, deadline):
            state = state_of(run)
            if follow and f"{state.name} {state.message}" != said:
                said = f"{state.name} {state.message}"
                logger.info("Flow run '%s': %s", name, said)
            if state.is_finished():
                return run
        raise TimeoutError(f'Flow run "{name}" is not finished after {limit}; it goes on.')

    def _changes(self, name: str, deadline: float) -> Iterator[dict[str, Any]]:
        """Yield a run as it is, and whenever it changes, until the deadline; what fails meanwhile is tried again."""
        namespace, _, own = name.rpartition("/")
        namespace = namespace or self._namespace
        pause = 0.2
        while time.monotonic() < deadline:
            try:
                run = self._read(namespace, own)
                yield run
                for change in self._api.watch(
                    namespace, "flowruns", own, run["metadata"]["resourceVersion"], deadline - time.monotonic()
                ):
                    if change["deleted"]:
                        break
                    yield change
                pause = 0.2
            except AnswerError as error:
                if not error.passing and error.status != 410:
                    raise
                logger.debug("Flow run '%s' cannot be watched now: %s", name, error)
                time.sleep(max(0.0, min(pause, deadline - time.monotonic())))
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _read(self, namespace: str, name: str) -> dict[str, Any]:
        try:
            return self._asked("GET", f"{namespace}/flowruns/{name}")
        except AnswerError as error:
            if error.status == 404:
                raise FlowError(
                    f'There is no FlowRun "{name}" in namespace "{namespace}": it was deleted, or never made. Hand on '
                    "what create_flow_run returns."
                ) from None
            raise _explained(error, namespace, f'Flow run "{name}" cannot be read') from None

    def _asked(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Send a request, again while the API server does not answer."""
        import tenacity

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(
                lambda error: isinstance(error, AnswerError) and error.passing and error.status != 409
            ),
            wait=tenacity.wait_random_exponential(0.2, LONGEST_PAUSE_SECONDS),
            stop=tenacity.stop_after_delay(CREATE_SECONDS),
            reraise=True,
        )
        found: dict[str, Any] = retrying(self._api.request, method, path, body)
        return found

    # Reading results

    def result(self, name: str, task_slug: str, map_index: int, limit: timedelta) -> Any:
        from headwater.results import Address, read_address

        run = self._finished(name, limit, follow=False)
        tasks = {_slug(entry): entry for entry in run.get("status", {}).get("tasks", [])}
        entry = by_slug(task_slug, tasks, name)
        addresses = {-1: entry.get("result"), **{each["index"]: each for each in entry.get("results", [])}}
        if map_index == -1 and "mapped" in entry:
            total = entry["mapped"]["total"]
            wanted = [addresses.get(index) for index in range(total)]
        else:
            wanted = [addresses.get(map_index if "mapped" in entry else -1)]
        if None in wanted:
            raise FlowError(
                f'The result of task "{task_slug}" of flow run "{name}" is stored nowhere (the task is '
                f"{entry['state']}): give it checkpoint=True and a result that both runs can reach, such as "
                "S3Result(...) or LocalResult on a shared volume. Of a mapped task the first 50 are told."
            )
        values = [read_address(Address(each["url"], each["serializer"])) for each in wanted if each is not None]
        return values if map_index == -1 and "mapped" in entry else values[0]


def _slug(entry: Mapping[str, Any]) -> str:
    name = str(entry["name"])
    return str(entry.get("slug") or (name if name.rpartition("-")[2].isdigit() else f"{name}-1"))


def _as_json(parameters: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in parameters.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise FlowError(
                f'create_flow_run: parameter "{name}" is a {type(value).__name__} that is no JSON ({error}); hand over '
                "plain data, or store it and hand over where it is."
            ) from None
    return dict(parameters)


def _explained(error: AnswerError, namespace: str, what: str) -> ClusterError:
    words = f"{what}: {error}"
    if error.status == 403:
        words += (
            f'. The account of this flow may not do that in namespace "{namespace}": bind it to the ClusterRole '
            "headwater-flow-runs there."
        )
    elif error.status == 422:
        return FlowRunRefused(words)
    return ClusterError(words)


class FlowRunRefused(ClusterError, FlowError):
    """The API server does not take the run as it is asked for."""


def view_of(run: Mapping[str, Any]) -> FlowRunView:
    """Return a FlowRun resource as its parent sees it."""
    tasks = {_slug(entry): _task_state(entry) for entry in run.get("status", {}).get("tasks", [])}
    return FlowRunView(
        run["metadata"]["name"], run["spec"]["flow"], state_of(run), run["spec"].get("parameters", {}), tasks
    )


def state_of(run: Mapping[str, Any]) -> State:
    """Return the state that a FlowRun's Succeeded condition tells."""
    condition = find(run.get("status", {}).get("conditions", []), "Succeeded")
    if condition is None:
        return states.Scheduled("waiting for the operator")
    return _state(condition["reason"], condition["message"])


def _task_state(entry: Mapping[str, Any]) -> State:
    return _state(entry["state"], entry.get("message", ""))


def _state(name: str, message: str) -> State:
    kind = getattr(states, name, None)
    if not (isinstance(kind, type) and issubclass(kind, State)):
        kind = states.Pending  # Submitted, and whatever a newer operator may say of a run that goes on
    return kind(message or None)
