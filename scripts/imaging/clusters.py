"""Where images go: kind or the local node."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Protocol

from imaging.builders import Builder
from imaging.catalog import Image, Record
from imaging.commands import CACHE, ROOT, fail, output, say, succeeds
from imaging.layout import Layout

LOCALNODE = str(ROOT / "localnode" / "localnode")


class Cluster(Protocol):
    def has(self, image: Image, record: Record) -> bool:
        """Whether the cluster's image of this name is the recorded one."""

    def load(self, image: Image, builder: Builder) -> str:
        """Put the builder's image into the cluster; return what was done."""

    def digest(self, image: Image) -> str:
        """Return the digest under which the cluster has the image."""


class Kind:
    name = "headwater"

    def has(self, image: Image, record: Record) -> bool:
        return all(self._digest_on(node, image) == record.digest for node in self._nodes())

    def load(self, image: Image, builder: Builder) -> str:
        if builder.program == "docker":
            output("kind", "load", "docker-image", "--name", self.name, image.reference)
        else:
            with tempfile.TemporaryDirectory(dir=CACHE) as folder:
                archive = Path(folder) / "image.tar"
                builder.save(image, archive)
                output("kind", "load", "image-archive", "--name", self.name, str(archive))
        # A name by digest, as an image has that comes from a registry: pods tell it, and may ask for it.
        for node in self._nodes():
            by_digest = f"{image.repository}@{self._digest_on(node, image)}"
            output(*self._ctr(node), "images", "tag", "--force", image.reference, by_digest)
        return "loaded into kind"

    def digest(self, image: Image) -> str:
        return self._digest_on(self._nodes()[0], image)

    def _nodes(self) -> list[str]:
        nodes = output("kind", "get", "nodes", "--name", self.name).split()
        return nodes or fail("the kind cluster is not up; run: scripts/cluster up")

    def _digest_on(self, node: str, image: Image) -> str:
        return _digests(output(*self._ctr(node), "images", "ls")).get(image.reference, "")

    def _ctr(self, node: str) -> list[str]:
        return ["docker", "exec", node, "ctr", "--namespace", "k8s.io"]


class LocalNode:
    """Takes only the blobs it lacks, from a layout on disk that our images share."""

    def __init__(self) -> None:
        if not succeeds(LOCALNODE, "ctr", "version"):
            fail("the local node is not up; run: scripts/cluster up")
        self._digests = self._ask()

    def has(self, image: Image, record: Record) -> bool:
        return bool(record.digest) and self.digest(image) == record.digest

    def load(self, image: Image, builder: Builder) -> str:
        how = self._load_missing(image) if builder.program == "buildah" else self._load_archive(image, builder)
        self._digests = self._ask()
        self._forget_unused(image)
        return how

    def digest(self, image: Image) -> str:
        return self._digests.get(image.reference, "")

    def _load_archive(self, image: Image, builder: Builder) -> str:
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            archive = Path(folder) / "image.tar"
            builder.save(image, archive)
            output(LOCALNODE, "load", str(archive))
        return "loaded"

    def _load_missing(self, image: Image) -> str:
        layout = Layout(CACHE / "layout")
        push = ("buildah", "push", "--quiet", image.reference, f"oci:{layout.folder}:{image.reference}")
        output(*push)
        if layout.unpack(image.reference):
            output(*push)
        layout.prune()
        wanted = layout.blobs(image.reference)
        there = set(output(LOCALNODE, "ctr", "content", "ls", "--quiet").split())
        missing = [digest for digest in wanted if digest not in there]
        size = layout.stream(image.reference, missing, [LOCALNODE, "load", "-"])
        return f"loaded {len(missing)} of {len(wanted)} blobs, {size / 1e6:.1f} MB,"

    def _forget_unused(self, image: Image) -> None:
        """Remove the digests of earlier builds that no version, flow or pod of the cluster names."""
        kinds = "pods,flows.headwater.dev,flowversions.headwater.dev"
        named = output(LOCALNODE, "kubectl", "get", kinds, "-A", "-o", "jsonpath={..image}{..imageID}", check=False)
        # Nothing is there, or it could not be asked: then nothing is known to be unused.
        if not named:
            return
        tagged = {digest for name, digest in self._digests.items() if name.startswith(f"{image.repository}:")}
        for name, digest in self._digests.items():
            if name.startswith(f"{image.repository}@") and digest not in tagged and digest not in named:
                output(LOCALNODE, "ctr", "images", "rm", name)

    def _ask(self) -> dict[str, str]:
        return _digests(output(LOCALNODE, "ctr", "images", "ls"))


def find_cluster() -> Cluster | None:
    """Return where to put images; None for a cluster that only fetches them."""
    kind = output(str(ROOT / "scripts" / "cluster"), "kind-of").strip()
    if kind == "context":
        say("loads nothing into the cluster of HEADWATER_CONTEXT: push the images to a registry that it can reach")
        return None
    return Kind() if kind == "kind" else LocalNode()


def _digests(listed: str) -> dict[str, str]:
    """Read what `ctr images ls` prints: name, type, digest and more in columns under a heading."""
    return {fields[0]: fields[2] for fields in map(str.split, listed.splitlines()[1:])}
