"""Mail: against a server of our own, in this process."""

from __future__ import annotations

import base64
import email
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from headwater.tasks.notifications import EmailError, EmailTask
from headwater.tasks.secrets import MissingSecretError


class Mailbox(socketserver.ThreadingTCPServer):
    """A mail server that takes all but what is for nobody@..., and refuses unknown people."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), MailHandler)
        self.mails: list[tuple[list[str], Message]] = []
        self.logins: list[str] = []
        self.calls = 0

    @property
    def options(self) -> dict[str, Any]:
        return {"smtp_server": "127.0.0.1", "smtp_port": self.server_address[1], "smtp_type": "INSECURE"}


class MailHandler(socketserver.StreamRequestHandler):
    server: Mailbox

    def handle(self) -> None:
        self.server.calls += 1
        self.say("220 here")
        to: list[str] = []
        while line := self.rfile.readline():
            word = line.decode().strip()
            verb = word.split(" ")[0].upper()
            if verb == "EHLO":
                self.say("250-here\r\n250 AUTH PLAIN")
            elif verb == "AUTH":
                self.server.logins.append(base64.b64decode(word.split(" ")[2]).decode())
                self.say("235 welcome" if self.server.logins[-1] == "\0me\0hunter2" else "535 who are you")
            elif verb == "RCPT":
                good = "nobody@" not in word
                to += [word.split("<")[1].split(">")[0]] if good else []
                self.say("250 ok" if good else "550 no such user")
            elif verb == "DATA":
                self.say("354 go on")
                self.server.mails.append((to, email.message_from_bytes(self.body())))
                self.say("250 ok")
            elif verb == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 ok")

    def body(self) -> bytes:
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line)
        return b"".join(lines)

    def say(self, words: str) -> None:
        self.wfile.write(f"{words}\r\n".encode())


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    server = Mailbox()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_mail_has_its_parts_and_reaches_all(
    mailbox: Mailbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n")
    monkeypatch.setenv("HEADWATER_SECRET_MAIL_USER", "me")
    monkeypatch.setenv("HEADWATER_SECRET_MAIL_PASSWORD", "hunter2")
    mail = EmailTask(
        "Done: ü",
        email_to=["a@x.org", "b@x.org"],
        email_to_cc="c@x.org",
        email_to_bcc="d@x.org",
        email_from="flows@x.org",
        attachments=[tmp_path / "rows.csv"],
        username_secret="MAIL_USER",
        password_secret="MAIL_PASSWORD",
        **mailbox.options,
    )
    mail.run(msg="plain", html="<b>rich</b>")
    [(to, found)] = mailbox.mails
    assert sorted(to) == ["a@x.org", "b@x.org", "c@x.org", "d@x.org"]
    assert (found["To"], found["Cc"], found["Bcc"]) == ("a@x.org, b@x.org", "c@x.org", None)
    parts = {part.get_content_type(): part.get_payload(decode=True) for part in found.walk() if not part.is_multipart()}
    assert {kind: bytes(body).strip() for kind, body in parts.items()} == {  # type: ignore[arg-type]
        "text/plain": b"plain",
        "text/html": b"<b>rich</b>",
        "text/csv": b"a,b",
    }
    assert mailbox.logins == ["\0me\0hunter2"]


@pytest.mark.parametrize(
    ("to", "words"),
    [("nobody@x.org", "did not take the mail"), ("a@x.org, nobody@x.org", "refused nobody@x.org; the others got")],
)
def test_a_mail_that_is_not_taken_for_all_is_an_error(mailbox: Mailbox, to: str, words: str) -> None:
    with pytest.raises(EmailError, match=words):
        EmailTask("s", "m", to, **mailbox.options).run()


def test_a_login_that_fails_shows_no_password(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_SECRET_U", "me")
    monkeypatch.setenv("HEADWATER_SECRET_P", "wrong-password")
    with pytest.raises(EmailError, match="who are you") as caught:
        EmailTask("s", "m", "a@x.org", username_secret="U", password_secret="P", **mailbox.options).run()
    assert "wrong-password" not in str(caught.value)
    assert mailbox.mails == []


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: EmailTask(smtp_type="TLS"), 'smtp_type is "TLS"; give SSL, STARTTLS, INSECURE'),
        (lambda: EmailTask(username_secret="U"), "give both"),
        (lambda: EmailTask("s", "m").run(), "has no email_to"),
        (lambda: EmailTask("s", "m", []).run(), "has no email_to"),
        (lambda: EmailTask("s", "m", timeout_seconds=None), "timeout_seconds is None"),  # type: ignore[arg-type]
        (lambda: EmailTask("s", email_to="a@x.org").run(), "has no msg"),
        (lambda: EmailTask("s\nBcc: all@x.org", "m", "a@x.org").run(), "linefeed"),
    ],
)
def test_mails_that_cannot_be_are_told(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()


def test_a_mail_has_a_date_and_an_identity(mailbox: Mailbox) -> None:
    EmailTask("s", "m", "a@x.org", email_from="Flows <flows@x.org>", **mailbox.options).run()
    [(_, found)] = mailbox.mails
    assert found["Date"]
    assert found["Message-ID"].endswith("@x.org>")


def test_one_attachment_needs_no_list_and_a_missing_one_is_told(mailbox: Mailbox, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    EmailTask("s", "m", "a@x.org", attachments=str(tmp_path / "a.txt"), **mailbox.options).run()
    [(_, found)] = mailbox.mails
    assert [part.get_filename() for part in found.walk() if part.get_filename()] == ["a.txt"]
    with pytest.raises(FileNotFoundError, match=r'Task "EmailTask": attachment ".*none.txt" is no file here'):
        EmailTask("s", "m", "a@x.org", attachments=[tmp_path / "none.txt"], **mailbox.options).run()


def test_a_missing_secret_is_told_before_anybody_is_called(mailbox: Mailbox) -> None:
    with pytest.raises(MissingSecretError):
        EmailTask("s", "m", "a@x.org", username_secret="NO_U", password_secret="NO_P", **mailbox.options).run()
    assert mailbox.calls == 0


@pytest.mark.parametrize("smtp_type", ["INSECURE", "STARTTLS", "SSL"])
def test_a_mail_server_that_says_nothing_is_given_up(smtp_type: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = {"smtp_server": "127.0.0.1", "smtp_port": silent.getsockname()[1], "smtp_type": smtp_type}
        with pytest.raises(EmailError, match="timed out"):
            EmailTask("s", "m", "a@x.org", timeout_seconds=0.1, **place).run()


def test_a_mail_is_not_sent_in_clear_when_it_was_to_be_encrypted(mailbox: Mailbox) -> None:
    with pytest.raises(EmailError, match="STARTTLS"):
        EmailTask("s", "m", "a@x.org", **{**mailbox.options, "smtp_type": "STARTTLS"}).run()
    assert mailbox.mails == []
