"""URLs that may hold secrets: what of one may be shown, and an answer without what may not."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from urllib3.util import Url

# What an error quotes of an answer.
QUOTED_LINES = 5
QUOTED_LENGTH = 200
# Shorter words are no secrets, and would be found everywhere.
SECRET_LENGTH = 4
HIDDEN = "***"


def parsed(url: str, what: str = "A URL") -> Url:
    """Return a URL in its parts. Raises ValueError, which does not show it, for what is none."""
    from urllib3.exceptions import LocationParseError
    from urllib3.util import parse_url

    try:
        # A line's end would become a part of the path.
        found = parse_url(url) if url == url.strip() else None
    except (LocationParseError, TypeError, AttributeError):
        found = None
    if found is None or found.scheme not in ("http", "https") or not found.host:
        raise ValueError(
            f"{what} cannot be read (it may hold a secret, so it is not shown); write https://host/path, "
            "and strip() what comes from a file."
        )
    return found


def shown(url: Url, secret_path: bool) -> str:
    """Return a URL without its password, the values of its query and, if need be, its path."""
    start = f"{url.scheme}://{f'{HIDDEN}@' if url.auth else ''}{url.netloc}"
    if secret_path:
        return f"{start}/{HIDDEN}"
    names = [f"{name}={HIDDEN}" if equals else HIDDEN for name, equals, _ in _query(url)]
    return f"{start}{url.path or ''}{'?' if names else ''}{'&'.join(names)}"


def _query(url: Url) -> list[tuple[str, str, str]]:
    return [part.partition("=") for part in (url.query or "").split("&") if part]


def secrets_of(url: Url, secret_path: bool) -> list[str]:
    """Return what of a URL may not be shown."""
    raw = [*(url.auth or "").split(":"), *(value if equals else name for name, equals, value in _query(url))]
    raw += (url.path or "").split("/") if secret_path else []
    return [word for text in raw for word in (text, unquote(text))]


def quoted(text: str, secrets: list[str]) -> str:
    """Return the first lines of an answer, in which servers like to quote the URL."""
    for secret in sorted(set(secrets), key=len, reverse=True):
        text = text.replace(secret, HIDDEN) if len(secret) >= SECRET_LENGTH else text
    lines = [line.strip()[:QUOTED_LENGTH] for line in text.splitlines() if line.strip()]
    return ":\n" + "\n".join(lines[:QUOTED_LINES]) if lines else "."


__all__ = ["parsed", "quoted", "secrets_of", "shown"]
