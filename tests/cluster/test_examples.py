"""The examples on a real cluster, from their own manifests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.cluster

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_hello(project: Any) -> None:
    project.kubectl("apply", "-f", str(EXAMPLES / "hello"))
    run = project.finish("hello-1")
    assert run["status"]["progress"]["text"] == "3/3"
    assert "Hello, Ada! That is" in project.kubectl("logs", "hello-1-a1").stdout
