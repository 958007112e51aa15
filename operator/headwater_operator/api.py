"""The API server, as the operator needs it: JSON in, JSON out, errors with a status and words."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp

from headwater.core.errors import ClusterError
from headwater_operator.kinds import Kind, Manifest, kind_of

ACCOUNT_FOLDER = Path("/var/run/secrets/kubernetes.io/serviceaccount")
PAGE = 500
PARALLEL_REQUESTS = 32


class ApiError(ClusterError):
    """The API server refused; *status* is the HTTP status and *reason* Kubernetes' word for it."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class Api:
    """One connection pool to one API server."""

    def __init__(self, server: str, context: ssl.SSLContext | bool, token: Callable[[], str | None]) -> None:
        self._server = server.rstrip("/")
        self._context = context
        self._token = token
        self._session: aiohttp.ClientSession | None = None
        self._places = asyncio.Semaphore(PARALLEL_REQUESTS)
        self.writes = 0
        self.requests: Counter[tuple[str, str]] = Counter()  # by verb and status code

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def list(self, kind: Kind, selector: str | None = None) -> list[Manifest]:
        """Return all objects of a kind in all namespaces, page by page."""
        found: list[Manifest] = []
        params = {"limit": str(PAGE)} | ({"labelSelector": selector} if selector else {})
        while True:
            page = await self._request("GET", kind.path(None), params=params)
            # A list leaves out of its items what they have in common.
            found += [{"apiVersion": kind.api_version, "kind": kind.name, **item} for item in page["items"]]
            more = page["metadata"].get("continue")
            if not more:
                return found
            params = {**params, "continue": more}

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest:
        return await self._request("GET", kind.path(namespace, name))

    async def create(self, manifest: Manifest) -> Manifest:
        path = kind_of(manifest).path(manifest["metadata"]["namespace"])
        return await self._request("POST", path, body=manifest)

    async def patch_status(
        self, kind: Kind, namespace: str, name: str, status: dict[str, Any], resource_version: str
    ) -> Manifest:
        """Merge-patch the status subresource; None takes a field away. Refused as a Conflict unless the object
        is still as *resource_version* was. (Its uid in the patch would be ignored.)"""
        path = kind.path(namespace, name, "status")
        body = {"metadata": {"resourceVersion": resource_version}, "status": status}
        return await self._request("PATCH", path, body=body, content_type="application/merge-patch+json")

    async def patch(self, kind: Kind, namespace: str, name: str, fields: dict[str, Any]) -> Manifest:
        """Merge-patch an object, whatever it has become."""
        path = kind.path(namespace, name)
        return await self._request("PATCH", path, body=fields, content_type="application/merge-patch+json")

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str | None = None) -> None:
        """Delete an object; with a uid, refused as a Conflict when its name is another's by now."""
        body: dict[str, Any] = {"propagationPolicy": "Background"}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        await self._request("DELETE", kind.path(namespace, name), body=body)

    async def delete_all(self, kind: Kind, namespace: str, selector: str) -> None:
        await self._request("DELETE", kind.path(namespace), params={"labelSelector": selector})

    async def _request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: dict[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Manifest:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=30, connect=5)
            self._session = aiohttp.ClientSession(timeout=timeout)
        headers = {"Content-Type": content_type, "Accept": "application/json", "User-Agent": "headwater-operator"}
        token = self._token()
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body)
        if method != "GET":
            self.writes += 1
        try:
            async with (
                self._places,
                self._session.request(
                    method, self._server + path, data=data, params=params, headers=headers, ssl=self._context
                ) as answer,
            ):
                text = await answer.text()
                self.requests[(method, str(answer.status))] += 1
                if answer.status >= 300:
                    raise _refusal(answer.status, text)
                return dict(json.loads(text))
        except (aiohttp.ClientError, TimeoutError) as error:
            self.requests[(method, "none")] += 1
            raise ClusterError(f"the API server does not answer: {error or type(error).__name__}") from error


def _refusal(status: int, text: str) -> ApiError:
    try:
        body = json.loads(text)
        return ApiError(status, str(body.get("reason", "")), str(body.get("message", text[:500])))
    except ValueError:
        return ApiError(status, "", text[:500])


def connect(environment: dict[str, str]) -> Api:
    """Connect as the pod's account in a cluster, else as kubeconfig's current user."""
    if "KUBERNETES_SERVICE_HOST" in environment and (ACCOUNT_FOLDER / "token").exists():
        host, port = environment["KUBERNETES_SERVICE_HOST"], environment["KUBERNETES_SERVICE_PORT"]
        host = f"[{host}]" if ":" in host else host
        context = ssl.create_default_context(cafile=str(ACCOUNT_FOLDER / "ca.crt"))
        return Api(f"https://{host}:{port}", context, _TokenFile(ACCOUNT_FOLDER / "token"))
    return _connect_by_kubeconfig()


class _TokenFile:
    """The account's token, which the kubelet renews: read again each minute."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read_at = float("-inf")
        self._token = ""

    def __call__(self) -> str:
        if time.monotonic() - self._read_at > 60:
            self._token = self._file.read_text().strip()
            self._read_at = time.monotonic()
        return self._token


def _connect_by_kubeconfig() -> Api:
    from kubernetes import client, config

    config.load_kube_config()
    found = client.Configuration.get_default_copy()
    context = ssl.create_default_context(cafile=found.ssl_ca_cert)
    if found.cert_file:
        context.load_cert_chain(found.cert_file, found.key_file)
    context.check_hostname = found.assert_hostname is not False
    if not found.verify_ssl:  # the kubeconfig says insecure-skip-tls-verify
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    bearer = found.api_key.get("BearerToken") or found.api_key.get("authorization")
    return Api(found.host, context, lambda: bearer.removeprefix("Bearer ") if bearer else None)
