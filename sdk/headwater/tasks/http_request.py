"""One HTTP request and its answer, with urllib3; `headwater.tasks.http` has the task.

No part of a URL that may be a secret, its password and the values of its query, gets into an error or a log.
"""

from __future__ import annotations

import contextlib
import json as json_format
import logging
import re
import time
from collections.abc import Container, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from headwater.core.errors import HeadwaterError
from headwater.tasks.http_url import parsed, quoted, secrets_of, shown

if TYPE_CHECKING:
    import urllib3
    from urllib3.util import Url

SUCCESS = range(200, 300)
MAX_REDIRECTS = 5
CHUNK = 1 << 16
# Headers that hold no secret.
HARMLESS = ("accept", "content-type", "user-agent")
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# These write URLs into the log, with all that is in them.
TALKING = ("urllib3.connectionpool", "urllib3.poolmanager", "urllib3.util.retry")

_unlogged: ContextVar[bool] = ContextVar("headwater_http_unlogged", default=False)


class HttpError(HeadwaterError):
    """A request got an answer that was not expected, with its *status*, or none: then it is None."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class HttpResponse:
    """An answer. *url* is that of the request without its secrets; the names of *headers* are in lower case."""

    url: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """The body in the charset of its Content-Type, UTF-8 without one."""
        _, _, charset = self.headers.get("content-type", "").lower().partition("charset=")
        try:
            return self.content.decode(charset.split(";")[0].strip(" \"'") or "utf-8", errors="replace")
        except LookupError:
            return self.content.decode(errors="replace")

    def json(self) -> Any:
        """Return the body read as JSON. Raises ValueError when it is none."""
        try:
            return json_format.loads(self.content)
        except ValueError as error:
            raise ValueError(f"The answer of {self.url} is no JSON: {error}.") from None


@dataclass(frozen=True)
class Request:
    """A request that can be sent. With *secret_path* the URL's path is a secret too, as that of a webhook."""

    url: str = field(repr=False)
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    timeout_seconds: float = 30.0
    expect: int | Container[int] = SUCCESS
    secret_path: bool = False

    def send(self) -> HttpResponse:
        """Return the answer. Raises HttpError for one that was not expected, and for none in time."""
        url = parsed(self.url)
        place = shown(url, self.secret_path)
        status, headers, content = self._answer(url, f"{self.method} {place}")
        response = HttpResponse(place, status, headers, content)
        if not _expected(status, self.expect):
            words = quoted(response.text, [*secrets_of(url, self.secret_path), *self._header_words()])
            raise HttpError(f"{self.method} {place} was answered with {status}{words}", status)
        return response

    def _header_words(self) -> list[str]:
        values = (value for name, value in self.headers.items() if name.lower() not in HARMLESS)
        return [word for value in values for word in (value, *value.split())]

    def _answer(self, url: Url, what: str) -> tuple[int, dict[str, str], bytes]:
        from urllib3.exceptions import HTTPError, LocationParseError, MaxRetryError

        deadline = time.monotonic() + self.timeout_seconds
        try:
            with _silence(), _pool(url) as pool, self._begin(pool, url, deadline) as answer:
                content = _read(answer, deadline)
                return answer.status, {name.lower(): value for name, value in answer.headers.items()}, content
        except LocationParseError:
            problem = "it leads to an address that cannot be read"
        except HTTPError as error:
            # The error itself quotes the URL, its reason does not.
            cause = error.reason if isinstance(error, MaxRetryError) and error.reason else error
            problem = f"{type(cause).__name__}: {cause}"
        except OSError as error:
            problem = f"{type(error).__name__}: {error}"
        # Out of the handlers, so that the URL is not a part of this error's history.
        raise HttpError(f"{what} got no answer ({problem}); timeout_seconds is {self.timeout_seconds:g}.")

    def _begin(self, pool: urllib3.PoolManager, url: Url, deadline: float) -> Any:
        import urllib3

        headers = checked_headers(self.headers)
        if url.auth and "authorization" not in {name.lower() for name in headers}:
            headers |= urllib3.make_headers(basic_auth=unquote(url.auth))
        own = [name for name in headers if name.lower() not in HARMLESS]
        return pool.request(
            self.method,
            url._replace(auth=None).url,
            body=self.body,
            headers=headers,
            timeout=urllib3.Timeout(total=self.timeout_seconds),
            retries=_redirections(deadline, own),
            redirect=not any(_expected(status, self.expect) for status in (301, 302, 303, 307, 308)),
            preload_content=False,
        )


# What urllib3 has no word for


def _pool(url: Url) -> urllib3.PoolManager:
    from urllib.request import getproxies, proxy_bypass

    import urllib3

    proxies = getproxies()
    proxy = proxies.get(str(url.scheme)) or proxies.get("all")
    if proxy is None or proxy_bypass(str(url.netloc)):
        return urllib3.PoolManager()
    found = parsed(proxy if "://" in proxy else f"http://{proxy}", "The URL of the environment's proxy")
    login = urllib3.make_headers(proxy_basic_auth=unquote(found.auth)) if found.auth else None
    return urllib3.ProxyManager(found._replace(auth=None).url, proxy_headers=login)


def _redirections(deadline: float, own_headers: list[str]) -> urllib3.Retry:
    """Return what follows redirections until the deadline. To repeat a request is for the task's retries."""
    from urllib3 import Retry

    class Redirections(Retry):
        def increment(  # type: ignore[override]  # it hands on what else there is
            self, method: Any = None, url: Any = None, response: Any = None, **more: Any
        ) -> Any:
            if response is not None:
                response.close()  # else its body is read to the end, which may never come
                if time.monotonic() > deadline:
                    raise TimeoutError("the redirections do not end in time")
            return super().increment(method, url, response, **more)

    # Another host gets no headers that may let it in here.
    return Redirections(
        total=None, connect=0, read=0, status=0, other=0, redirect=MAX_REDIRECTS, remove_headers_on_redirect=own_headers
    )


def _read(answer: Any, deadline: float) -> bytes:
    """Read a body in the parts in which it comes, so that one that never ends is given up."""
    parts = []
    while part := answer.read1(CHUNK):
        parts.append(part)
        if time.monotonic() > deadline:
            raise TimeoutError("the answer does not end in time")
    return b"".join(parts)


def checked_headers(headers: Any) -> dict[str, str]:
    """Return headers that can be sent. Raises TypeError and ValueError, which never show a value."""
    if not isinstance(headers, Mapping):
        raise TypeError(f"A request's headers are a {type(headers).__name__}; give a mapping of names to values.")
    for name, value in headers.items():
        if not isinstance(name, str) or not HEADER_NAME.fullmatch(name):
            raise ValueError(f"A header is called {name!r}; give a name such as X-Key, with its value apart.")
        if not isinstance(value, str) or not value.isprintable() or any(ord(character) > 255 for character in value):
            raise ValueError(f'Header "{name}" is no text of one line in Latin-1; strip() what comes from a file.')
    return dict(headers)


def _expected(status: int, expect: int | Container[int]) -> bool:
    return status == expect if isinstance(expect, int) else status in expect


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep urllib3 from writing URLs into the log; what else uses it may write on."""
    for name in TALKING:
        logging.getLogger(name).addFilter(_may_be_logged)  # which adds it once
    token = _unlogged.set(True)
    try:
        yield
    finally:
        _unlogged.reset(token)


def _may_be_logged(record: logging.LogRecord) -> bool:
    return not _unlogged.get()


__all__ = ["SUCCESS", "HttpError", "HttpResponse", "Request", "checked_headers"]
