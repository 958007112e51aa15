"""What `headwater start` makes of what is typed, before and when it asks a cluster."""

from __future__ import annotations

from typing import Any

import pytest

from headwater.cli.start import start
from headwater.core.errors import FlowError, ParameterError
from headwater.resources.titles import flow_called


def flow(name: str, title: str | None = None) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"title": title} if title else {}}


FLOWS = [flow("etl", "nightly"), flow("nightly"), flow("say-it-af3", "Say it!"), flow("a", "twice"), flow("b", "twice")]


@pytest.mark.parametrize(
    ("called", "name"),
    [("etl", "etl"), ("nightly", "nightly"), ("Say it!", "say-it-af3"), ("say-it-af3", "say-it-af3")],
)
def test_a_flow_is_found_by_its_name_or_its_title(called: str, name: str) -> None:
    assert flow_called(called, FLOWS, "sales") == name


@pytest.mark.parametrize(
    ("called", "words"),
    [("Say it", "no Flow called .* there is a, b, etl, nightly, say-it-af3"), ("twice", "have the title .*: a, b")],
)
def test_a_flow_that_is_not_one_is_told(called: str, words: str) -> None:
    with pytest.raises(FlowError, match=words):
        flow_called(called, FLOWS, "sales")


@pytest.mark.parametrize("text", ["NaN", "123456789012345678901234567890", "[Infinity]", "1e999", '"\\ud800"'])
def test_what_would_not_arrive_as_it_is_is_refused(text: str) -> None:
    with pytest.raises(ParameterError, match=r'^parameter "x" (has|cannot be written)'):
        start("etl", param=[f"x={text}"])
