"""`headwater build`: make the image of a flow that is more than one file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from headwater.cli.console import console, interruptible
from headwater.registering.building import find_builder

BASE = "docker.io/headwater/runtime:dev"


class BuilderName(StrEnum):
    DOCKER = "docker"
    PODMAN = "podman"
    BUILDAH = "buildah"


def build(
    tag: Annotated[str, typer.Option("--tag", "-t", help="The image's name, such as ghcr.io/acme/etl:1.4.2")],
    folder: Annotated[Path, typer.Argument(help="The folder that the flow's file is in")] = Path(),
    base: Annotated[
        str, typer.Option(help="The image to build on: Headwater's runtime", envvar="HEADWATER_RUNTIME")
    ] = BASE,
    push: Annotated[bool, typer.Option("--push", help="Push it to its registry")] = False,
    builder: Annotated[BuilderName | None, typer.Option(help="Default: the first that works")] = None,
    build_arg: Annotated[
        list[str] | None, typer.Option("--arg", help="An argument for the builder, such as --arg=--no-cache; several")
    ] = None,
) -> None:
    """Build a folder with a flow as an image, by its own Containerfile or Dockerfile if it has one.

    Without one, what requirements.txt names is installed, the folder becomes /flow, and a pyproject.toml in it is
    installed too. Exits 0 when the image is there, 2 when it cannot be made or pushed.
    """
    found = find_builder(None if builder is None else str(builder))
    with interruptible("the image was not made"):
        found.build(folder, tag, base, build_arg or [])
        image = found.push(tag) if push else tag
    out = console()
    out.print(f"Image {image} is {'pushed' if push else 'built'}", highlight=False, markup=False)
    file = "FILE.py" if not (folder / "flow.py").is_file() else folder / "flow.py"
    out.print(f"  headwater register {file} --image {image}", highlight=False, markup=False)
