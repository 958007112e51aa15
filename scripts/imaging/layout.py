"""A folder in the OCI image layout, and archives of a part of it."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from imaging.commands import fail

NAME = "org.opencontainers.image.ref.name"
# Compressing smaller layers again at every push costs nothing that one would notice.
LARGE_BYTES = 1_000_000


class Layout:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def blobs(self, reference: str) -> list[str]:
        """Return the digests that the image consists of: manifest, configuration, layers."""
        return self._blobs(self._entry(reference))

    def unpack(self, reference: str) -> bool:
        """Lay large compressed layers beside themselves uncompressed; return whether there were any.

        The next push finds such a layer by the digest that the builder knows it by, and does not even read it:
        it takes hundredths of a second instead of seconds. Its manifest then names the uncompressed layers.
        """
        manifest = self._json(self._entry(reference)["digest"])
        plain = self._json(manifest["config"]["digest"])["rootfs"]["diff_ids"]
        large = [
            (layer["digest"], digest)
            for layer, digest in zip(manifest["layers"], plain, strict=True)
            if layer["mediaType"].endswith("+gzip") and layer["size"] > LARGE_BYTES
        ]
        for compressed, digest in large:
            self._decompress(compressed, digest)
        return bool(large)

    def prune(self) -> None:
        """Remove what earlier builds left: manifests that lost their name to a newer one, and their blobs."""
        index = self._index()
        index["manifests"] = [entry for entry in index["manifests"] if NAME in entry.get("annotations", {})]
        (self.folder / "index.json").write_text(json.dumps(index))
        used = {self._file(digest) for entry in index["manifests"] for digest in self._blobs(entry)}
        for file in (self.folder / "blobs" / "sha256").iterdir():
            if file not in used:
                file.unlink()

    def stream(self, reference: str, digests: list[str], command: list[str]) -> int:
        """Feed the command an archive of the image with only these blobs; return the archive's size."""
        index = {**self._index(), "manifests": [self._entry(reference)]}
        with (
            suppress(BrokenPipeError),  # its exit code tells more
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as taker,
            tarfile.open(fileobj=taker.stdin, mode="w|") as archive,
        ):
            _add_text(archive, "oci-layout", (self.folder / "oci-layout").read_text())
            _add_text(archive, "index.json", json.dumps(index))
            for digest in digests:
                archive.add(self._file(digest), f"blobs/{digest.replace(':', '/')}")
        if taker.returncode:
            fail(f"{' '.join(command)} did not take {reference}")
        return archive.offset

    def _index(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "index.json").read_text()))

    def _entry(self, reference: str) -> dict[str, Any]:
        [entry] = [entry for entry in self._index()["manifests"] if entry.get("annotations") == {NAME: reference}]
        return dict(entry)

    def _blobs(self, entry: dict[str, Any]) -> list[str]:
        manifest = self._json(entry["digest"])
        return [entry["digest"], manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])]

    def _decompress(self, compressed: str, digest: str) -> None:
        partial = self.folder / "partial"
        subprocess.run(["gzip", "-dc", self._file(compressed)], stdout=partial.open("wb"), check=True)
        with partial.open("rb") as file:
            found = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        if found != digest:
            fail(f"layer {compressed} is {found} when unpacked, not {digest}; remove {self.folder} and try again")
        partial.rename(self._file(digest))

    def _json(self, digest: str) -> dict[str, Any]:
        return dict(json.loads(self._file(digest).read_text()))

    def _file(self, digest: str) -> Path:
        return self.folder / "blobs" / digest.replace(":", "/")


def _add_text(archive: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(text.encode())
    archive.addfile(entry, io.BytesIO(text.encode()))
