"""The flows that a clock, a file, another flow and a person let run: their resources, and their runs here."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from headwater.core.entrypoint import load_flow
from headwater.core.flow import Flow
from headwater.schedules.manifest import clock_from_manifest


def read(file: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(file.read_text()))


FLOWS = [
    ("schedules", "flow.yaml", ["figures"]),
    ("arrival", "flow.yaml", ["arrival"]),
    ("parent", "flows.yaml", ["landings", "all-airports"]),
    ("approval", "flow.yaml", ["release"]),
]


def loaded(examples: Path, folder: str, entrypoint: str = "flow.py:flow") -> Flow:
    return load_flow(entrypoint, [examples / folder])


@pytest.mark.parametrize(("folder", "file", "names"), FLOWS)
def test_the_resources_are_those_of_the_file(examples: Path, folder: str, file: str, names: list[str]) -> None:
    deployed = read(examples / folder / file)
    assert [flow["metadata"]["name"] for flow in deployed] == names
    for manifest in deployed:
        assert manifest["spec"]["source"]["files"] == {"flow.py": (examples / folder / "flow.py").read_text()}
        assert loaded(examples, folder, manifest["spec"]["entrypoint"]).name == manifest["metadata"]["name"]
    for runs in (examples / folder).glob("flowrun*.yaml"):
        for run in read(runs):
            assert run["spec"]["flow"] in names
            loaded(examples, folder).check_parameters(run["spec"]["parameters"])


def test_each_kind_of_schedule_is_there_and_has_its_times(examples: Path) -> None:
    (flow,) = read(examples / "schedules" / "flow.yaml")
    after = datetime(2026, 10, 1, tzinfo=UTC)
    first = {}
    for entry in flow["spec"]["schedules"]:
        (event,) = itertools.islice(clock_from_manifest(entry).events(after), 1)
        first[entry["name"]] = event.start_time.astimezone(UTC).isoformat(" ")
        loaded(examples, "schedules").check_parameters(entry.get("parameters", {}))
    assert first == {
        "office": "2026-10-01 07:00:00+00:00",
        "half-daily": "2026-10-01 02:00:00+00:00",
        "month-end": "2026-10-30 22:00:00+00:00",
        "fair": "2030-05-12 06:00:00+00:00",
    }


def test_a_parent_waits_for_its_runs(examples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert loaded(examples, "parent").run(airports=["Zurich", "Geneva", "Bern"]).is_successful()
    printed = capsys.readouterr().out.splitlines()
    assert sorted(printed[:3]) == ["Bern has 4 letters.", "Geneva has 6 letters.", "Zurich has 6 letters."]
    assert printed[3:] == ["3 runs have ended."]


@pytest.mark.parametrize(("answer", "state"), [("y", "Success"), ("n", "Failed")])
def test_what_a_person_answers_decides_and_it_is_tidied_up(
    examples: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, answer: str, state: str
) -> None:
    monkeypatch.setattr("builtins.input", lambda _: answer)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    assert loaded(examples, "approval").run(version=7).name == state
    printed = capsys.readouterr().out
    assert ("site-7 is live." in printed) == (answer == "y")
    assert "site-7 is tidied up." in printed
