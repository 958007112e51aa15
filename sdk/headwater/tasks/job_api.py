"""The Jobs of a namespace, as plain manifests; what the API server says in words."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import tenacity

from headwater.core.errors import ClusterError

REQUEST_SECONDS = (10.0, 30.0)  # for the connection, and for the answer
PATIENCE_SECONDS = 60.0  # with an API server that does not answer
PAUSE_SECONDS = 0.2

Job = dict[str, Any]


class UnreachableError(ClusterError):
    """The API server does not answer, or not now."""


_patiently = tenacity.retry(
    retry=tenacity.retry_if_exception_type(UnreachableError),
    wait=tenacity.wait_exponential(multiplier=0.2, max=5),
    stop=tenacity.stop_after_delay(PATIENCE_SECONDS),
    reraise=True,
)


@dataclass(frozen=True)
class Jobs:
    """The Jobs of a namespace.

    They are read as custom objects: the client's models would drop fields that they do not know.
    """

    namespace: str
    client: Any  # an ApiClient of the kubernetes package

    @_patiently
    def create(self, job: Job) -> Job | None:
        """Return the Job that was made, None when there is one of this name."""
        with _explained(f'create Job "{job["metadata"]["name"]}" in namespace "{self.namespace}"'):
            return _unless((409,), lambda: self._api.create_namespaced_custom_object(*self._place, job, **_TIMEOUT))

    @_patiently
    def get(self, name: str) -> Job | None:
        with _explained(f'get Job "{name}" in namespace "{self.namespace}"'):
            return _unless((404,), lambda: self._api.get_namespaced_custom_object(*self._place, name, **_TIMEOUT))

    @_patiently
    def delete(self, job: Job) -> None:
        """Delete this Job, not a later one of its name, and leave its pods to the garbage collector."""
        from kubernetes.client import V1DeleteOptions, V1Preconditions

        metadata = job["metadata"]
        body = V1DeleteOptions(propagation_policy="Background", preconditions=V1Preconditions(uid=metadata["uid"]))
        with _explained(f'delete Job "{metadata["name"]}" in namespace "{self.namespace}"'):
            # 404 and 409 say that it is gone: the second, that there is another of its name.
            self._delete(metadata["name"], body)

    def change(self, job: Job, seconds: int) -> Job | None:
        """Wait until a Job changes, or for so long; return it as it is then, None when it is gone."""
        from kubernetes import watch

        metadata = job["metadata"]
        with contextlib.suppress(UnreachableError), _explained(f'watch jobs in namespace "{self.namespace}"'):
            for event in watch.Watch().stream(
                self._api.list_namespaced_custom_object,
                *self._place,
                field_selector=f"metadata.name={metadata['name']}",
                resource_version=metadata["resourceVersion"],
                timeout_seconds=seconds,
                _request_timeout=(10.0, seconds + 5.0),
            ):
                return None if event["type"] == "DELETED" else dict(event["object"])
        # Nothing, too old a version, or a connection that was lost: what there is now tells.
        time.sleep(PAUSE_SECONDS)
        return self.get(metadata["name"])

    def _delete(self, name: str, body: Any) -> None:
        _unless(
            (404, 409), lambda: self._api.delete_namespaced_custom_object(*self._place, name, body=body, **_TIMEOUT)
        )

    @property
    def _place(self) -> tuple[str, str, str, str]:
        return "batch", "v1", self.namespace, "jobs"

    @property
    def _api(self) -> Any:
        from kubernetes.client import CustomObjectsApi

        return CustomObjectsApi(self.client)


# What the client has no word for

_TIMEOUT = {"_request_timeout": REQUEST_SECONDS}


def _unless(statuses: tuple[int, ...], call: Callable[[], Any]) -> Job | None:
    from kubernetes.client.exceptions import ApiException

    try:
        return dict(call())
    except ApiException as error:
        if error.status not in statuses:
            raise
        return None


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ApiException as error:
        words = f"The API server did not {what}: {error.status} {_message(error)}"
        # 410: what was watched from is too long ago.
        busy = error.status in (410, 429) or (error.status or 0) >= 500
        raise (UnreachableError if busy else ClusterError)(words) from None
    except HTTPError as error:
        raise UnreachableError(f"The API server does not answer, to {what}: {error}") from None


def _message(error: Any) -> str:
    with contextlib.suppress(ValueError, TypeError, KeyError):
        return str(json.loads(error.body)["message"])
    return str(error.reason)


__all__ = ["PATIENCE_SECONDS", "REQUEST_SECONDS", "Job", "Jobs"]
