"""The examples as their users have them: the aircraft example's own folder is on the path, recorded data are the input."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

sys.path.insert(0, str(EXAMPLES / "aircraft"))


@pytest.fixture
def examples() -> Path:
    return EXAMPLES


@pytest.fixture
def database_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the flow's rows go, in this process and those that it starts."""
    file = tmp_path / "rows.sqlite"
    monkeypatch.setenv("AIRCRAFT_DB", str(file))
    monkeypatch.delenv("AIRCRAFT_LIVE", raising=False)
    return file
