"""The cache: values of earlier runs, found by what they were made from. Nothing is cached unless a task asks for it.

    rule = CacheRule("extract", cache_for=timedelta(hours=1), flow_name="etl")
    query = rule.ask(inputs, parameters)          before the run: hashes what is compared
    entry = cache.find(query)                     None: run the task, then
    cache.put(query, value)

By default an entry serves only a run with equal inputs; see validators.py. In the store an entry is a small JSON file,
found by its key, that names a file with the value and says what its bytes hash to. The JSON is replaced as a whole
and each value has a file of its own, so of two writers the last one wins, and what is torn or damaged is no hit.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from headwater.core.errors import FlowError
from headwater.results.cache_entry import CacheEntry
from headwater.results.hashing import Hashed, digest, hash_what_can_be
from headwater.results.raw_stores import MemoryStore
from headwater.results.result import MissingError, StoreError
from headwater.results.serializers import PickleSerializer, Serializer, SerializerError
from headwater.results.store import HasStore, Store, store_at
from headwater.results.validators import SameContent, Validator, all_inputs, check_validator

logger = logging.getLogger("headwater.cache")


@dataclass(frozen=True)
class CacheRule:
    """What a task says about its cache. *cache_for* None keeps values for ever.

    Tasks with an equal *cache_key* share what they made from equal inputs; without one, an entry belongs to a task of a
    flow, and to a *version* of it when one is given.
    """

    task_name: str
    cache_for: timedelta | None = None
    validator: Validator = all_inputs
    cache_key: str | None = None
    flow_name: str = ""
    version: str = ""
    serializer: Serializer = field(default_factory=PickleSerializer)

    def __post_init__(self) -> None:
        check_validator(self.validator)
        if self.cache_for is not None and self.cache_for <= timedelta(0):
            raise FlowError(f'Task "{self.task_name}": cache_for is {self.cache_for}; give more than zero.')

    def ask(self, inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> CacheQuery:
        """Return the question for one run, asked before it: a run may change its inputs. Raises HashError."""
        arguments, run_parameters = Hashed(inputs), Hashed(parameters)
        if isinstance(self.validator, SameContent):
            hashes = self.validator.content(arguments, run_parameters)
            content = digest(hashes)
        else:
            # What a function compares is not known; it gets what there is, and one entry for the task.
            hashes = hash_what_can_be(arguments), hash_what_can_be(run_parameters)
            content = ""
        key = cache_key_of(
            self.task_name, self.cache_key, flow_name=self.flow_name, version=self.version, content=content
        )
        return CacheQuery(self, key, arguments, run_parameters, *hashes)


@dataclass(frozen=True)
class CacheQuery:
    """What is looked for: made by CacheRule.ask."""

    rule: CacheRule
    key: str
    inputs: Hashed
    parameters: Hashed
    input_hashes: Mapping[str, str]
    parameter_hashes: Mapping[str, str]


def cache_key_of(
    task_name: str, cache_key: str | None = None, *, flow_name: str = "", version: str = "", content: str = ""
) -> str:
    """Return the key of an entry: the user's own, or flow, version and task; and what the value is made from."""
    owner = ["key", cache_key] if cache_key is not None else ["task", flow_name, version, task_name]
    return json.dumps([*owner, content])


class CacheStore:
    """Cached values in a folder, at a URL, in the store of a result: shared by all processes that reach it.

    Who may write there may have code run by those who read. Values that were replaced are deleted; those that expired
    are not, so let the bucket or the volume forget what is old.
    """

    def __init__(self, place: str | Path | Store | HasStore, folder: str = "cache") -> None:
        self.store = store_at(place)
        self.folder = folder

    def find(self, query: CacheQuery, now: datetime | None = None) -> CacheEntry | None:
        """Return the entry for a query, with its value; None when there is none that may be used.

        Raises StoreError when the store does not answer.
        """
        now = now or datetime.now(UTC)
        # Twice, because another writer may replace the value between a look at its entry and the reading of it.
        for _ in range(2):
            entry = self._entry(query.key)
            if entry is None or entry.expired(now) or entry.serializer != repr(query.rule.serializer):
                return None
            if not query.rule.validator(entry, query.inputs, query.parameters):
                return None
            data = self._read(entry.location)
            if data is not None:
                return _with_value(entry, data, query.rule.serializer)
        logger.warning("Cache entry %s names a value that is gone; it is not used.", query.key)
        return None

    def put(self, query: CacheQuery, value: Any, now: datetime | None = None) -> CacheEntry:
        """Keep a value for the runs that ask the same. Raises SerializerError and StoreError."""
        now = now or datetime.now(UTC)
        data = query.rule.serializer.serialize(value)
        entry = CacheEntry(
            key=query.key,
            created_at=now,
            expires_at=None if query.rule.cache_for is None else now + query.rule.cache_for,
            inputs=query.input_hashes,
            parameters=query.parameter_hashes,
            serializer=repr(query.rule.serializer),
            location=f"{self._stem(query.key)}-{uuid.uuid4().hex}.value",
            sha256=hashlib.sha256(data).hexdigest(),
            value=value,
        )
        replaced = self._entry(query.key)
        self.store.write_bytes(entry.location, data)
        self.store.write_bytes(self._record(query.key), entry.to_json())
        if replaced is not None:
            self._delete(replaced.location)
        return entry

    def forget(self, query: CacheQuery) -> None:
        """Drop the entry of a query, if there is one."""
        entry = self._entry(query.key)
        self.store.delete(self._record(query.key))
        if entry is not None:
            self._delete(entry.location)

    def _entry(self, key: str) -> CacheEntry | None:
        data = self._read(self._record(key))
        if data is None:
            return None
        try:
            entry = CacheEntry.from_json(data)
            # A damaged location is not to name another file.
            if entry.key != key or not entry.location.startswith(self._stem(key)) or ".." in entry.location:
                raise ValueError("it belongs to another key")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            logger.warning("Cache entry %s is damaged (%s: %s); it is not used.", key, type(error).__name__, error)
            return None
        return entry

    def _read(self, location: str) -> bytes | None:
        try:
            return self.store.read_bytes(location)
        except (MissingError, FileNotFoundError):
            return None

    def _delete(self, location: str) -> None:
        with contextlib.suppress(StoreError):
            self.store.delete(location)

    def _stem(self, key: str) -> str:
        name = hashlib.sha256(key.encode()).hexdigest()
        return f"{self.folder}/{name[:2]}/{name}"

    def _record(self, key: str) -> str:
        return f"{self._stem(key)}.json"


class MemoryCache(CacheStore):
    """A cache in this process. Values are kept as bytes here too, so that nobody changes a cached one."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())


def _with_value(entry: CacheEntry, data: bytes, serializer: Serializer) -> CacheEntry | None:
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        logger.warning("The cached value of %s is damaged; it is not used.", entry.key)
        return None
    try:
        return replace(entry, value=serializer.deserialize(data))
    except SerializerError as error:
        logger.warning("The cached value of %s cannot be read; it is not used. %s", entry.key, error)
        return None
