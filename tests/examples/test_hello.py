"""The flow that needs no image."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from headwater.core.entrypoint import load_flow


def test_the_resource_holds_the_file_word_for_word(examples: Path) -> None:
    deployed = yaml.safe_load((examples / "hello" / "flow.yaml").read_text())
    assert deployed["spec"]["source"]["files"] == {"flow.py": (examples / "hello" / "flow.py").read_text()}
    assert "image" not in deployed["spec"]


def test_the_run_is_one_of_the_flow(examples: Path) -> None:
    deployed, run = (yaml.safe_load((examples / "hello" / f"{name}.yaml").read_text()) for name in ("flow", "flowrun"))
    flow = load_flow(deployed["spec"]["entrypoint"], [examples / "hello"])
    assert run["spec"]["flow"] == deployed["metadata"]["name"] == flow.name
    assert flow.check_parameters(run["spec"]["parameters"]) == {"name": "Ada"}


@pytest.mark.parametrize(("parameters", "greeting"), [({}, "Hello, world!"), ({"name": "Ada"}, "Hello, Ada!")])
def test_it_greets(
    examples: Path, capsys: pytest.CaptureFixture[str], parameters: dict[str, str], greeting: str
) -> None:
    flow = load_flow("flow.py:flow", [examples / "hello"])
    state = flow.run(parameters)
    assert state.result[flow.get_tasks("say")[0]].result == greeting
    assert capsys.readouterr().out == f"{greeting} That is {sum(map(str.isalpha, greeting))} letters.\n"
