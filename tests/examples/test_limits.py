"""The flow of which one run is under way at a time."""

from __future__ import annotations

from pathlib import Path

import yaml

from headwater.core.entrypoint import load_flow


def read(file: Path) -> list[dict[str, object]]:
    return list(yaml.safe_load_all(file.read_text()))


def test_the_resource_holds_the_file_word_for_word(examples: Path) -> None:
    (deployed,) = read(examples / "limits" / "flow.yaml")
    assert deployed["spec"]["source"]["files"] == {"flow.py": (examples / "limits" / "flow.py").read_text()}


def test_what_belongs_together_has_the_same_name(examples: Path) -> None:
    (deployed,), (limits,) = (read(examples / "limits" / f"{name}.yaml") for name in ("flow", "limits"))
    flow = load_flow(deployed["spec"]["entrypoint"], [examples / "limits"])
    assert deployed["metadata"]["name"] == flow.name
    assert [limit["name"] for limit in deployed["spec"]["concurrency"]["limits"]] == list(limits["data"])
    assert limits["metadata"]["labels"] == {"headwater.dev/role": "limits"}
    for run in (run for name in ("monday", "flowruns") for run in read(examples / "limits" / f"{name}.yaml")):
        assert run["spec"]["flow"] == flow.name
        flow.check_parameters(run["spec"]["parameters"])
