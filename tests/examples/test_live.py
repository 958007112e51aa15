"""Live data: against a web server that answers as the OpenSky Network's documentation says, and worse."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from aircraftlib import Position, bounding_box, fetch_live_aircraft_data
from aircraftlib.live import fetch_opensky

from headwater import context

STATE = ["3c6444", "DLH9LF  ", "Germany", 1458564120, 1458564120, 6.1546, 50.1964, 9639.3, False, 232.88, 98.26]
STATE += [4.55, None, 9547.86, "1000", False, 0]
PARIS = bounding_box(Position(49, 2.5), 100)


class OpenSky(ThreadingHTTPServer):
    """Answers every request alike and remembers what it was asked."""

    status, body, delay_seconds = 200, b"", 0.0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/api/states/all"


class Handler(BaseHTTPRequestHandler):
    server: OpenSky

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        time.sleep(self.server.delay_seconds)
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *args: Any) -> None:
        """Say nothing: the tests look at `asked`."""


@pytest.fixture
def opensky() -> Iterator[OpenSky]:
    server = OpenSky()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_states_become_state_vectors(opensky: OpenSky) -> None:
    opensky.body = json.dumps({"time": 1458564121, "states": [STATE, [*STATE, 3]]}).encode()
    first, with_a_field_more = fetch_opensky(PARIS, opensky.url)
    assert first == with_a_field_more
    assert (first.icao24, first.callsign, first.latitude, first.position_source) == ("3c6444", "DLH9LF  ", 50.1964, 0)
    south, north, west, east = PARIS.bounding_box
    assert opensky.asked == [f"/api/states/all?lamin={south}&lamax={north}&lomin={west}&lomax={east}"]


def test_no_states_are_no_aircraft(opensky: OpenSky) -> None:
    opensky.body = b'{"time": 1458564121, "states": null}'
    assert fetch_opensky(None, opensky.url) == []
    assert opensky.asked == ["/api/states/all"]


def test_an_area_across_the_antimeridian_is_asked_for_in_two_parts(opensky: OpenSky) -> None:
    opensky.body = json.dumps({"states": [STATE]}).encode()
    assert len(fetch_opensky(bounding_box(Position(-17.8, 179.9), 100), opensky.url)) == 2
    assert ["lomax=180.0" in path for path in opensky.asked] == [True, False]


@pytest.mark.parametrize(("status", "why"), [(429, "too many requests"), (503, "Service Unavailable")])
def test_a_refusal_says_why(opensky: OpenSky, status: int, why: str) -> None:
    opensky.status = status
    with pytest.raises(ConnectionError, match=rf"answered {status} \({why}\); try again later\.$"):
        fetch_opensky(PARIS, opensky.url)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"states": 7}', b'{"states": [["3c6444"]]}', b"{}", b"\xff"])
def test_another_answer_is_an_error(opensky: OpenSky, body: bytes) -> None:
    opensky.body = body
    with pytest.raises(ConnectionError, match="something else than state vectors"):
        fetch_opensky(PARIS, opensky.url)


def test_a_server_that_is_slow_or_gone_is_an_error_that_says_what_to_do(opensky: OpenSky) -> None:
    opensky.delay_seconds = 0.5
    with pytest.raises(ConnectionError, match=r"did not answer within 0\.1 s .* leave AIRCRAFT_LIVE unset"):
        fetch_opensky(PARIS, opensky.url, timeout_seconds=0.1)
    with pytest.raises(ConnectionError, match="leave AIRCRAFT_LIVE unset"):
        fetch_opensky(PARIS, "http://127.0.0.1:9/api")


def test_an_unclear_wish_for_live_data_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRCRAFT_LIVE", "perhaps")
    with pytest.raises(ValueError, match='AIRCRAFT_LIVE is "perhaps"; set it to 1'):
        fetch_live_aircraft_data(PARIS)


def test_simulated_failures_go_by_the_run_of_the_task() -> None:
    zurich = bounding_box(Position(47.4647, 8.54917), 10)
    for run_count in (1, 2):
        with context(task_run_count=run_count), pytest.raises(TimeoutError, match=f"failure {run_count} of 2"):
            fetch_live_aircraft_data(zurich, simulate_failures=2)
    with context(task_run_count=3):
        assert fetch_live_aircraft_data(zurich, simulate_failures=2)
