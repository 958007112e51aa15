"""Stores: places that keep bytes under locations, such as a folder or a bucket.

    store_at("s3://bucket/prefix") -> Retried(FsspecStore)      what is handed out: retries, and raises StoreError
    store_at("/data/results")      -> Retried(LocalStore)

A location is a relative path with forward slashes; it never leaves its store. A write is whole or not at all: who
reads meanwhile sees what was there before. (On filesystems that fsspec reaches and that are neither object stores nor
sftp, that is for the filesystem to say.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from headwater.core.errors import FlowError
from headwater.results.raw_stores import FsspecStore, LocalStore
from headwater.results.result import MissingError, StoreError

T = TypeVar("T")


@runtime_checkable
class Store(Protocol):
    """A place that keeps bytes. Those of store_at raise MissingError and StoreError, the others what they like."""

    @property
    def name(self) -> str:
        """Where it is, for people; without secrets."""

    def read_bytes(self, location: str) -> bytes:
        """Return what is stored there. Raises FileNotFoundError or MissingError when nothing is."""

    def write_bytes(self, location: str, data: bytes) -> None:
        """Store these bytes in place of what is there, as a whole."""

    def exists(self, location: str) -> bool:
        """Tell whether something is stored there. A store that does not answer raises."""

    def delete(self, location: str) -> None:
        """Forget what is stored there; nothing there is fine."""


@runtime_checkable
class HasStore(Protocol):
    """What knows its store: a Result."""

    def store(self) -> Store: ...


@dataclass(frozen=True)
class Backoff:
    """How often a store is tried, and the longest waits between; each wait is random, and may be twice the last."""

    attempts: int = 4
    first_wait_seconds: float = 0.5
    longest_wait_seconds: float = 10.0


def store_at(
    place: str | Path | Store | HasStore,
    storage_options: Mapping[str, Any] | None = None,
    backoff: Backoff | None = None,
) -> Store:
    """Return the store at a URL or folder, or of a Result; a store is returned as it is."""
    if isinstance(place, Store):
        return place
    if isinstance(place, HasStore):
        return place.store()
    if not isinstance(place, (str, Path)):
        raise FlowError(f"{place!r} is no store; give a folder, a URL such as s3://bucket/prefix, or a result.")
    text = str(place)
    if text.startswith(("file://", "local://")):
        text = text.partition("://")[2]
    if "://" in text:
        return Retried(FsspecStore(text, dict(storage_options or {})), backoff or Backoff())
    return Retried(LocalStore(text), backoff or Backoff())


# What no second try mends.
_FINAL: tuple[type[Exception], ...] = (
    *(FlowError, StoreError, TypeError, ValueError, NotImplementedError),
    *(FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError),
)


@dataclass(frozen=True)
class Retried:
    """Another store, tried again when it fails. What it raises in the end becomes a StoreError."""

    inner: Store
    backoff: Backoff

    @property
    def name(self) -> str:
        return self.inner.name

    def read_bytes(self, location: str) -> bytes:
        try:
            return self._try("Reading", location, lambda: self.inner.read_bytes(location))
        except StoreError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise MissingError(
                    f'Nothing is stored at "{location}" in {self.name}; it was never written there, or was deleted.'
                ) from None
            raise

    def write_bytes(self, location: str, data: bytes) -> None:
        self._try("Writing", location, lambda: self.inner.write_bytes(location, data))

    def exists(self, location: str) -> bool:
        return self._try("Looking for", location, lambda: self.inner.exists(location))

    def delete(self, location: str) -> None:
        self._try("Deleting", location, lambda: self.inner.delete(location))

    def _try(self, doing: str, location: str, call: Callable[[], T]) -> T:
        import tenacity

        backoff = self.backoff
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(backoff.attempts),
            wait=tenacity.wait_random_exponential(backoff.first_wait_seconds, backoff.longest_wait_seconds),
            retry=tenacity.retry_if_exception(
                lambda error: isinstance(error, Exception) and not isinstance(error, _FINAL)
            ),
            reraise=True,
        )
        try:
            return retrying(call)
        except (FlowError, StoreError):
            raise
        except Exception as error:
            tries = int(retrying.statistics.get("attempt_number", 1))
            raise StoreError(
                f'{doing} "{location}" in {self.name} failed{f" {tries} times" if tries > 1 else ""} '
                f"({type(error).__name__}: {error}); check that the store is there, and what this process may do in it."
            ) from error
