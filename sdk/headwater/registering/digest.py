"""Which image a tag stands for now, as its registry says."""

from __future__ import annotations

import copy
import re
from typing import Any

from headwater.core.errors import ClusterError

# What may stand behind a tag: an image, or a list with one per platform.
MEDIA_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
HUB, HUB_CREDENTIALS = "registry-1.docker.io", "https://index.docker.io/v1/"
TIMEOUT_SECONDS = (3.0, 15.0)  # to connect, and for each answer
LOCAL = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?/")


class DigestError(ClusterError):
    """The registry has not told; the message says why."""


def pinned(image: str) -> str:
    """Return `name:tag@sha256:...` for `name:tag`; what has a digest already is returned as it is.

    The registry is asked with the credentials of `docker login` where there are some. Raises DigestError.
    """
    return image if "@" in image else f"{image}@{_digest(image)}"


def address(image: str) -> str:
    """Return an image's name with the host of its registry: a name without one is of Docker Hub."""
    host, slash, rest = image.partition("/")
    if not slash or not (host == "localhost" or "." in host or ":" in host):
        return f"{HUB}/{image}" if slash else f"{HUB}/library/{image}"
    return f"{HUB}/{rest}" if host in ("docker.io", "index.docker.io") else image


def _digest(image: str) -> str:
    try:
        import oras.client
    except ImportError as error:
        raise DigestError(f"it needs a package ({error}): pip install 'headwater[register]'") from None
    try:
        # As Docker does: a registry on this very machine needs no TLS.
        client: Any = oras.client.OrasClient(insecure=LOCAL.match(image) is not None)
        container = client.get_container(address(image))
        _log_in(client, container)
        client.session.request = _with_timeout(client.session.request)
        # Not the client's own do_request, which tries five times, with pauses that grow.
        ask = type(client).do_request.__wrapped__
        url = f"{client.prefix}://{container.manifest_url()}"
        answer = ask(client, url, "HEAD", headers={"Accept": ", ".join(MEDIA_TYPES)})
    except Exception as error:  # of requests, of oras, and of whatever keeps the credentials
        words = " ".join(str(error).split())
        raise DigestError(f"the registry of {image} cannot be asked: {words[:300]}") from None
    digest = str(answer.headers.get("Docker-Content-Digest", ""))
    if answer.status_code == 404:
        raise DigestError(f"its registry has no image {image}")
    if not answer.ok or not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise DigestError(f"the registry of {image} answers {answer.status_code} {answer.reason}, without a digest")
    return digest


def _log_in(client: Any, container: Any) -> None:
    """Let the client find the credentials of `docker login`, which keeps those of Docker Hub under another name."""
    if container.registry == HUB:
        container = copy.copy(container)
        container.registry = HUB_CREDENTIALS
    client.auth.load_configs(container)


def _with_timeout(request: Any) -> Any:
    def ask(*arguments: Any, **named: Any) -> Any:
        return request(*arguments, **{"timeout": TIMEOUT_SECONDS, **named})

    return ask
