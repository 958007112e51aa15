"""Tasks on files: real files."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headwater.tasks.files import Copy, Glob, Move, Remove, UnsafeArchiveError, Unzip, Zip


def tree(folder: Path) -> dict[str, str | None]:
    """All that is in a folder: texts of files, None for folders."""
    return {
        path.relative_to(folder).as_posix(): path.read_text() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with a file and a folder in it."""
    folder = tmp_path / "data"
    (folder / "in").mkdir(parents=True)
    (folder / "a.csv").write_text("a")
    (folder / "in" / "b.csv").write_text("b")
    return folder


DATA = {"a.csv": "a", "in": None, "in/b.csv": "b"}


def test_a_file_is_moved(data: Path, tmp_path: Path) -> None:
    assert Move(data / "a.csv", tmp_path / "c.csv").run() == tmp_path / "c.csv"
    assert Move().run(str(tmp_path / "c.csv"), data / "in") == data / "in" / "c.csv"
    assert tree(data) == {"in": None, "in/b.csv": "b", "in/c.csv": "a"}


def test_copying_twice_is_copying_once(data: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert Copy(data, tmp_path / "copy").run() == tmp_path / "copy"
        assert tree(tmp_path / "copy") == DATA
        assert Copy(data / "a.csv", tmp_path / "copy" / "in").run() == tmp_path / "copy" / "in" / "a.csv"
        (tmp_path / "copy" / "in" / "a.csv").unlink()
    assert tree(data) == DATA


def test_a_folder_is_not_copied_into_itself(data: Path) -> None:
    with pytest.raises(ValueError, match=r"in itself|is in "):
        Copy(data, data / "in" / "copy").run()
    assert tree(data) == DATA


def test_files_folders_and_links_are_removed(data: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(data)
    Remove(link).run()
    assert tree(data) == DATA
    Remove(data / "a.csv").run()
    Remove().run(data / "in")
    assert tree(data) == {}
    Remove(data / "a.csv").run()
    with pytest.raises(FileNotFoundError, match=r"there is no .* to remove"):
        Remove(data / "a.csv", missing_ok=False).run()


def test_files_are_found_in_order(data: Path) -> None:
    assert Glob(data).run() == [data / "a.csv", data / "in"]
    assert Glob(pattern="**/*.csv").run(data) == [data / "a.csv", data / "in" / "b.csv"]


@pytest.mark.parametrize("method", ["deflate", "store", "bzip2", "lzma"])
def test_what_is_zipped_is_unzipped(method: str, data: Path, tmp_path: Path) -> None:
    (tmp_path / "alone.txt").write_text("c")
    packed = Zip([data, tmp_path / "alone.txt"], tmp_path / "all.zip", compression_method=method).run()
    assert Unzip(packed, tmp_path / "new" / "folder").run() == tmp_path / "new" / "folder"
    assert tree(tmp_path / "new" / "folder") == {"alone.txt": "c", "data": None} | {
        f"data/{k}": v for k, v in DATA.items()
    }


def test_an_archive_does_not_hold_itself(data: Path) -> None:
    for _ in range(2):
        Zip(data, data / "all.zip").run()
    assert zipfile.ZipFile(data / "all.zip").namelist() == ["data/", "data/a.csv", "data/in/", "data/in/b.csv"]


@pytest.mark.parametrize("name", ["../evil.txt", "/tmp/evil.txt", "in/../../evil.txt", "link/evil.txt"])
def test_an_archive_that_leads_out_is_refused_as_a_whole(name: str, tmp_path: Path) -> None:
    target, outside = tmp_path / "target", tmp_path / "outside"
    for folder in (target, outside):
        folder.mkdir()
    (target / "link").symlink_to(outside)
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("good.txt", "good")
        archive.writestr(name, "evil")
    with pytest.raises(UnsafeArchiveError, match="nothing was unpacked"):
        Unzip(tmp_path / "evil.zip", target).run()
    assert [path.name for path in target.iterdir()] == ["link"]
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda p: Move(p / "none", p / "x").run(), FileNotFoundError, 'Task "Move": source_path'),
        (lambda p: Copy(p, p / "no" / "such").run(), FileNotFoundError, "there is no folder"),
        (lambda p: Copy(p).run(), ValueError, 'Task "Copy" has no target_path'),
        (lambda p: Remove("").run(), ValueError, "path is empty"),
        (lambda p: Remove().run(), ValueError, 'Task "Remove" has no path'),
        (lambda p: Glob(p / "none").run(), FileNotFoundError, "does not exist here"),
        (lambda p: Zip(p, p / "x.zip", compression_method="rar"), ValueError, "give store, deflate, bzip2, lzma"),
        (lambda p: Zip([p, p], p / "x.zip").run(), ValueError, "two sources are called"),
        (lambda p: Zip(p, p / "no" / "x.zip").run(), FileNotFoundError, "there is no folder"),
        (lambda p: Zip(p, p / "x.zip", compression_level=99), ValueError, "compression_level is 99; give 0 to 9"),
        (lambda p: Glob(__file__).run(), NotADirectoryError, "is a file; give the folder"),
        (lambda p: Glob(p, "/etc/*").run(), ValueError, 'pattern is "/etc/*"'),
        (lambda p: Remove(5).run(), TypeError, 'Task "Remove": path is a int'),  # type: ignore[arg-type]
        (lambda p: Unzip(Path(__file__), p).run(), ValueError, "is no zip archive"),
    ],
)
def test_bad_paths_are_told(call: Callable[[Path], Any], error: type[Exception], words: str, tmp_path: Path) -> None:
    with pytest.raises(error) as caught:
        call(tmp_path)
    assert words in str(caught.value)


def test_a_pipe_or_a_link_to_nothing_is_not_packed(data: Path, tmp_path: Path) -> None:
    os.mkfifo(data / "pipe")
    with pytest.raises(ValueError, match="is no file or folder"):
        Zip(data, tmp_path / "all.zip").run()
    (data / "pipe").unlink()
    (data / "link").symlink_to("nowhere")
    with pytest.raises(ValueError, match="a link to none"):
        Zip(data, tmp_path / "all.zip").run()
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_broken_archive_is_told(data: Path, tmp_path: Path) -> None:
    packed = Zip(data, tmp_path / "all.zip", compression_method="store").run()
    packed.write_bytes(packed.read_bytes().replace(b"a.csva", b"a.csvX"))
    with pytest.raises(ValueError, match=r'Task "Unzip": ".*all.zip" cannot be unpacked: Bad CRC-32'):
        Unzip(packed, tmp_path / "out").run()
