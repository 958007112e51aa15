"""What the examples' pages tell people to type: every line that needs no cluster is typed here."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import sys
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, OutputChecker
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "examples").glob("*/README.md"))
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)

# How commands begin that need a cluster.
CLUSTER = ("kubectl", "sed", "localnode/", *(f"headwater {verb}" for verb in ("approve", "backfill", "start", "watch")))


def typed(page: Path) -> list[tuple[str, str]]:
    """The commands of a page's console blocks, each with the output that is shown after it."""
    parts = [part for block in BLOCK.findall(page.read_text()) for part in re.split(r"^\$ ", block, flags=re.MULTILINE)]
    return [_split(part) for part in parts if part]


def _split(part: str) -> tuple[str, str]:
    """A command goes on over lines until its quotes are closed."""
    lines = part.splitlines(keepends=True)
    for end in range(1, len(lines) + 1):
        with contextlib.suppress(ValueError):
            shlex.split("".join(lines[:end]))
            return "".join(lines[:end]).rstrip(), "".join(lines[end:])
    raise ValueError(f"a quote is not closed: {part}")


def test_there_are_pages() -> None:
    assert [page.parent.name for page in PAGES] == [
        "aircraft",
        "approval",
        "arrival",
        "hello",
        "limits",
        "parent",
        "schedules",
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_what_is_typed_gives_what_is_shown(page: Path, database_file: Path) -> None:
    """In a shell at the top of the repository, one command after the other; installing has been done."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    local = [(command, shown) for command, shown in typed(page) if not command.startswith(("pip install", *CLUSTER))]
    assert local
    for command, shown in local:
        ran = subprocess.run(command, shell=True, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, f"{command}: {ran.stderr}"
        printed = ran.stdout.replace(str(database_file), "aircraft.sqlite")
        assert OutputChecker().check_output(shown, printed, ELLIPSIS | NORMALIZE_WHITESPACE), f"{command}:\n{printed}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_every_file_that_is_named_is_there(page: Path) -> None:
    files = [word for command, _ in typed(page) for word in shlex.split(command) if word.startswith("examples/")]
    assert files
    assert [file for file in files if not (ROOT / file.partition(":")[0]).exists()] == []


def test_the_data_packages_are_installed_in_the_versions_of_the_image() -> None:
    page = (ROOT / "examples" / "aircraft" / "README.md").read_text()
    pinned = (ROOT / "examples" / "aircraft" / "requirements.txt").read_text().splitlines()
    traffic = next(line for line in pinned if line.startswith("traffic"))
    assert f"pip install --no-deps {traffic} airportsdata" in page
