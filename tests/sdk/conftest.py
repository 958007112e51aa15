"""What tests of the SDK share: an API server on this machine that knows one Flow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sdk.flow_server import FlowServer, flow_server


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlowServer]:
    from kubernetes.config import kube_config

    from headwater.kubernetes import client

    monkeypatch.setattr(client, "PAUSE_SECONDS", 0.01)
    with flow_server(tmp_path) as server:
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        # The library reads the variable once, when it is imported.
        monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))
        yield server
