"""What an API server is sent and what it answers, as text: JSON that is YAML too, and its refusals in words. Pure."""

from __future__ import annotations

import json
import re
from typing import Any

from headwater.core.errors import ClusterError

# JSON may write these as they are and YAML may not; what is above U+FFFF JSON may write as two escapes, YAML may not.
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_HALVES = re.compile("[\ud800-\udfff]")

# What the API server says while it starts, stops or has too much to do.
BUSY = (429, 500, 502, 503, 504)


class AwayError(ClusterError):
    """The API server does not answer; it may later."""


class ConflictError(ClusterError):
    """Somebody else manages *fields*, with other values."""

    def __init__(self, words: str, fields: tuple[str, ...]) -> None:
        super().__init__(words)
        self.fields = fields


def as_yaml_text(value: Any) -> str:
    """Return JSON that is YAML too, of one line. Raises ClusterError for half a character, which neither can send."""
    text = json.dumps(value, ensure_ascii=False)
    if half := _HALVES.search(text):
        near = text[max(0, half.start() - 20) : half.start()]
        raise ClusterError(
            f"A text has half a character (\\u{ord(half[0]):04x}, behind {near!r}), which cannot be sent: "
            "write the whole one, or leave it out."
        )
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def conflicting(error: Any) -> tuple[str, ...]:
    """The fields that server-side apply has found to be somebody else's."""
    try:
        causes = json.loads(error.body)["details"]["causes"]
        return tuple(cause["field"] for cause in causes if cause["reason"] == "FieldManagerConflict")
    except (ValueError, KeyError, TypeError):
        return ()


def words(error: Any) -> str:
    """What the API server said, which names the field and what is wrong with it."""
    try:
        return str(json.loads(error.body)["message"])
    except (ValueError, KeyError, TypeError):
        return str(error.reason)
