"""The examples of the guide run as they stand, in one after the other."""

from __future__ import annotations

import re
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "flows.md"


def test_the_examples_of_the_guide_run() -> None:
    text = GUIDE.read_text()
    blocks = list(re.finditer(r"```python\n(.*?)```", text, re.DOTALL))
    assert len(blocks) >= 8
    names: dict[str, object] = {"__name__": "guide"}
    for block in blocks:
        # Lines keep their numbers, so that a failure points into the page.
        code = "\n" * text[: block.start(1)].count("\n") + block.group(1)
        exec(compile(code, str(GUIDE), "exec"), names)
