"""Which image a tag stands for now, as its registry says."""

from __future__ import annotations

import copy
import json
import os
import re
from pathlib import Path
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


def names_registry(image: str) -> bool:
    """Whether a name begins with the host of a registry. One without may be of an image that nodes alone have."""
    host, slash, _ = image.partition("/")
    return bool(slash) and (host == "localhost" or "." in host or ":" in host)


def address(image: str) -> str:
    """Return an image's name with the host of its registry: a name without one is of Docker Hub."""
    host, slash, rest = image.partition("/")
    if not names_registry(image):
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
    except DigestError:
        raise
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
    client.auth._auth_config = _logins()
    client.auth.load_configs(container)
    by_token = client.auth.authenticate_request

    def by_challenge(answer: Any, headers: Any, refresh: bool = False) -> Any:
        # The client takes every challenge for one by token, and the realm of Basic for the address that gives it.
        challenge = answer.headers.get("Www-Authenticate", "")
        if not re.match(r"\s*basic\b", challenge, re.I) or re.search(r"\bbearer\s", challenge, re.I):
            return by_token(answer, headers, refresh)
        login = getattr(client.auth, "_basic_auth", None)
        if login is None:
            raise DigestError(f"the registry of {container.uri} wants a login: docker login {container.registry}")
        return {**(headers or {}), "Authorization": f"Basic {login}"}, True

    client.auth.authenticate_request = by_challenge


def _logins() -> dict[str, Any]:
    """What `docker login` has kept, where Docker itself looks for it."""
    folder = os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker"
    file = Path(folder) / "config.json"
    kept = json.loads(file.read_text()) if file.is_file() else {}
    return {name: kept.get(name) or {} for name in ("auths", "credHelpers")} | {"credsStore": kept.get("credsStore")}


def _with_timeout(request: Any) -> Any:
    def ask(*arguments: Any, **named: Any) -> Any:
        return request(*arguments, **{"timeout": TIMEOUT_SECONDS, **named})

    return ask
