"""The resource definitions as data; what they mean to an API server is in the other modules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "crds"
REFERENCE = FOLDER.parent / "docs" / "reference" / "resources.md"
KINDS = ("flow", "flowversion", "flowrun")

# kubectl apply keeps a copy of what it applied in an annotation of at most this size.
ANNOTATION_BYTES = 256 * 1024


def definition(kind: str) -> dict[str, Any]:
    return dict(yaml.safe_load((FOLDER / f"{kind}.yaml").read_text()))


def schema(kind: str) -> dict[str, Any]:
    (version,) = definition(kind)["spec"]["versions"]
    return dict(version["schema"]["openAPIV3Schema"])


def field(kind: str, path: str) -> dict[str, Any]:
    found = schema(kind)
    for name in path.split("."):
        found = found["properties"][name]
    return found


def walk(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field below a schema, with its path."""
    for name, child in node.get("properties", {}).items():
        yield f"{path}.{name}", child
        yield from walk(child, f"{path}.{name}")
    for part in ("items", "additionalProperties"):
        if isinstance(node.get(part), dict):
            yield f"{path}[]", {"description": "of its list", **node[part]}
            yield from walk(node[part], f"{path}[]")


def fields(kind: str) -> list[tuple[str, dict[str, Any]]]:
    return [(path, node) for path, node in walk(schema(kind)) if not path.startswith(".metadata")]


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_described(kind: str) -> None:
    assert [path for path, node in fields(kind) if not node.get("description", "").strip()] == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_in_the_reference(kind: str) -> None:
    """Down to the second level, where the tables end."""
    text = re.sub(r"```.*?```", "", REFERENCE.read_text(), flags=re.DOTALL)
    words = set(re.findall(r"[A-Za-z]+", " ".join(re.findall(r"`[^`]+`", text))))
    named = {path.rsplit(".", 1)[1] for path, _ in fields(kind) if "[" not in path and path.count(".") in (2, 3)}
    assert named - words == set()


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_bounded(kind: str) -> None:
    def unbounded(node: dict[str, Any]) -> bool:
        match node.get("type"):
            case "string":
                return not ("maxLength" in node or "enum" in node or node.get("format") == "date-time")
            case "array":
                return "maxItems" not in node
            case "object":
                return "additionalProperties" in node and "maxProperties" not in node
            case None:
                return node.get("x-kubernetes-int-or-string") is not True or "maxLength" not in node
        return False

    assert [path for path, node in fields(kind) if unbounded(node)] == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_rule_says_in_words_what_is_wrong(kind: str) -> None:
    nodes = [("", schema(kind)), *fields(kind)]
    rules = [(path, rule) for path, node in nodes for rule in node.get("x-kubernetes-validations", [])]
    assert rules
    assert [path for path, rule in rules if not rule.get("message")] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_definition_fits_into_kubectls_annotation(kind: str) -> None:
    assert len((FOLDER / f"{kind}.yaml").read_bytes()) < ANNOTATION_BYTES


@pytest.mark.parametrize(("kind", "short"), [("flow", "fl"), ("flowversion", "fv"), ("flowrun", "fr")])
def test_kinds_have_short_names_and_one_category(kind: str, short: str) -> None:
    names = definition(kind)["spec"]["names"]
    assert names["shortNames"] == [short]
    assert names["categories"] == ["headwater"]


def test_the_status_of_a_new_object_says_that_nobody_has_looked_at_it() -> None:
    def state(kind: str) -> dict[str, str]:
        default = field(kind, "status")["default"]
        assert default["observedGeneration"] == 0
        return {condition["type"]: condition["status"] for condition in default["conditions"]}

    assert state("flow") == {"Ready": "Unknown", "Reconciling": "True"}
    assert state("flowversion") == {"Ready": "Unknown", "Reconciling": "True"}
    assert state("flowrun") == {"Succeeded": "Unknown", "Finished": "False", "Ready": "False", "Reconciling": "True"}


def test_long_lists_cost_nothing_in_managed_fields() -> None:
    for kind, path in (("flowrun", "status.tasks"), ("flowversion", "status.graph.tasks")):
        assert field(kind, path)["x-kubernetes-list-type"] == "atomic"


def test_a_version_freezes_the_fields_of_a_flow_as_they_are() -> None:
    """What a Flow accepts, its FlowVersion accepts too, with the same defaults."""

    def bare(node: Any) -> Any:
        """Without words."""
        if isinstance(node, dict):
            return {key: bare(value) for key, value in node.items() if key != "description" or isinstance(value, dict)}
        return [bare(value) for value in node] if isinstance(node, list) else node

    flow, version = field("flow", "spec")["properties"], field("flowversion", "spec")["properties"]
    # What people call a flow, and how its runs are made, let begin and kept, outlives its versions.
    outlive = {"title", "suspend", "schedules", "concurrency", "history", "versions"}
    # The wish to look a tag up is an annotation of the Flow.
    assert set(version) == {*flow, "flow", "number", "resolveImage"} - outlive
    # The image is what the Flow gave or the chart's own, of whatever form; the entrypoint was checked in the Flow.
    for name in set(flow) - {"image", "entrypoint"} - outlive:
        assert bare(flow[name]) == bare(version[name]), name
    for part in ("runner", "worker"):
        assert bare(flow["execution"]["properties"][part]) == bare(flow["execution"]["properties"]["runner"])
