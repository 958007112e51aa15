"""The one place of the SDK that talks to an API server with a user's kubeconfig."""

from __future__ import annotations

import functools
import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headwater.core.errors import ClusterError
from headwater.resources.names import GROUP, VERSION

# The API server notes it as the manager of the fields that are written.
USER_AGENT = "headwater"

ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


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


class Cluster:
    """Our resources in one cluster and namespace, as the current user of kubeconfig (or the pod's account).

    Raises ClusterError in words: no kubeconfig, no answer, no such object, not allowed.
    """

    def __init__(self, namespace: str | None = None, context: str | None = None) -> None:
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
            words = " ".join(str(error).split())
            place = os.environ.get("KUBECONFIG", "~/.kube/config")
            raise ClusterError(f"The kubeconfig {place} cannot be read ({type(error).__name__}): {words}") from None
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
            raise ClusterError(f"The API server does not answer: {error}") from None
        return True

    def patch(self, plural: str, name: str, body: list[dict[str, Any]] | dict[str, Any]) -> dict[str, Any]:
        """Change one of our objects, by a merge patch or, for a list, a JSON patch; return what it is then."""
        kind = "application/json-patch+json" if isinstance(body, list) else "application/merge-patch+json"
        call = functools.partial(self._api.patch_namespaced_custom_object, body=body, _content_type=kind)
        return dict(self._call(call, plural, name))

    def apply(self, plural: str, manifest: dict[str, Any], manager: str, force: bool = False) -> dict[str, Any]:
        """Make one of our objects, or change the fields that are *manager*'s, by server-side apply; return what it is
        then. Fields that somebody else manages, with another value, are taken over with *force* only."""
        name, kind = manifest["metadata"]["name"], "application/apply-patch+yaml"
        call = functools.partial(
            self._api.patch_namespaced_custom_object,
            body=manifest,
            field_manager=manager,
            force=force,
            _content_type=kind,
        )
        self._call(call, plural, name)
        return self.get(plural, name)  # the library drops the answer where the object was made

    def find(self, plural: str, name: str) -> dict[str, Any] | None:
        """Return one of our objects, None where there is none of its name."""
        found = self._call(functools.partial(self._list, field_selector=f"metadata.name={name}"), plural, name)
        return next(iter(found["items"]), None)

    def _list(self, group: str, version: str, namespace: str, plural: str, _: str, **more: Any) -> Any:
        return self._api.list_namespaced_custom_object(group, version, namespace, plural, **more)

    def follow(self, plural: str, name: str, seconds: float | None = None) -> Iterator[dict[str, Any]]:
        """Yield an object as it is, and again whenever it changes; ends when it is deleted, or after *seconds*."""
        current = self.get(plural, name)
        yield current
        end = None if seconds is None else time.monotonic() + seconds
        while end is None or time.monotonic() < end:
            stream = self._watch.Watch().stream(
                self._api.list_namespaced_custom_object,
                GROUP,
                VERSION,
                self.namespace,
                plural,
                field_selector=f"metadata.name={name}",
                resource_version=current["metadata"]["resourceVersion"],
                timeout_seconds=300 if end is None else max(1, min(300, math.ceil(end - time.monotonic()))),
            )
            try:
                for event in stream:
                    if event["type"] == "DELETED":
                        return
                    current = event["object"]
                    yield current
            except self._exception as error:
                if error.status != 410:  # Gone: the version is too old; start from what is there now
                    raise self._explain(error, plural, name) from None
                current = self.get(plural, name)
                yield current

    def _call(self, function: Any, plural: str, name: str) -> Any:
        try:
            return function(GROUP, VERSION, self.namespace, plural, name)
        except self._exception as error:
            raise self._explain(error, plural, name) from None
        except Exception as error:  # urllib3's, when nobody answers
            raise ClusterError(f"The API server does not answer: {error}") from None

    def _explain(self, error: Any, plural: str, name: str) -> ClusterError:
        if error.status == 404 and "namespaces" in _words(error):
            return ClusterError(
                f'There is no namespace "{self.namespace}"; a project is a namespace. Whoever may makes it with '
                f"`kubectl create namespace {self.namespace}`."
            )
        if error.status == 409 and "conflict with" in _words(error):
            return ClusterError(
                f'{plural} "{name}" in namespace "{self.namespace}": somebody else manages fields of it, with other '
                f"values: {' '.join(_words(error).split())}. Change them there, or take them over with --force."
            )
        if error.status == 404:
            return ClusterError(
                f'There is no {plural.removesuffix("s")} "{name}" in namespace "{self.namespace}" '
                f"(or there is no such namespace, or Headwater is not installed); `kubectl get {plural} -A` lists "
                "what there is."
            )
        words = f'{plural} "{name}" in namespace "{self.namespace}": {error.status} {_words(error)}'
        return UnfitError(words) if error.status == 422 else ClusterError(words)


def _words(error: Any) -> str:
    """What the API server said, which names the field and what is wrong with it."""
    try:
        return str(json.loads(error.body)["message"])
    except (ValueError, KeyError, TypeError):
        return str(error.reason)
