"""Build the image of a flow that is more than one file, with Docker, Podman or Buildah."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headwater.core.errors import HeadwaterError
from headwater.registering.digest import LOCAL

PROGRAMS = ("docker", "podman", "buildah")
OWN_FILES = ("Containerfile", "Dockerfile")
IGNORE_FILES = (".dockerignore", ".containerignore")
IGNORED = (".git", ".venv", "venv", "node_modules", "**/__pycache__", "**/*.pyc")


class BuildError(HeadwaterError):
    """An image cannot be built or pushed; the builder's own words were printed before."""


@dataclass(frozen=True)
class Builder:
    """One of PROGRAMS. What it prints goes where this process prints errors to."""

    program: str

    def build(self, folder: Path, tag: str, base: str, more: Sequence[str] = ()) -> None:
        """Build *folder* as *tag*: by its own Containerfile or Dockerfile, else on *base* by a plain one.

        Its own file is told *base* as the build argument RUNTIME. *more* are arguments for the builder.
        """
        if not folder.is_dir():
            raise BuildError(f"There is no folder {folder} to build an image of.")
        own = next((folder / name for name in OWN_FILES if (folder / name).is_file()), None)
        with tempfile.TemporaryDirectory() as made:
            if own is None:
                file = Path(made) / "Containerfile"
                file.write_text(containerfile(base, {path.name for path in folder.iterdir()}))
                settings = self._ignore(file, folder)
            else:
                file, settings = own, ["--build-arg", f"RUNTIME={base}"]
            arguments = ["build", "--tag", tag, "--file", str(file), *settings, *more]
            self._do(*arguments, str(folder), what=f"image {tag} cannot be built")

    def push(self, tag: str) -> str:
        """Push an image; return it by digest, `name:tag@sha256:...`."""
        if self.program == "docker":
            self._do("push", "--quiet", tag, what=f"image {tag} cannot be pushed")
            known = subprocess.run(
                ["docker", "image", "inspect", "--format", '{{join .RepoDigests "\\n"}}', tag],
                check=False,
                capture_output=True,
                text=True,
            ).stdout.split()
            if not known:
                raise BuildError(
                    f"image {tag} is pushed, but Docker does not tell its digest; `headwater register --image {tag}` "
                    "asks the registry for it."
                )
            name = tag.rpartition(":")[0] if "/" not in tag.rpartition(":")[2] else tag
            found = next((each for each in known if each.rpartition("@")[0] == name), known[-1])
            return f"{tag}@{found.rpartition('@')[2]}"
        with tempfile.NamedTemporaryFile() as digest:
            # As Docker does: a registry on this very machine needs no TLS.
            plain = ["--tls-verify=false"] if LOCAL.match(tag) else []
            self._do("push", *plain, "--digestfile", digest.name, tag, what=f"image {tag} cannot be pushed")
            return f"{tag}@{Path(digest.name).read_text().strip()}"

    def _ignore(self, file: Path, folder: Path) -> list[str]:
        name = f"{file}.dockerignore"  # where Docker looks for it by itself
        Path(name).write_bytes(ignored(folder))
        return [] if self.program == "docker" else ["--ignorefile", name]

    def _do(self, *arguments: str, what: str) -> None:
        done = subprocess.run([self.program, *arguments], stdout=2, check=False)
        if done.returncode != 0:
            raise BuildError(
                f"{what}: `{self.program} {arguments[0]}` ended with exit code {done.returncode}, see above."
            )


def find_builder(named: str | None = None) -> Builder:
    """Return the builder of that name, else the first that works. Raises BuildError where there is none."""
    for program in PROGRAMS if named is None else (named,):
        if shutil.which(program) is not None and (named is not None or _answers(program)):
            return Builder(program)
    if named is not None:
        raise BuildError(f"There is no {named} on the PATH; --builder is one of {', '.join(PROGRAMS)}.")
    raise BuildError(f"No builder of images works here; install one of {', '.join(PROGRAMS)}, or start Docker.")


def _answers(program: str) -> bool:
    # Docker's command may be there without its engine.
    question = [program, "version"] if program == "docker" else [program, "--version"]
    return subprocess.run(question, capture_output=True, check=False).returncode == 0


def ignored(folder: Path) -> bytes:
    """Return what does not go into the image: IGNORED, and what the folder says itself, which may take some back.

    A builder that is given such a file looks at no other.
    """
    lines = [pattern.encode() for pattern in IGNORED]
    for name in IGNORE_FILES:
        if (folder / name).is_file():
            lines += (folder / name).read_bytes().removeprefix(b"\xef\xbb\xbf").splitlines()
    return b"".join(line + b"\n" for line in lines)


def containerfile(base: str, names: set[str]) -> str:
    """Return how to build a folder that does not say so itself, and holds files of these *names*."""
    lines = [f"FROM {base}", "# The runtime's Python belongs to root.", "USER root"]
    if "requirements.txt" in names:
        lines += ["COPY requirements.txt /tmp/requirements.txt"]
        lines += ["RUN pip install --no-cache-dir --requirement /tmp/requirements.txt"]
    lines += ["COPY . /flow"]
    if "pyproject.toml" in names:
        lines += ["RUN pip install --no-cache-dir /flow"]
    lines += [
        "# Pods cannot write: what is not compiled here is compiled at every start. A template need be no Python."
    ]
    lines += ["RUN python -m compileall -q /flow || true", "WORKDIR /flow", "USER 10001"]
    return "".join(f"{line}\n" for line in lines)
