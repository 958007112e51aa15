"""The one place of the SDK that talks to an API server with a user's kubeconfig."""

from __future__ import annotations

import functools
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from headwater.core.errors import ClusterError
from headwater.kubernetes.wire import BUSY, AwayError, ConflictError, as_yaml_text, conflicting, words
from headwater.resources.names import GROUP, VERSION

# The API server notes it as the manager of the fields that are written.
USER_AGENT = "headwater"

ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

ANSWER_SECONDS = 30.0
PAUSE_SECONDS = 1.0  # between tries
PATIENCE_SECONDS = 300.0


def _load(config: Any, context: str | None) -> str | None:
    """Load kubeconfig, or in a pod its account; return the namespace that goes with it."""
    if context is None and "KUBECONFIG" not in os.environ and ACCOUNT_NAMESPACE.exists():
        config.load_incluster_config()
        return ACCOUNT_NAMESPACE.read_text().strip()
    config.load_kube_config(context=context)
    contexts, active = config.list_kube_config_contexts()
    chosen = active if context is None else next(c for c in contexts if c["name"] == context)
    namespace = chosen["context"].get("namespace")
    return str(namespace) if namespace else None


class UnfitError(ClusterError):
    """A change does not fit what is there: somebody else may have changed it meanwhile."""


def check_namespace(named: str | None) -> None:
    """Raise ClusterError for a name that somebody has left empty: what is meant is not the default."""
    if named is not None and not named.strip():
        raise ClusterError(
            "The namespace is given, but empty (a variable that is not set?): name one, or leave the option out for "
            "kubeconfig's own."
        )


class Cluster:
    """Our resources in one cluster and namespace, as the current user of kubeconfig (or the pod's account).

    Raises ClusterError in words: no kubeconfig, no answer, no such object, not allowed.
    """

    def __init__(self, namespace: str | None = None, context: str | None = None) -> None:
        check_namespace(namespace)
        try:
            from kubernetes import client, config, watch
        except ImportError as error:
            raise ClusterError(
                f"This needs the Kubernetes client ({error}): pip install 'headwater[kubernetes]'"
            ) from None
        self._watch = watch
        self._exception = client.exceptions.ApiException
        try:
            own = _load(config, context)
        except config.ConfigException as error:
            raise ClusterError(f"No cluster is configured (KUBECONFIG, ~/.kube/config): {error}") from None
        except Exception as error:  # PyYAML's and others', for a file that is none
            said = " ".join(str(error).split())
            place = os.environ.get("KUBECONFIG", "~/.kube/config")
            raise ClusterError(f"The kubeconfig {place} cannot be read ({type(error).__name__}): {said}") from None
        self.namespace = namespace or own or "default"
        api = client.ApiClient()
        api.user_agent = USER_AGENT
        self._api = client.CustomObjectsApi(api)

    def get(self, plural: str, name: str) -> dict[str, Any]:
        """Return one of our objects."""
        return dict(self._call(self._api.get_namespaced_custom_object, plural, name))

    def create(self, plural: str, manifest: dict[str, Any]) -> bool:
        """Make one of our objects; return False when there is one of its name already."""
        name = manifest["metadata"]["name"]
        try:
            self._api.create_namespaced_custom_object(GROUP, VERSION, self.namespace, plural, manifest)
        except self._exception as error:
            if error.status == 409:
                return False
            raise self._explain(error, plural, name) from None
        except Exception as error:  # urllib3's, when nobody answers
            raise AwayError(f"The API server does not answer: {error}") from None
        return True

    def patch(self, plural: str, name: str, body: list[dict[str, Any]] | dict[str, Any]) -> dict[str, Any]:
        """Change one of our objects, by a merge patch or, for a list, a JSON patch; return what it is then."""
        kind = "application/json-patch+json" if isinstance(body, list) else "application/merge-patch+json"
        call = functools.partial(self._api.patch_namespaced_custom_object, body=body, _content_type=kind)
        return dict(self._call(call, plural, name))

    def apply(self, plural: str, manifest: dict[str, Any], manager: str, force: bool = False) -> dict[str, Any]:
        """Make one of our objects, or change the fields that are *manager*'s, by server-side apply; return what it is
        then. Fields that somebody else manages, with another value, are taken over with *force* only; without it they
        raise ConflictError."""
        query = [("fieldManager", manager), ("force", str(force).lower())]
        call = functools.partial(self._apply, as_yaml_text(manifest), query)
        return dict(self._call(call, plural, manifest["metadata"]["name"]))

    def _apply(self, text: str, query: Any, group: str, version: str, namespace: str, plural: str, name: str) -> Any:
        # The library's own method writes JSON that is no YAML, and drops the answer where the object was made.
        client = self._api.api_client
        request = client.param_serialize(
            "PATCH",
            f"/apis/{group}/{version}/namespaces/{quote(namespace, safe='')}/{plural}/{quote(name, safe='')}",
            query_params=query,
            header_params={"Accept": "application/json", "Content-Type": "application/apply-patch+yaml"},
            body=text,
            auth_settings=["BearerToken"],
        )
        answer = client.call_api(*request)
        answer.read()
        return client.response_deserialize(answer, {"200": "object", "201": "object"}).data

    def find(self, plural: str, name: str) -> dict[str, Any] | None:
        """Return one of our objects, None where there is none of its name."""
        one = functools.partial(
            self._list, field_selector=f"metadata.name={name}", _request_timeout=(ANSWER_SECONDS, ANSWER_SECONDS)
        )
        found = self._call(one, plural, name)
        return next(iter(found["items"]), None)

    def find_all(self, plural: str) -> list[dict[str, Any]]:
        """Return all our objects of a kind."""
        return list(self._call(self._list, plural, "")["items"])

    def _list(self, group: str, version: str, namespace: str, plural: str, _: str, **more: Any) -> Any:
        return self._api.list_namespaced_custom_object(group, version, namespace, plural, **more)

    def follow(self, plural: str, name: str, seconds: float | None = None) -> Iterator[dict[str, Any]]:
        """Yield an object as it is, and again whenever it changes; ends when it is deleted, or after *seconds*.

        A lost connection is made anew. Raises AwayError when the API server is away for longer than PATIENCE_SECONDS,
        or than *seconds* have left.
        """
        end = math.inf if seconds is None else time.monotonic() + seconds
        now: dict[str, Any] | None = self.get(plural, name)
        uid = now["metadata"]["uid"] if now is not None else ""
        while now is not None and now["metadata"]["uid"] == uid:
            yield now
            try:
                for event in self._events(plural, name, now, end):
                    if event["type"] == "DELETED":
                        return
                    yield event["object"]
            except AwayError:
                time.sleep(min(PAUSE_SECONDS, max(0.0, end - time.monotonic())))
            if time.monotonic() >= end:
                return
            now = self._find_again(plural, name, end)

    def _events(self, plural: str, name: str, since: dict[str, Any], end: float) -> Iterator[dict[str, Any]]:
        seconds = max(1, math.ceil(min(300, end - time.monotonic())))
        try:
            yield from self._watch.Watch().stream(
                self._api.list_namespaced_custom_object,
                GROUP,
                VERSION,
                self.namespace,
                plural,
                field_selector=f"metadata.name={name}",
                resource_version=since["metadata"]["resourceVersion"],
                timeout_seconds=seconds,
                _request_timeout=(ANSWER_SECONDS, seconds + ANSWER_SECONDS),
            )
        except self._exception as error:
            if error.status == 410:  # Gone: the version is too old; what is there now has a newer one
                raise AwayError("The API server no longer knows what has changed since.") from None
            raise self._explain(error, plural, name) from None
        except Exception as error:  # urllib3's, and half a line that is no JSON
            raise AwayError(f"The API server does not answer: {error}") from None

    def _find_again(self, plural: str, name: str, end: float) -> dict[str, Any] | None:
        patience = min(end, time.monotonic() + PATIENCE_SECONDS)
        while True:
            try:
                return self.find(plural, name)
            except AwayError:
                if time.monotonic() >= patience:
                    raise
                time.sleep(min(PAUSE_SECONDS, max(0.0, patience - time.monotonic())))

    def _call(self, function: Any, plural: str, name: str) -> Any:
        try:
            return function(GROUP, VERSION, self.namespace, plural, name)
        except self._exception as error:
            raise self._explain(error, plural, name) from None
        except Exception as error:  # urllib3's, when nobody answers
            raise AwayError(f"The API server does not answer: {error}") from None

    def _explain(self, error: Any, plural: str, name: str) -> ClusterError:
        if error.status == 404 and "namespaces" in words(error):
            return ClusterError(
                f'There is no namespace "{self.namespace}"; a project is a namespace. Whoever may makes it with '
                f"`kubectl create namespace {self.namespace}`."
            )
        fields = conflicting(error)
        if fields:
            return ConflictError(
                f'{plural} "{name}" in namespace "{self.namespace}": somebody else manages fields of it, with other '
                f"values: {' '.join(words(error).split())}. Change them there, or take them over with --force.",
                fields,
            )
        if error.status == 404:
            return ClusterError(
                f'There is no {plural.removesuffix("s")} "{name}" in namespace "{self.namespace}" '
                f"(or there is no such namespace, or Headwater is not installed); `kubectl get {plural} -A` lists "
                "what there is."
            )
        kinds: dict[int, type[ClusterError]] = {422: UnfitError, **dict.fromkeys(BUSY, AwayError)}
        text = f'{plural} "{name}" in namespace "{self.namespace}": {error.status} {words(error)}'
        return kinds.get(error.status, ClusterError)(text)
