"""A base image made from Debian packages, for where no registry can be reached."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from imaging.commands import CACHE, fail, logged, output

BASE = "localhost/headwater-base:bookworm"
PACKAGES = "ca-certificates,python3,python3-venv,tzdata"
UNNEEDED = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale")
# Part of the archive's name and a label of the image: another recipe is another base.
RECIPE = hashlib.sha256(f"bookworm {PACKAGES} {UNNEEDED}".encode()).hexdigest()[:12]


def existing_debian_base(program: str) -> str | None:
    """Return the base image's name when the builder has it, made by this recipe."""
    described = output(program, "inspect", "--type", "image", BASE, check=False)
    return BASE if RECIPE in described else None


def make_debian_base(program: str) -> str:
    archive = CACHE / f"debian-{RECIPE}.tar"
    if not archive.exists():
        _install_debian(archive)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        (Path(folder) / "root.tar").hardlink_to(archive)
        (Path(folder) / "Dockerfile").write_text(f"FROM scratch\nADD root.tar /\nLABEL headwater.dev/recipe={RECIPE}\n")
        logged(CACHE / "base.log", program, "build", "--tag", BASE, folder)
    return BASE


def _install_debian(archive: Path) -> None:
    """Install a small Debian into a folder and pack it; the archive appears when it is whole."""
    if os.getuid() != 0 or not shutil.which("debootstrap"):
        fail("making a base image needs root and debootstrap; or name an image with Python in HEADWATER_BASE")
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        root, partial = Path(folder) / "root", Path(folder) / "root.tar"
        options = ["--variant=minbase", f"--include={PACKAGES}", "bookworm", str(root)]
        logged(CACHE / "debootstrap.log", "debootstrap", *options)
        for name in UNNEEDED:
            shutil.rmtree(root / name)
            (root / name).mkdir()
        output("tar", "-C", str(root), "--numeric-owner", "-cf", str(partial), ".")
        partial.rename(archive)
