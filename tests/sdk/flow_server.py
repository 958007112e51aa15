"""An API server as one Flow sees it: it keeps what is applied, and cuts connections when it is told to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml


class FlowServer:
    """*watched* are what happens in the watches, one after another: each changes the object, or cuts the connection."""

    def __init__(self) -> None:
        self.flow: dict[str, Any] | None = None
        self.refuse: list[dict[str, Any]] = []  # Statuses with which the next applies are answered
        self.applied: list[tuple[str, bytes]] = []
        self.watched: list[Callable[[FlowServer], None] | None] = []
        self.watches = 0
        self.away = False
        self.url = ""

    def change(self, **status: Any) -> None:
        """Somebody changes the flow's spec; *status* is what the operator says."""
        assert self.flow is not None
        metadata = self.flow["metadata"]
        self.flow = {
            **self.flow,
            "metadata": {**metadata, "resourceVersion": str(int(metadata["resourceVersion"]) + 1)},
        }
        if status:
            self.flow["status"] = status

    def apply(self, manifest: dict[str, Any]) -> dict[str, Any]:
        before = self.flow or {"metadata": {"generation": 0, "resourceVersion": "1"}}
        same = before.get("spec") == manifest["spec"]
        metadata = {
            **manifest["metadata"],
            "uid": "u",
            "generation": before["metadata"]["generation"] + (0 if same else 1),
            "resourceVersion": str(int(before["metadata"]["resourceVersion"]) + 1),
        }
        self.flow = {**manifest, "metadata": metadata, **({"status": before["status"]} if "status" in before else {})}
        return self.flow

    def judge(self, number: int, generation: int | None = None, **conditions: str) -> None:
        """The operator says what has become of it."""
        assert self.flow is not None
        wish = self.flow["metadata"].get("annotations", {}).get("headwater.dev/resolve-image")
        self.change(
            observedGeneration=generation or self.flow["metadata"]["generation"],
            currentVersion={"name": f"f-v{number}", "number": number},
            conditions=[
                {"type": kind, "status": "True", "reason": reason, "message": f"f-v{number} cannot be used: it raises"}
                for kind, reason in (conditions or {"Ready": "VersionReady"}).items()
            ],
            **({"resolveImage": wish} if wish else {}),
        )


def manifest(image: str = "a:1", wish: str = "", title: str = "🚀") -> dict[str, Any]:
    metadata = {"name": "f", **({"annotations": {"headwater.dev/resolve-image": wish}} if wish else {})}
    spec = {"image": image, "title": title, "entrypoint": "flow.py:flow"}
    return {"apiVersion": "headwater.dev/v1alpha1", "kind": "Flow", "metadata": metadata, "spec": spec}


def conflict(*fields: str) -> dict[str, Any]:
    causes = [{"reason": "FieldManagerConflict", "message": f'conflict with "git": {f}', "field": f} for f in fields]
    several = f'{len(fields)} conflicts: conflicts with "git"' if len(fields) > 1 else '1 conflict: conflict with "git"'
    return {"code": 409, "message": f"Apply failed with {several}", "details": {"causes": causes}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def log_message(self, *_: Any) -> None: ...

    def do_GET(self) -> None:
        api: FlowServer = self.server.api
        if api.away:
            self.close_connection = True
        elif "watch=true" in self.path:
            self._watch(api)
        elif self.path.rstrip("?").endswith("/f"):
            self._say(200 if api.flow else 404, api.flow or {"message": "not found"})
        else:
            self._say(200, {"items": [api.flow] if api.flow else []})

    def do_PATCH(self) -> None:
        api: FlowServer = self.server.api
        body = self.rfile.read(int(self.headers["Content-Length"]))
        api.applied.append((self.path, body))
        if api.refuse:
            status = api.refuse.pop(0)
            self._say(status["code"], status)
        else:
            made = api.flow is None
            self._say(201 if made else 200, api.apply(yaml.safe_load(body.decode())))

    def _watch(self, api: FlowServer) -> None:
        api.watches += 1
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while api.watched:
            change = api.watched.pop(0)
            if change is None:
                # In the middle of a line, as when a load balancer is replaced.
                self._chunk(b'{"type": "MODI')
                self.wfile.flush()
                self.close_connection = True
                return
            change(api)
            self._chunk(json.dumps({"type": "MODIFIED", "object": api.flow}).encode() + b"\n")
        time.sleep(0.2)
        self._chunk(b"")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def _say(self, code: int, value: Any) -> None:
        text = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@contextmanager
def flow_server(folder: Path) -> Iterator[FlowServer]:
    """A server, and `kubeconfig` in *folder* that leads to it."""
    api = FlowServer()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.api = api  # type: ignore[attr-defined]
        api.url = f"http://127.0.0.1:{server.server_port}"
        (folder / "kubeconfig").write_text(
            yaml.safe_dump(
                {
                    "clusters": [{"name": "c", "cluster": {"server": api.url}}],
                    "users": [{"name": "u", "user": {}}],
                    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "sales"}}],
                    "current-context": "x",
                }
            )
        )
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
