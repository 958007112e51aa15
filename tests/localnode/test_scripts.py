"""Which cluster `scripts/cluster` chooses, and what `scripts/images` makes of its arguments."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def script(name: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **settings}
    command = [str(ROOT / "scripts" / name), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_wrong_usage_is_answered_with_the_verbs() -> None:
    result = script("cluster", "sideways")
    assert result.returncode == 2
    assert result.stderr.startswith("usage: scripts/cluster up | down | kubeconfig | kind-of\n")


def test_a_named_context_comes_first() -> None:
    assert script("cluster", "kind-of", HEADWATER_CONTEXT="somewhere").stdout == "context\n"


def test_a_named_context_is_left_alone() -> None:
    result = script("cluster", "down", HEADWATER_CONTEXT="somewhere")
    assert result.returncode == 0
    assert result.stderr == 'cluster: context "somewhere" is not ours to stop\n'


def test_a_context_that_does_not_exist_is_named(tmp_path: Path) -> None:
    settings = {
        "HEADWATER_CONTEXT": "somewhere",
        "HEADWATER_CACHE": str(tmp_path),
        "KUBECONFIG": str(tmp_path / "none"),
    }
    result = script("cluster", "kubeconfig", **settings)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.splitlines()[-1].startswith("cluster: ")
    assert "somewhere" in result.stderr or "kubectl is not on the PATH" in result.stderr


def test_without_a_docker_engine_the_local_node_is_chosen() -> None:
    # An engine that does not answer: the address is real, nobody listens there.
    result = script("cluster", "kind-of", HEADWATER_CONTEXT="", DOCKER_HOST="tcp://127.0.0.1:1", DOCKER_CONTEXT="")
    assert result.stdout == "localnode\n"


def test_the_images_names_carry_the_tag() -> None:
    printed = script("images", "--print", "operator", "runtime", HEADWATER_TAG="1.2.3").stdout
    assert printed == "headwater/operator:1.2.3\nheadwater/runtime:1.2.3\n"


def test_an_unknown_image_is_refused_with_those_that_exist() -> None:
    result = script("images", "airplane")
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].endswith("there is no image 'airplane', only runtime, operator, aircraft")


def test_an_unknown_builder_is_refused() -> None:
    result = script("images", "--no-load", HEADWATER_BUILDER="kaniko")
    assert result.returncode == 1
    assert result.stderr.startswith("images: HEADWATER_BUILDER is 'kaniko'; ")
