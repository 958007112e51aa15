"""What the cache says about one value: the small JSON file that stands for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

SCHEMA = 1


@dataclass(frozen=True)
class CacheEntry:
    """A value that was cached, or the place where it is. *inputs* and *parameters* are hashes, of those compared."""

    key: str
    created_at: datetime
    expires_at: datetime | None
    inputs: Mapping[str, str]
    parameters: Mapping[str, str]
    serializer: str
    location: str
    sha256: str
    value: Any = field(default=None, compare=False, repr=False)

    def expired(self, now: datetime) -> bool:
        return self.expires_at is not None and now >= self.expires_at

    def to_json(self) -> bytes:
        expires = None if self.expires_at is None else self.expires_at.isoformat()
        record = {
            "schema": SCHEMA,
            "key": self.key,
            "createdAt": self.created_at.isoformat(),
            "expiresAt": expires,
            "inputs": dict(self.inputs),
            "parameters": dict(self.parameters),
            "serializer": self.serializer,
            "location": self.location,
            "sha256": self.sha256,
        }
        return json.dumps(record, indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes) -> CacheEntry:
        """Raise ValueError, KeyError or TypeError for what to_json did not write."""
        record = json.loads(data)
        if record["schema"] != SCHEMA:
            raise ValueError(f"schema {record['schema']} is not {SCHEMA}")
        expires = record["expiresAt"]
        return cls(
            key=record["key"],
            created_at=_aware(datetime.fromisoformat(record["createdAt"])),
            expires_at=None if expires is None else _aware(datetime.fromisoformat(expires)),
            inputs=dict(record["inputs"]),
            parameters=dict(record["parameters"]),
            serializer=record["serializer"],
            location=record["location"],
            sha256=record["sha256"],
        )


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a time has no time zone")
    return moment
