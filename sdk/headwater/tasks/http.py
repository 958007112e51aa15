"""Send an HTTP request."""

from __future__ import annotations

import json as json_format
from collections.abc import Container, Mapping
from typing import Any
from urllib.parse import urlencode

from headwater.core.task import Task
from headwater.tasks.attributes import above_zero, defaults_from_attrs, needed
from headwater.tasks.http_request import SUCCESS, HttpError, HttpResponse, Request, checked_headers


class HttpRequest(Task):
    """Send a request and return the HttpResponse.

    json, data        the body: something that becomes JSON; bytes, a text, or a mapping that becomes a form
    timeout_seconds   for the connection and between two parts of the answer, and about for all of it
    expect            the status that is right, or those: `404`, `(200, 404)`, `range(200, 300)`; another one raises
                      HttpError. Redirections are followed unless they are among them.

    A user and password in the URL become basic authentication. Proxies are those of the environment.
    """

    def __init__(
        self,
        url: str | None = None,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        data: bytes | str | Mapping[str, Any] | None = None,
        timeout_seconds: float = 30.0,
        expect: int | Container[int] = SUCCESS,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if isinstance(expect, str) or not isinstance(expect, int | Container):
            raise TypeError(f'Task "{self.name}": expect is {expect!r}; give a status such as 404, or several.')
        self.url = url
        self.method = method
        self.headers = headers
        self.json = json
        self.data = data
        self.timeout_seconds = above_zero(timeout_seconds, self)
        self.expect = expect

    @defaults_from_attrs("url", "method", "headers", "json", "data")
    def run(
        self,
        url: str | None = None,
        method: str | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        data: bytes | str | Mapping[str, Any] | None = None,
    ) -> HttpResponse:
        body, kind = encoded(json, data)
        given = checked_headers({} if headers is None else headers)
        if kind and "content-type" not in {name.lower() for name in given}:
            given["Content-Type"] = kind
        verb = needed(method, self, "method")
        if not isinstance(verb, str) or not verb.isalpha():
            raise ValueError(f'Task "{self.name}": method is {verb!r}; give one such as GET or POST.')
        return Request(needed(url, self, "url"), verb.upper(), given, body, self.timeout_seconds, self.expect).send()


def encoded(json: Any, data: bytes | str | Mapping[str, Any] | None) -> tuple[bytes | None, str | None]:
    """Return a body and its Content-Type. Raises TypeError for what cannot be one."""
    if json is not None and data is not None:
        raise TypeError("A request has json and data; give one of them.")
    if json is not None:
        try:
            return json_format.dumps(json, allow_nan=False).encode(), "application/json"
        except (TypeError, ValueError) as error:
            raise TypeError(f"A request's json cannot become JSON: {error}.") from None
    if isinstance(data, Mapping):
        return urlencode(data, doseq=True).encode(), "application/x-www-form-urlencoded"
    if isinstance(data, str):
        return data.encode(), "text/plain; charset=utf-8"
    if data is not None and not isinstance(data, bytes):
        raise TypeError(f"A request's data is a {type(data).__name__}; give bytes, a text or a mapping.")
    return data, None


__all__ = ["HttpError", "HttpRequest", "HttpResponse"]
