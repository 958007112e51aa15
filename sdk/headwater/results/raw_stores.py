"""The stores themselves: a folder, whatever fsspec reaches, and memory. Each tries once and raises its own errors.

See store.py for the protocol that they fulfil, and for what makes them patient.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from headwater.core.errors import FlowError
from headwater.results.result import StoreError


@dataclass(frozen=True)
class LocalStore:
    """A folder, made when first written to."""

    directory: str

    @property
    def name(self) -> str:
        return str(self._folder())

    def read_bytes(self, location: str) -> bytes:
        return self._file(location).read_bytes()

    def write_bytes(self, location: str, data: bytes) -> None:
        file = self._file(location)
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f".{uuid.uuid4().hex}.part")
        try:
            with part.open("xb") as stream:
                stream.write(data)
                stream.flush()
                # Else a machine that goes down may leave the new name on an empty file.
                os.fsync(stream.fileno())
            part.replace(file)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def exists(self, location: str) -> bool:
        return self._file(location).is_file()

    def delete(self, location: str) -> None:
        self._file(location).unlink(missing_ok=True)

    def _folder(self) -> Path:
        return Path(self.directory).expanduser().absolute()

    def _file(self, location: str) -> Path:
        return self._folder() / relative_location(location)


# These show a file while it is written, and rename over another: written aside there, then renamed.
# Object stores show an object once it is whole.
_RENAMING = frozenset({"file", "local", "sftp", "ssh"})


@dataclass(frozen=True)
class FsspecStore:
    """A place that fsspec reaches by a URL, such as s3://bucket/prefix."""

    url: str
    storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        return without_password(self.url)

    def read_bytes(self, location: str) -> bytes:
        files, path = self._reach(location)
        return bytes(files.cat_file(path))

    def write_bytes(self, location: str, data: bytes) -> None:
        files, path = self._reach(location)
        if self._protocol() not in _RENAMING:
            files.pipe_file(path, data)
            return
        folder = path.rpartition("/")[0]
        part = f"{folder}/.{uuid.uuid4().hex}.part"
        files.makedirs(folder, exist_ok=True)
        try:
            files.pipe_file(part, data)
            files.mv(part, path)
        except BaseException:
            with contextlib.suppress(Exception):
                files.rm_file(part)
            raise

    def exists(self, location: str) -> bool:
        files, path = self._reach(location)
        # Another process may have written since this one last looked.
        files.invalidate_cache(path)
        try:
            # Not files.exists(): that answers False when the store does not answer at all.
            return bool(files.info(path)["type"] == "file")
        except FileNotFoundError:
            return False

    def delete(self, location: str) -> None:
        files, path = self._reach(location)
        with contextlib.suppress(FileNotFoundError):
            files.rm_file(path)

    def _protocol(self) -> str:
        return self.url.partition("://")[0]

    def _reach(self, location: str) -> tuple[Any, str]:
        relative = relative_location(location)
        try:
            files, root = importlib.import_module("fsspec.core").url_to_fs(self.url, **self.storage_options)
        except ImportError as error:
            raise StoreError(
                f"{self.name} cannot be reached: a package for {self._protocol()}:// is not installed here ({error}); "
                "add it to the flow's image."
            ) from None
        except ValueError as error:
            raise StoreError(f"{self.name} cannot be reached ({error}); check the URL and storage_options.") from error
        return files, f"{root.rstrip('/')}/{relative}"


class MemoryStore:
    """A store in this process, which ends with it."""

    name = "memory"

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def read_bytes(self, location: str) -> bytes:
        try:
            return self._kept[relative_location(location)]
        except KeyError:
            raise FileNotFoundError(location) from None

    def write_bytes(self, location: str, data: bytes) -> None:
        self._kept[relative_location(location)] = data

    def exists(self, location: str) -> bool:
        return relative_location(location) in self._kept

    def delete(self, location: str) -> None:
        self._kept.pop(relative_location(location), None)

    def __reduce__(self) -> Any:
        raise TypeError("A MemoryStore lives in one process and cannot be sent to another; use a folder or a URL.")


def relative_location(location: str) -> str:
    """Return a location in its plain form. Raises FlowError when it would leave its store."""
    path = PurePosixPath(location)
    if path.is_absolute() or ".." in path.parts or "\0" in location or not path.parts:
        raise FlowError(
            f'The location "{location}" is not inside its store; '
            'give a relative path without "..", such as "etl/extract.bin".'
        )
    return str(path)


def without_password(url: str) -> str:
    """Return a URL without what stands before an @: it may be a password."""
    return re.sub(r"://[^/@]*@", "://***@", url)
