"""The examples of the guides run as they stand, in one after the other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(("page", "at_least"), [("flows.md", 8), ("tasks.md", 5)])
def test_the_examples_of_a_guide_run(page: str, at_least: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_SECRET_DB_PASSWORD", "set by the guide, and gone with this test")
    for name in ("SLACK_WEBHOOK_URL", "WEBHOOK_URL"):
        monkeypatch.delenv(f"HEADWATER_SECRET_{name}", raising=False)  # nobody is to be told
    text = (DOCS / page).read_text()
    blocks = list(re.finditer(r"```python\n(.*?)```", text, re.DOTALL))
    assert len(blocks) >= at_least
    names: dict[str, object] = {"__name__": "guide"}
    for block in blocks:
        # Lines keep their numbers, so that a failure points into the page.
        code = "\n" * text[: block.start(1)].count("\n") + block.group(1)
        exec(compile(code, str(DOCS / page), "exec"), names)
