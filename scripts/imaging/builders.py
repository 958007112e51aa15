"""Docker, Buildah or Podman: the same verbs under three names."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from imaging.catalog import IMAGES, Image
from imaging.commands import CACHE, fail, logged, output, say, succeeds
from imaging.debian import existing_debian_base, make_debian_base

PYTHON_IMAGE = "docker.io/library/python:3.13-slim"
# A host's own certificate authorities, for package indexes that are reached through a proxy with one.
HOST_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")


class Builder:
    def __init__(self, program: str) -> None:
        self.program = program

    def image_id(self, reference: str) -> str:
        """Return the id of an image that the builder has, else nothing."""
        if self.program == "buildah":
            question = ["inspect", "--type", "image", "--format", "{{.FromImageID}}"]
        else:
            question = ["image", "inspect", "--format", "{{.Id}}"]
        return output(self.program, *question, reference, check=False).strip()

    def build(self, image: Image) -> None:
        say(f"{image.name}: building with {self.program}")
        command = [self.program, "build", *self._flags(), "--tag", image.reference]
        if image.parent:
            command += ["--build-arg", f"RUNTIME={IMAGES[image.parent].reference}"]
        if base := self._base():
            command += ["--build-arg", f"BASE={base}"]
        logged(CACHE / f"{image.name}.log", *command, "--file", f"{image.folder}/Dockerfile", image.context)

    def save(self, image: Image, archive: Path) -> None:
        if self.program == "buildah":
            output("buildah", "push", "--quiet", image.reference, f"oci-archive:{archive}:{image.reference}")
            return
        form = ["--format", "oci-archive"] if self.program == "podman" else []
        output(self.program, "save", *form, "--output", str(archive), image.reference)

    def _flags(self) -> list[str]:
        if self.program == "docker":
            return []
        # chroot and the host's network ask nothing of the machine: they work inside a container, too.
        flags = ["--layers", "--isolation", "chroot", "--network", "host"]
        if HOST_AUTHORITIES.exists():
            settings = CACHE / "pip.conf"
            settings.write_text("[global]\ncert = /run/host-authorities.crt\n")
            flags += ["--volume", f"{HOST_AUTHORITIES}:/run/host-authorities.crt:ro"]
            flags += ["--volume", f"{settings}:/etc/pip.conf:ro"]
        return flags

    def _base(self) -> str | None:
        """Return the image to build on; None leaves the choice to the Dockerfile."""
        if named := os.environ.get("HEADWATER_BASE"):
            return named
        if self.program == "docker":
            return None
        if self.image_id(PYTHON_IMAGE):
            return PYTHON_IMAGE
        if debian := existing_debian_base(self.program):
            return debian
        if succeeds(self.program, "pull", "--quiet", PYTHON_IMAGE, seconds=300):
            return PYTHON_IMAGE
        say(f"{PYTHON_IMAGE} cannot be fetched: making a base image from Debian packages, about a minute")
        return make_debian_base(self.program)


def find_builder() -> Builder:
    if named := os.environ.get("HEADWATER_BUILDER"):
        if named not in {"docker", "podman", "buildah"} or not shutil.which(named):
            fail(f"HEADWATER_BUILDER is {named!r}; it must be docker, podman or buildah, and be on the PATH")
        return Builder(named)
    if succeeds("docker", "info"):
        return Builder("docker")
    # Buildah before Podman: only it hands over the layers that changed.
    found = [program for program in ("buildah", "podman") if shutil.which(program)]
    return Builder(found[0]) if found else fail("no image builder: start Docker, or install Buildah and debootstrap")
