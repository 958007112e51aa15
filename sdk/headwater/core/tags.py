"""Tags: words on tasks, by which they are found and grouped."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from headwater.core.context import context


@contextlib.contextmanager
def tags(*names: str) -> Iterator[None]:
    """Give these tags to every task that is made or called in a `with tags("a", "b"):` block."""
    with context(tags=current_tags() | tag_set(names, "tags(...)")):
        yield


def current_tags() -> set[str]:
    """Return the tags of the `with tags(...)` blocks around."""
    return set(context.get("tags", ()))


def tag_set(names: Any, who: str) -> set[str]:
    """Return tags as a set. Raises TypeError for a text, whose letters nobody means, and for what is no text."""
    if isinstance(names, str):
        raise TypeError(f'{who}: tags is the text "{names}"; give a list of texts, such as ["{names}"].')
    if not isinstance(names, Iterable):
        raise TypeError(f"{who}: tags is {names!r}; give a list of texts.")
    found = set()
    for name in names:
        if not isinstance(name, str) or not name:
            raise TypeError(f'{who}: the tag {name!r} is no text; write tags as texts, such as "nightly".')
        found.add(name)
    return found
