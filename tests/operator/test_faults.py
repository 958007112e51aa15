"""The operator comes to the same end whatever fails on the way: stories on a simulated API server."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from simulation.play import run_stories
from simulation.stories import STORIES as OF_RUNS
from simulation.stories_of_refusals import STORIES as OF_REFUSALS
from simulation.stories_of_will import STORIES as OF_WILL

STORIES = (*OF_RUNS, *OF_REFUSALS, *OF_WILL)


@pytest.fixture
def tell(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, bool, list[Any]], None]:
    """Play stories; fail with the seed and what happened."""

    def run(seed: int, faulty: bool, stories: list[Any]) -> None:
        world = run_stories(seed, faulty, stories, monkeypatch.setattr)
        names = ", ".join(story.__name__ for story in stories)
        if world.violations:
            pytest.fail("\n".join([f"seed {seed}: {names}", *world.violations, *world.state(), *world.history[-150:]]))

    return run


@pytest.mark.parametrize("story", STORIES)
def test_a_story_without_faults(tell, story) -> None:
    tell(1, False, [story])


@pytest.mark.parametrize("story", STORIES)
def test_a_story_with_faults(tell, story) -> None:
    for seed in range(4):
        tell(seed, True, [story])


@pytest.mark.parametrize("seed", range(10))
def test_stories_together_with_faults(tell, seed: int) -> None:
    tell(seed, True, random.Random(seed).sample(STORIES, 5))
