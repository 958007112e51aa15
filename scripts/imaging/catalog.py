"""The images, the files that decide what is in each, and the memory of what was built from them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from imaging.commands import CACHE, ROOT

TAG = os.environ.get("HEADWATER_TAG") or "dev"


@dataclass(frozen=True, kw_only=True)
class Image:
    """One image of ours; `inputs` are the files and folders that decide what is in it."""

    name: str
    folder: str
    context: str
    inputs: tuple[str, ...]
    parent: str | None = None

    @property
    def repository(self) -> str:
        return f"docker.io/headwater/{self.name}"

    @property
    def reference(self) -> str:
        return f"{self.repository}:{TAG}"


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is known of an image after a build: a hash of its inputs, the builder's id, the digest in the cluster."""

    key: str = ""
    id: str = ""
    digest: str = ""


PROJECT = ("pyproject.toml", "constraints.txt", "README.md", "LICENSE", "images/dependencies.py", "sdk", "operator")
_ALL = (
    Image(name="runtime", folder="images/runtime", context=".", inputs=(*PROJECT, "images/runtime")),
    Image(name="operator", folder="images/operator", context=".", inputs=(*PROJECT, "images/operator")),
    Image(
        name="aircraft",
        folder="examples/aircraft",
        context="examples/aircraft",
        inputs=("examples/aircraft",),
        parent="runtime",
    ),
)
IMAGES = {image.name: image for image in _ALL}


def with_parents(names: Iterable[str]) -> list[Image]:
    """Return the named images and what they stand on, parents first."""
    wanted = set(names)
    wanted |= {parent for name in wanted if (parent := IMAGES[name].parent)}
    return [image for image in _ALL if image.name in wanted]


def inputs_hash(image: Image, *more: str) -> str:
    """Hash names, modes and contents of the inputs, the parent's too; `more` is what else decides the result."""
    digest = hashlib.sha256("\n".join(more).encode())
    if image.parent:
        digest.update(inputs_hash(IMAGES[image.parent], *more).encode())
    for path in sorted(_input_files(image)):
        status = path.stat()
        digest.update(f"{path.relative_to(ROOT)} {status.st_mode & 0o111:o} {status.st_size}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _input_files(image: Image) -> Iterator[Path]:
    for name in image.inputs:
        path = ROOT / name
        for file in path.rglob("*") if path.is_dir() else [path]:
            if file.is_file() and file.suffix not in {".pyc", ".sqlite"}:
                yield file


def read_record(image: Image) -> Record:
    try:
        return Record(**json.loads(_record_file(image).read_text()))
    except (OSError, ValueError, TypeError):
        return Record()


def write_record(image: Image, record: Record) -> None:
    _record_file(image).parent.mkdir(parents=True, exist_ok=True)
    _record_file(image).write_text(json.dumps(asdict(record)))


def _record_file(image: Image) -> Path:
    return CACHE / "built" / f"{image.name}-{TAG}.json"
