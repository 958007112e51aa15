"""Move, copy, remove, find, zip and unzip files, where the task runs."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from headwater.core.task import Task
from headwater.tasks.attributes import defaults_from_attrs, missing, needed

AnyPath = str | os.PathLike[str]

METHODS = {
    "store": zipfile.ZIP_STORED,
    "deflate": zipfile.ZIP_DEFLATED,
    "bzip2": zipfile.ZIP_BZIP2,
    "lzma": zipfile.ZIP_LZMA,
}


class UnsafeArchiveError(ValueError):
    """An archive has a member that would be written outside the folder that it is unpacked to."""


class _Transfer(Task):
    """What has a source and a target."""

    def __init__(self, source_path: AnyPath | None = None, target_path: AnyPath | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.source_path = source_path
        self.target_path = target_path

    def _paths(self, source_path: AnyPath | None, target_path: AnyPath | None) -> tuple[Path, Path]:
        source = _existing(self, "source_path", source_path)
        target = _path(self, "target_path", target_path)
        _check_folder_of(self, target)
        return source, target


class Move(_Transfer):
    """Move a file or a folder, and return its new path.

    Where *target_path* is a folder it goes into it; a file takes the place of a file.
    """

    @defaults_from_attrs("source_path", "target_path")
    def run(self, source_path: AnyPath | None = None, target_path: AnyPath | None = None) -> Path:
        source, target = self._paths(source_path, target_path)
        return Path(shutil.move(source, target))


class Copy(_Transfer):
    """Copy a file or a folder, and return the path of the copy.

    A file goes into *target_path* where that is a folder. A folder becomes *target_path* itself and is merged into
    what is there, so that copying it again changes nothing.
    """

    @defaults_from_attrs("source_path", "target_path")
    def run(self, source_path: AnyPath | None = None, target_path: AnyPath | None = None) -> Path:
        source, target = self._paths(source_path, target_path)
        if not source.is_dir():
            return Path(shutil.copy2(source, target))
        if target.resolve().is_relative_to(source.resolve()):
            raise ValueError(f'Task "{self.name}": "{target}" is in "{source}" itself; copy it to another place.')
        return Path(shutil.copytree(source, target, dirs_exist_ok=True))


class Remove(Task):
    """Remove a file, or a folder with all that is in it; of a link, the link. Raises unless *missing_ok*."""

    def __init__(self, path: AnyPath | None = None, missing_ok: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.path = path
        self.missing_ok = missing_ok

    @defaults_from_attrs("path")
    def run(self, path: AnyPath | None = None) -> None:
        found = _path(self, "path", path)
        try:
            if found.is_dir() and not found.is_symlink():
                shutil.rmtree(found)
            else:
                found.unlink()
        except FileNotFoundError:
            if not self.missing_ok:
                raise FileNotFoundError(f'Task "{self.name}": there is no "{found}" to remove.') from None


class Glob(Task):
    """Return the sorted paths in a folder that fit a pattern such as `*.csv`, or `**/*.csv` for those below it too."""

    def __init__(self, path: AnyPath | None = None, pattern: str = "*", **options: Any) -> None:
        super().__init__(**options)
        self.path = path
        self.pattern = pattern

    @defaults_from_attrs("path", "pattern")
    def run(self, path: AnyPath | None = None, pattern: str | None = None) -> list[Path]:
        folder, wanted = _existing(self, "path", path), needed(pattern, self, "pattern")
        if not folder.is_dir():
            raise NotADirectoryError(f'Task "{self.name}": path "{folder}" is a file; give the folder that it is in.')
        if not wanted or Path(wanted).is_absolute():
            raise ValueError(f'Task "{self.name}": pattern is "{wanted}"; give one below path, such as *.csv.')
        return sorted(folder.glob(wanted))


class Zip(Task):
    """Pack files and folders into an archive, and return its path.

    *source_path* is one path or a list; each stands in the archive under its own name. *compression_method* is
    `deflate`, `store`, `bzip2` or `lzma`. The archive appears when it is complete.
    """

    def __init__(
        self,
        source_path: AnyPath | Iterable[AnyPath] | None = None,
        zip_path: AnyPath | None = None,
        compression_method: str = "deflate",
        compression_level: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if compression_method not in METHODS:
            known = ", ".join(METHODS)
            raise ValueError(f'Task "{self.name}": compression_method is "{compression_method}"; give {known}.')
        if compression_level is not None and compression_level not in range(10):
            raise ValueError(f'Task "{self.name}": compression_level is {compression_level!r}; give 0 to 9.')
        self.source_path = source_path
        self.zip_path = zip_path
        self.compression_method = compression_method
        self.compression_level = compression_level

    @defaults_from_attrs("source_path", "zip_path")
    def run(self, source_path: AnyPath | Iterable[AnyPath] | None = None, zip_path: AnyPath | None = None) -> Path:
        if source_path is None:
            raise missing(self, "source_path")
        listed = [source_path] if isinstance(source_path, str | os.PathLike) else list(source_path)
        sources = [_existing(self, "source_path", path) for path in listed]
        target = _path(self, "zip_path", zip_path)
        _check_folder_of(self, target)
        with tempfile.TemporaryDirectory(prefix=".headwater-zip-", dir=target.parent) as folder:
            packed = Path(folder, "packed")
            self._pack(packed, dict(self._members(sources, {target.resolve(), Path(folder).resolve()})))
            return packed.replace(target)

    def _members(self, sources: list[Path], left_out: set[Path]) -> Iterator[tuple[str, Path]]:
        seen = set()
        for source in sources:
            name = source.resolve().name
            if name in seen:
                raise ValueError(f'Task "{self.name}": two sources are called "{name}"; pack them one by one.')
            seen.add(name)
            yield name, source
            for path in sorted(source.rglob("*")) if source.is_dir() else ():
                if not left_out & {path.resolve(), *path.resolve().parents}:
                    yield f"{name}/{path.relative_to(source).as_posix()}", path

    def _pack(self, packed: Path, members: dict[str, Path]) -> None:
        method = METHODS[self.compression_method]
        level = self.compression_level
        with zipfile.ZipFile(packed, "w", method, compresslevel=level, strict_timestamps=False) as archive:
            for name, path in members.items():
                if not (path.is_file() or path.is_dir()):
                    # Nobody may ever write into a pipe.
                    raise ValueError(f'Task "{self.name}": "{path}" is no file or folder, or a link to none.')
                archive.write(path, name)


class Unzip(Task):
    """Unpack an archive into a folder, which is made if need be, and return the folder's path.

    An archive with a member that would be written outside the folder is refused as a whole: UnsafeArchiveError.
    """

    def __init__(
        self,
        zip_path: AnyPath | None = None,
        extract_dir: AnyPath | None = None,
        zip_password: bytes | str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.zip_path = zip_path
        self.extract_dir = extract_dir
        self.zip_password = zip_password

    @defaults_from_attrs("zip_path", "extract_dir", "zip_password")
    def run(
        self,
        zip_path: AnyPath | None = None,
        extract_dir: AnyPath | None = None,
        zip_password: bytes | str | None = None,
    ) -> Path:
        path = _existing(self, "zip_path", zip_path)
        target = _path(self, "extract_dir", extract_dir)
        password = zip_password.encode() if isinstance(zip_password, str) else zip_password
        if not zipfile.is_zipfile(path):
            raise ValueError(f'Task "{self.name}": "{path}" is no zip archive.')
        with zipfile.ZipFile(path) as archive:
            self._check(path, archive.namelist(), target.resolve())
            try:
                archive.extractall(target, pwd=password)
            # RuntimeError is about passwords.
            except (RuntimeError, zipfile.BadZipFile, zlib.error, EOFError) as error:
                raise ValueError(
                    f'Task "{self.name}": "{path}" cannot be unpacked: {error}; what came before is in "{target}".'
                ) from error
        return target

    def _check(self, path: Path, names: list[str], target: Path) -> None:
        for name in names:
            # Resolved, as a link in the folder may lead out of it too.
            if not Path(target, name).resolve().is_relative_to(target):
                raise UnsafeArchiveError(
                    f'Task "{self.name}": "{path}" has a member "{name}", which lies outside "{target}"; '
                    "nothing was unpacked."
                )


def _path(task: Task, argument: str, given: AnyPath | None) -> Path:
    if given is None:
        raise missing(task, argument)
    if not isinstance(given, str | os.PathLike):
        raise TypeError(f'Task "{task.name}": {argument} is a {type(given).__name__}; give a text or a Path.')
    if not os.fspath(given):
        raise ValueError(
            f'Task "{task.name}": {argument} is empty, which would be the current folder; give "." for it.'
        )
    return Path(given)


def _check_folder_of(task: Task, target: Path) -> None:
    if not target.parent.is_dir():
        raise FileNotFoundError(f'Task "{task.name}": there is no folder "{target.parent}" for "{target.name}".')


def _existing(task: Task, argument: str, given: AnyPath | None) -> Path:
    path = _path(task, argument, given)
    if not path.exists():
        raise FileNotFoundError(f'Task "{task.name}": {argument} "{path}" does not exist here.')
    return path


__all__ = ["Copy", "Glob", "Move", "Remove", "UnsafeArchiveError", "Unzip", "Zip"]
