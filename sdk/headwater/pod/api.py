"""The API server, as a flow's pod may use it: with the token that is bound to the pod."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.core.errors import ClusterError
from headwater.resources.names import API_VERSION, TOKEN_FOLDER

if TYPE_CHECKING:
    import urllib3

MERGE_PATCH = "application/merge-patch+json"
SECONDS = 10.0

# The API server notes it as the manager of the fields that are written.
USER_AGENT = "headwater-runner"

# A watch is asked for anew after so long: a connection may be dead without a word.
WATCH_SECONDS = 240


class AnswerError(ClusterError):
    """The API server refused, or did not answer; *status* is the HTTP status, 0 when there was no answer."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status

    @property
    def passing(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status in (0, 401, 408, 409, 429) or self.status >= 500


class PodApi:
    """Requests for objects of our own kinds. Used by many threads at once."""

    def __init__(self) -> None:
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
        host = f"[{host}]" if ":" in host else host
        self._root = f"https://{host}:{port}/apis/{API_VERSION}/namespaces"
        self._pool: urllib3.PoolManager | None = None

    def request(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json", **query: str
    ) -> dict[str, Any]:
        """Send a request for *path*, such as "etl/flowruns/etl-1"; return the object. Raises AnswerError."""
        answer = self._send(method, path, body, content_type, query)
        return dict(json.loads(answer.data))

    def watch(
        self, namespace: str, plural: str, name: str, resource_version: str, seconds: float
    ) -> Iterator[dict[str, Any]]:
        """Yield an object whenever it has changed, until the server ends the watch. Raises AnswerError."""
        import urllib3

        limit = max(1, min(WATCH_SECONDS, math.ceil(seconds)))
        query = {
            "watch": "1",
            "fieldSelector": f"metadata.name={name}",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(limit),
        }
        answer = self._send("GET", f"{namespace}/{plural}", None, "application/json", query, stream=True)
        try:
            for line in _lines(answer):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise AnswerError(str(event["object"].get("message")), int(event["object"].get("code", 0)))
                yield {**event["object"], "deleted": event["type"] == "DELETED"}
        except (OSError, urllib3.exceptions.HTTPError) as error:
            raise AnswerError(f"the watch was interrupted: {error}", status=0) from None
        finally:
            answer.close()

    def _send(
        self, method: str, path: str, body: Any, content_type: str, query: Mapping[str, str], stream: bool = False
    ) -> Any:
        import urllib3  # here, so that it is loaded in the reporter's thread while the run starts

        if self._pool is None:
            self._pool = urllib3.PoolManager(ca_certs=f"{TOKEN_FOLDER}/ca.crt", retries=False, maxsize=8)
        headers = {
            # Read anew each time: the kubelet renews it.
            "Authorization": f"Bearer {Path(TOKEN_FOLDER, 'token').read_text().strip()}",
            "Content-Type": content_type,
            "User-Agent": USER_AGENT,
        }
        text = None if body is None else json.dumps(body)
        timeout = urllib3.Timeout(connect=SECONDS, read=WATCH_SECONDS + SECONDS if stream else SECONDS)
        url = f"{self._root}/{path}" + (f"?{_encoded(query)}" if query else "")
        try:
            answer = self._pool.request(
                method, url, body=text, headers=headers, timeout=timeout, preload_content=not stream
            )
        except (OSError, urllib3.exceptions.HTTPError) as error:
            raise AnswerError(f"the API server does not answer: {error}", status=0) from None
        if answer.status >= 300:
            words = _words(answer.data)
            answer.close()
            raise AnswerError(f"the API server answered {answer.status}: {words}", status=answer.status)
        return answer


def _encoded(query: Mapping[str, str]) -> str:
    from urllib.parse import urlencode

    return urlencode(query)


def _lines(answer: Any) -> Iterator[bytes]:
    rest = b""
    for part in answer.stream(65536):
        *lines, rest = (rest + part).split(b"\n")
        yield from (line for line in lines if line.strip())


def _words(data: bytes) -> str:
    try:
        return str(json.loads(data)["message"])
    except (ValueError, KeyError, TypeError):
        return data[:200].decode(errors="replace")
