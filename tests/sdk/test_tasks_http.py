"""HTTP requests, webhooks, Slack and notifiers: against servers of our own, in this process."""

from __future__ import annotations

import base64
import gzip
import json
import logging
import pickle
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from headwater import Flow, task
from headwater.notifications import callback_factory, slack_notifier, webhook_notifier
from headwater.states import Failed, Finished, Running, Success, TriggerFailed
from headwater.tasks.http import HttpError, HttpRequest, HttpResponse
from headwater.tasks.notifications import SlackTask, WebhookTask


class Server(ThreadingHTTPServer):
    """Answers `/status/404`, `/echo`, `/go?to=<url>`, `/half`, `/never`, and notes what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict[str, Any]] = []
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.title(): value for name, value in self.headers.items()}
        asked = {"method": self.command, "path": self.path, "headers": headers, "body": body}
        self.server.asked.append(asked)
        what, _, rest = self.path.removeprefix("/").partition("?")
        if what.startswith("status/"):
            words = f"first {self.path}\n\nsecond\n" + "more\n" * 10
            self.say(int(what.split("/")[1]), words.encode(), {"Content-Type": "text/plain"})
        elif what == "go":
            self.say(302, b"", {"Location": rest.removeprefix("to=") or "/go"})
        elif what == "slow":
            self.server.over.wait(0.15)
            self.say(302, b"", {"Location": "/slow"})
        elif what == "stall":
            self.send_response(302)
            self.send_header("Location", "/echo")
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"half")
            self.server.over.wait(30)
            self.close_connection = True
        elif what == "packed":
            self.say(200, gzip.compress(b"packed" * 50_000), {"Content-Encoding": "gzip"})
        elif what == "chunks":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        elif what == "half":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"half")
            self.close_connection = True
        elif what == "never":
            self.server.over.wait(30)
            self.close_connection = True
        elif what == "drip":
            self.send_response(200)
            self.end_headers()
            while not self.server.over.wait(0.02):
                self.wfile.write(b".")
                self.wfile.flush()
        else:
            shown = {**asked, "body": body.decode()}
            self.say(200, json.dumps(shown).encode(), {"Content-Type": "application/json", "X-Two": "b"})

    def say(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer  # noqa: N815  # the names that http.server looks for

    def log_message(self, format: str, *args: Any) -> None: ...


def served(server: socketserver.BaseServer) -> Iterator[Any]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    server = Server()
    # A client that gave up leaves a broken pipe; that is no news.
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    for found in served(server):
        yield found
        server.over.set()


def test_an_answer_has_its_status_headers_text_and_json(server: Server) -> None:
    answer = HttpRequest(f"{server.url}/echo?token=hunter2").run()
    assert (answer.status, answer.headers["x-two"], answer.url) == (200, "b", f"{server.url}/echo?token=***")
    assert json.loads(answer.text) == answer.json()
    assert answer.json()["path"] == "/echo?token=hunter2"
    assert repr(answer) == f"HttpResponse(url='{server.url}/echo?token=***', status=200)"
    assert pickle.loads(pickle.dumps(answer)) == answer


@pytest.mark.parametrize(
    ("arguments", "body", "kind"),
    [
        ({"json": {"a": ["ü"]}}, '{"a": ["\\u00fc"]}', "application/json"),
        ({"json": 0}, "0", "application/json"),
        ({"data": {"a": ["x y", "&"]}}, "a=x+y&a=%26", "application/x-www-form-urlencoded"),
        ({"data": "ü"}, "ü", "text/plain; charset=utf-8"),
        ({"data": b"raw"}, "raw", None),
        ({"data": "<a/>", "headers": {"content-type": "text/xml"}}, "<a/>", "text/xml"),
    ],
)
def test_a_body_is_sent_as_what_it_is(server: Server, arguments: dict[str, Any], body: str, kind: str | None) -> None:
    sent = HttpRequest(f"{server.url}/echo", method="post").run(**arguments).json()
    headers = {name.lower(): value for name, value in sent["headers"].items()}
    assert (sent["method"], sent["body"], headers.get("content-type")) == ("POST", body, kind)


def test_texts_are_read_in_their_charset() -> None:
    def text(content_type: str, content: bytes) -> str:
        return HttpResponse("", 200, {"content-type": content_type}, content).text

    assert text("text/plain; charset=latin-1", b"\xfc") == "ü"
    assert text('text/plain; charset="utf-8"; x=y', "ü".encode()) == "ü"
    assert text("text/plain; charset=nonsense", "ü".encode()) == "ü"
    assert text("", b"\xff") == "\ufffd"
    with pytest.raises(ValueError, match=r"The answer of http://x is no JSON"):
        HttpResponse("http://x", 200, {}, b"<html>").json()


def test_an_answer_that_is_not_expected_is_an_error_without_secrets(server: Server) -> None:
    url = server.url.replace("http://", "http://me:hunter2@")
    with pytest.raises(HttpError) as caught:
        HttpRequest(f"{url}/status/503?token=sesame&empty=&bare_secret").run()
    host = server.url.removeprefix("http://")
    first, *lines = str(caught.value).splitlines()
    assert first == f"GET http://***@{host}/status/503?token=***&empty=***&*** was answered with 503:"
    assert lines == ["first /status/503?token=***&empty=&***", "second", "more", "more", "more"]
    assert caught.value.status == 503
    assert pickle.loads(pickle.dumps(caught.value)).status == 503
    login = base64.b64encode(b"me:hunter2").decode()
    assert server.asked[0]["headers"]["Authorization"] == f"Basic {login}"
    assert server.asked[0]["path"] == "/status/503?token=sesame&empty=&bare_secret"


@pytest.mark.parametrize(
    ("status", "expect", "good"),
    [(404, 404, True), (404, (200, 404), True), (200, 404, False), (204, range(200, 300), True), (400, (), False)],
)
def test_what_is_expected_is_right(server: Server, status: int, expect: Any, good: bool) -> None:
    request = HttpRequest(f"{server.url}/status/{status}", expect=expect)
    if good:
        assert request.run().status == status
    else:
        with pytest.raises(HttpError):
            request.run()


def test_redirections_are_followed_unless_they_are_expected(server: Server) -> None:
    other = server.url.replace("127.0.0.1", "localhost")
    secret = {"X-Key": "hunter2", "Accept": "text/plain"}
    answer = HttpRequest(f"{server.url}/go?to={other}/echo", headers=secret).run()
    headers = answer.json()["headers"]
    assert headers["Accept"] == "text/plain"
    assert "X-Key" not in headers  # it was meant for the first host
    assert HttpRequest(f"{server.url}/go?to=/echo", headers=secret).run().json()["headers"]["X-Key"] == "hunter2"
    assert HttpRequest(f"{server.url}/go?to=/echo", expect=302).run().headers["location"] == "/echo"
    with pytest.raises(HttpError, match="too many redirects"):
        HttpRequest(f"{server.url}/go?to=/go").run()


@pytest.mark.parametrize(("path", "words"), [("half", "IncompleteRead"), ("never", "ead timed out"), ("drip", "")])
def test_no_whole_answer_in_time_is_an_error(server: Server, path: str, words: str) -> None:
    with pytest.raises(HttpError) as caught:
        HttpRequest(f"{server.url}/{path}?token=sesame", timeout_seconds=0.2).run()
    assert str(caught.value).startswith(f"GET {server.url}/{path}?token=*** got no answer (")
    assert words in str(caught.value)
    assert caught.value.status is None


def test_bodies_come_as_they_are_sent(server: Server) -> None:
    assert HttpRequest(f"{server.url}/packed").run().text == "packed" * 50_000
    assert HttpRequest(f"{server.url}/chunks").run().text == "abcde"
    assert HttpRequest(f"{server.url}/status/204", method="head").run().content == b""


def test_redirections_take_no_longer_together_than_one_answer_may(server: Server) -> None:
    """Each of them comes in time."""
    with pytest.raises(HttpError, match="redirections do not end in time"):
        HttpRequest(f"{server.url}/slow", timeout_seconds=0.4).run()


def test_the_body_of_a_redirection_is_not_waited_for(server: Server) -> None:
    assert HttpRequest(f"{server.url}/stall", timeout_seconds=2).run().json()["path"] == "/echo"


def test_a_redirection_to_nowhere_shows_no_secrets(server: Server) -> None:
    with pytest.raises(HttpError, match="leads to an address that cannot be read") as caught:
        HttpRequest(f"{server.url}/go?to=http://me:hunter2@host:99999999/").run()
    assert "hunter2" not in str(caught.value)


def test_urls_are_not_logged_by_what_sends_them(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    HttpRequest(f"{server.url}/go?to=/echo?token=sesame").run()
    SlackTask("x", webhook_url=f"{server.url}/T000/very-secret").run()
    assert "sesame" not in caplog.text
    assert "very-secret" not in caplog.text
    logging.getLogger("urllib3.connectionpool").debug("another's line")
    assert "another's line" in caplog.text


def test_an_answer_that_quotes_a_header_is_not_quoted_with_it(server: Server) -> None:
    with pytest.raises(HttpError) as caught:
        HttpRequest(f"{server.url}/status/401/sk-hunter2", headers={"Authorization": "Bearer sk-hunter2"}).run()
    assert str(caught.value).splitlines()[1] == "first /status/401/***"


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def test_nobody_there_is_an_error_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with Flow("ask") as flow:
        answer = HttpRequest()(f"http://me:hunter2@127.0.0.1:{closed_port()}/x?token=sesame")
    state = flow.run().result[answer]
    assert isinstance(state.result, HttpError)
    assert "Connection refused" in str(state.message)
    assert state.result.__context__ is None
    for secret in ("hunter2", "sesame"):
        assert secret not in caplog.text + str(state.message)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (HttpRequest("ftp://me:hunter2@host/"), "write https://host/path"),
        (HttpRequest("http://me:hunter2@host:99999999/"), "write https://host/path"),
        (HttpRequest("http://host/", headers={"Authorization": "Bearer hunter2\n"}), 'Header "Authorization"'),
        (HttpRequest("http://host/", json={}, data=b"hunter2"), "json and data; give one"),
        (HttpRequest("http://host/", data=5), "data is a int"),  # type: ignore[arg-type]
        (HttpRequest(), 'Task "HttpRequest" has no url'),
        (HttpRequest("http://host/hunter2\n"), "strip() what comes from a file"),
        (HttpRequest("http://host/", headers={"X Key": "hunter2"}), "A header is called 'X Key'"),
        (HttpRequest("http://host/", headers={5: "hunter2"}), "A header is called 5"),  # type: ignore[dict-item]
        (HttpRequest("http://host/", headers="hunter2"), "headers are a str"),  # type: ignore[arg-type]
        (HttpRequest("http://host/", json={"a": object()}), "json cannot become JSON"),
        (HttpRequest("http://host/", json=float("nan")), "json cannot become JSON"),
        (HttpRequest("http://host/", method="GET /"), "method is 'GET /'"),
        (WebhookTask("http://host/", payload=1, headers={"X": "hunter2\n"}), 'Header "X"'),
    ],
)
def test_bad_requests_are_told_without_secrets(request_: Any, words: str) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        request_.run()
    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: HttpRequest(expect="404"), "expect is '404'"),  # type: ignore[arg-type]
        (lambda: HttpRequest(timeout_seconds=0), 'Task "HttpRequest": timeout_seconds is 0'),
        (lambda: WebhookTask(timeout_seconds=-1), 'Task "WebhookTask": timeout_seconds is -1'),
        (lambda: SlackTask(timeout_seconds=float("inf")), 'Task "SlackTask": timeout_seconds is inf'),
        (lambda: slack_notifier(timeout_seconds=0), "slack_notifier: timeout_seconds is 0"),
    ],
)
def test_bad_options_are_told_where_they_are_given(make: Callable[[], Any], words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        make()


@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy"])
def test_proxies_of_the_environment_are_used(variable: str, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv(variable, server.url.replace("http://", "http://me:hunter2@"))
    HttpRequest("http://nowhere.invalid/echo").run()
    assert server.asked[0]["path"] == "http://nowhere.invalid/echo"
    assert server.asked[0]["headers"]["Proxy-Authorization"].startswith("Basic ")
    monkeypatch.setenv(variable, "socks://me:hunter2@host")
    with pytest.raises(ValueError, match="The URL of the environment's proxy cannot be read") as caught:
        HttpRequest("http://nowhere.invalid/echo").run()
    assert "hunter2" not in str(caught.value)


# Webhooks and Slack


def test_webhooks_and_slack_get_their_payload(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_SECRET_SLACK_WEBHOOK_URL", f"{server.url}/slack")
    monkeypatch.setenv("HEADWATER_SECRET_HOOK", f"{server.url}/hook")
    with Flow("tell") as flow:
        SlackTask()("all is well")
        SlackTask({"text": "a", "blocks": []}, webhook_url=f"{server.url}/other")()
        WebhookTask(payload=[1], url_secret="HOOK", headers={"X-Key": "k"})()
        WebhookTask(f"{server.url}/x")(payload={"a": 1})
    assert isinstance(flow.run(), Success)
    assert sorted((asked["path"], json.loads(asked["body"])) for asked in server.asked if asked["path"] != "/") == [
        ("/hook", [1]),
        ("/other", {"text": "a", "blocks": []}),
        ("/slack", {"text": "all is well"}),
        ("/x", {"a": 1}),
    ]
    assert {asked["headers"]["Content-Type"] for asked in server.asked} == {"application/json"}


def test_a_webhook_that_fails_shows_its_host_only(server: Server) -> None:
    with pytest.raises(HttpError) as caught:
        SlackTask("x", webhook_url=f"{server.url}/status/403/T000/very-secret").run()
    assert str(caught.value).startswith(f"POST {server.url}/*** was answered with 403")
    assert "very-secret" not in str(caught.value)


# Notifiers


@task
def good() -> int:
    return 1


@task
def bad() -> None:
    raise ValueError("no <such> airport")


@task
def after(x: Any) -> None: ...


def test_a_notifier_tells_of_the_states_that_are_wanted(server: Server) -> None:
    hook = webhook_notifier(f"{server.url}/hook", only_states=[Finished], ignore_states=[TriggerFailed])
    with Flow("etl", state_handlers=[hook]) as flow:
        bad.copy(state_handlers=[hook]).bind()
        after.copy(state_handlers=[hook]).bind(bad())
        good.copy(state_handlers=[hook]).bind()
    state = flow.run()
    assert isinstance(state, Failed)
    told = [json.loads(asked["body"]) for asked in server.asked]
    assert sorted((t["kind"], t["name"], t["old_state"], t["state"]) for t in told) == [
        ("flow", "etl", "Running", "Failed"),
        ("task", "bad", "Running", "Failed"),
        ("task", "good", "Running", "Success"),
    ]
    assert {(t["flow"], t["flow_run"]) for t in told} == {("etl", "etl")}
    assert "ValueError: no <such> airport" in [t["message"] for t in told]


def test_slack_is_told_by_the_bare_notifier(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_SECRET_SLACK_WEBHOOK_URL", f"{server.url}/slack")
    with Flow("f") as flow:
        bad.copy(state_handlers=[slack_notifier]).bind()
    flow.run()
    assert [json.loads(asked["body"]) for asked in server.asked] == [
        {
            "text": "Task *bad* in run f is now *Running*",
            "attachments": [{"color": Running.color, "text": "Starting task run.", "fallback": "Starting task run."}],
        },
        {
            "text": "Task *bad* in run f is now *Failed*",
            "attachments": [
                {
                    "color": Failed.color,
                    "text": "ValueError: no &lt;such&gt; airport",
                    "fallback": "ValueError: no &lt;such&gt; airport",
                }
            ],
        },
    ]


def test_a_notifier_that_cannot_deliver_warns_and_fails_nothing(
    server: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HEADWATER_SECRET_SLACK_WEBHOOK_URL", raising=False)
    notifiers = [
        slack_notifier,  # without its secret
        slack_notifier(webhook_url=f"{server.url}/status/500/secret-path"),
        webhook_notifier(f"http://127.0.0.1:{closed_port()}/secret-path", only_states=[Success]),
        webhook_notifier(f"{server.url}/never/secret-path".replace("/never", "/never?"), timeout_seconds=0.05),
        webhook_notifier("nonsense"),
        webhook_notifier(f"{server.url}/x", make_payload=lambda obj, old, new: 1 / 0),
    ]
    with Flow("f", state_handlers=notifiers) as flow:
        good.copy(state_handlers=notifiers).bind()
    assert isinstance(flow.run(), Success)
    warnings = [record for record in caplog.records if record.name == "headwater.notifications"]
    assert {record.levelno for record in warnings} == {logging.WARNING}
    assert len(warnings) == 2 * (2 * 5 + 1)
    assert "slack_notifier could not tell of 'good', which is now Success. MissingSecretError: Secret" in caplog.text
    assert "secret-path" not in caplog.text


def test_notifiers_travel_to_other_processes() -> None:
    hook = pickle.loads(pickle.dumps(webhook_notifier("http://x/secret-path", only_states=[Failed])))
    assert hook.url == "http://x/secret-path"
    assert "secret-path" not in repr(hook)


def test_a_callback_is_called_for_the_states_that_pass_its_check() -> None:
    seen: list[tuple[str, str]] = []
    handler = callback_factory(lambda obj, state: seen.append((obj.name, state.name)), lambda state: state.is_failed())
    with Flow("f", state_handlers=[handler]) as flow:
        good.copy(state_handlers=[handler]).bind()
        bad.copy(state_handlers=[handler]).bind()
    flow.run()
    assert seen == [("bad", "Failed"), ("f", "Failed")]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: slack_notifier(only_states=["Failed"]), "slack_notifier: only_states holds 'Failed'"),
        (lambda: webhook_notifier("x", ignore_states=[ValueError]), "webhook_notifier: ignore_states holds"),
        (lambda: callback_factory(None, bool), "callback_factory: fn is None"),  # type: ignore[arg-type]
    ],
)
def test_bad_filters_are_told(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        call()
