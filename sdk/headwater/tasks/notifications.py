"""Tell people and programs: a webhook, Slack, mail. What cannot be delivered fails the task.

`headwater.notifications` has state handlers that tell of runs and never fail them.
"""

from __future__ import annotations

import mimetypes
import os
import smtplib
import ssl
from collections.abc import Iterable, Mapping
from email.message import EmailMessage
from email.utils import localtime, make_msgid
from pathlib import Path
from typing import Any

from headwater.core.errors import HeadwaterError
from headwater.core.task import Task
from headwater.tasks.attributes import above_zero, defaults_from_attrs, needed
from headwater.tasks.http import encoded
from headwater.tasks.http_request import Request, checked_headers
from headwater.tasks.secrets import Secret

Attachments = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]

SLACK_SECRET = "SLACK_WEBHOOK_URL"
WEBHOOK_SECONDS = 10.0
# Port and meaning of smtp_type.
SMTP_PORTS = {"SSL": 465, "STARTTLS": 587, "INSECURE": 25}


class EmailError(HeadwaterError):
    """A mail was not taken by the server, or not for all who were to get it."""


class WebhookTask(Task):
    """POST *payload* as JSON to a webhook. Its URL is a secret: give *url*, or in *url_secret* the secret's name."""

    def __init__(
        self,
        url: str | None = None,
        payload: Any = None,
        url_secret: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float = WEBHOOK_SECONDS,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.url = url
        self.payload = payload
        self.url_secret = url_secret
        self.headers = headers
        self.timeout_seconds = above_zero(timeout_seconds, self)

    @defaults_from_attrs("url", "payload", "url_secret", "headers")
    def run(
        self,
        url: str | None = None,
        payload: Any = None,
        url_secret: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        address = Secret(url_secret).get() if url is None and url_secret is not None else needed(url, self, "url")
        post(address, needed(payload, self, "payload"), self.timeout_seconds, headers)


class SlackTask(Task):
    """Post a message by an incoming webhook of Slack.

    *message* is a text, or a mapping that is the whole payload. The webhook's URL is the secret *webhook_secret*,
    unless *webhook_url* is given.
    """

    def __init__(
        self,
        message: str | Mapping[str, Any] | None = None,
        webhook_secret: str = SLACK_SECRET,
        webhook_url: str | None = None,
        timeout_seconds: float = WEBHOOK_SECONDS,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.message = message
        self.webhook_secret = webhook_secret
        self.webhook_url = webhook_url
        self.timeout_seconds = above_zero(timeout_seconds, self)

    @defaults_from_attrs("message", "webhook_secret", "webhook_url")
    def run(
        self,
        message: str | Mapping[str, Any] | None = None,
        webhook_secret: str | None = None,
        webhook_url: str | None = None,
    ) -> None:
        words = needed(message, self, "message")
        url = webhook_url or Secret(needed(webhook_secret, self, "webhook_secret")).get()
        post(url, words if isinstance(words, Mapping) else {"text": words}, self.timeout_seconds)


class EmailTask(Task):
    """Send a mail: *msg* is its text, *html* the same in HTML, *attachments* are paths.

    email_to, email_to_cc, email_to_bcc    one address, several with commas, or a list
    smtp_type                              SSL (port 465), STARTTLS (587) or INSECURE (25)
    username_secret, password_secret       the names of the secrets to log in with; without them there is no login

    Raises EmailError when the server does not take it for all who are to get it.
    """

    def __init__(
        self,
        subject: str | None = None,
        msg: str | None = None,
        email_to: str | Iterable[str] | None = None,
        email_from: str = "notifications@localhost",
        smtp_server: str = "localhost",
        smtp_port: int | None = None,
        smtp_type: str = "SSL",
        html: str | None = None,
        email_to_cc: str | Iterable[str] | None = None,
        email_to_bcc: str | Iterable[str] | None = None,
        attachments: Attachments | None = None,
        username_secret: str | None = None,
        password_secret: str | None = None,
        timeout_seconds: float = 30.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if smtp_type not in SMTP_PORTS:
            raise ValueError(f'Task "{self.name}": smtp_type is "{smtp_type}"; give {", ".join(SMTP_PORTS)}.')
        if (username_secret is None) != (password_secret is None):
            raise ValueError(f'Task "{self.name}" logs in with username_secret and password_secret; give both.')
        self.subject = subject
        self.msg = msg
        self.email_to = email_to
        self.email_from = email_from
        self.smtp_server = smtp_server
        self.smtp_port = smtp_port or SMTP_PORTS[smtp_type]
        self.smtp_type = smtp_type
        self.html = html
        self.email_to_cc = email_to_cc
        self.email_to_bcc = email_to_bcc
        self.attachments = attachments
        self.username_secret = username_secret
        self.password_secret = password_secret
        self.timeout_seconds = above_zero(timeout_seconds, self)

    @defaults_from_attrs("subject", "msg", "email_to", "email_from", "html", "attachments")
    def run(
        self,
        subject: str | None = None,
        msg: str | None = None,
        email_to: str | Iterable[str] | None = None,
        email_from: str | None = None,
        html: str | None = None,
        attachments: Attachments | None = None,
    ) -> None:
        mail = EmailMessage()
        mail["Subject"] = needed(subject, self, "subject")
        mail["From"] = needed(email_from, self, "email_from")
        mail["To"] = _addresses(needed(email_to or None, self, "email_to"))
        mail["Date"] = localtime()
        mail["Message-ID"] = make_msgid(domain=str(email_from).rpartition("@")[2].strip("> ") or "localhost")
        if self.email_to_cc:
            mail["Cc"] = _addresses(self.email_to_cc)
        if self.email_to_bcc:
            mail["Bcc"] = _addresses(self.email_to_bcc)  # smtplib sends to them, and leaves the header out
        mail.set_content(msg if msg is not None or html is not None else needed(msg, self, "msg") or "")
        if html is not None:
            mail.add_alternative(html, subtype="html")
        for path in [attachments] if isinstance(attachments, str | os.PathLike) else attachments or ():
            self._attach(mail, Path(path))
        self._send(mail)

    def _attach(self, mail: EmailMessage, path: Path) -> None:
        if not path.is_file():
            raise FileNotFoundError(f'Task "{self.name}": attachment "{path}" is no file here.')
        kind, encoding = mimetypes.guess_type(path.name)
        main, _, sub = (kind if kind and not encoding else "application/octet-stream").partition("/")
        mail.add_attachment(path.read_bytes(), maintype=main, subtype=sub, filename=path.name)

    def _login(self) -> tuple[str, str] | None:
        if self.username_secret is None or self.password_secret is None:
            return None
        return str(Secret(self.username_secret).get()), str(Secret(self.password_secret).get())

    def _send(self, mail: EmailMessage) -> None:
        login = self._login()  # before the connection, which a missing secret would leave half done
        where = f'Task "{self.name}": the mail server {self.smtp_server}:{self.smtp_port}'
        try:
            with self._connection() as server:
                if self.smtp_type == "STARTTLS":
                    server.starttls(context=ssl.create_default_context())
                if login is not None:
                    server.login(*login)
                refused = server.send_message(mail)
        except (OSError, smtplib.SMTPException) as error:
            raise EmailError(f"{where} did not take the mail ({type(error).__name__}: {error}).") from error
        if refused:
            raise EmailError(f"{where} refused {', '.join(sorted(refused))}; the others got the mail.")

    def _connection(self) -> smtplib.SMTP:
        host, port, seconds = self.smtp_server, self.smtp_port, self.timeout_seconds
        if self.smtp_type == "SSL":
            return smtplib.SMTP_SSL(host, port, timeout=seconds, context=ssl.create_default_context())
        return smtplib.SMTP(host, port, timeout=seconds)


def post(url: str, payload: Any, timeout_seconds: float, headers: Mapping[str, str] | None = None) -> None:
    """POST something as JSON to a URL of which nothing but the host may be shown. Raises HttpError."""
    body, kind = encoded(payload, None)
    sent = {"Content-Type": str(kind), **checked_headers(headers or {})}
    Request(url, "POST", sent, body, timeout_seconds, secret_path=True).send()


def _addresses(given: str | Iterable[str]) -> str:
    return given if isinstance(given, str) else ", ".join(given)


__all__ = ["EmailError", "EmailTask", "SlackTask", "WebhookTask"]
