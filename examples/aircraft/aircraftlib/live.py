"""The traffic of the moment: from the recordings, or from the OpenSky Network when that is asked for."""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from aircraftlib.position import Area
from aircraftlib.recordings import latest_recorded
from aircraftlib.vectors import StateVector

OPENSKY_URL = "https://opensky-network.org/api/states/all"
TIMEOUT_SECONDS = 20.0


def fetch_live_aircraft_data(
    area: Area | None = None, live: bool | None = None, simulate_failures: int = 0
) -> list[StateVector]:
    """Return one state vector per aircraft in an area, or anywhere: its latest position there.

    From the recordings, unless *live* is true or, when it is left out, AIRCRAFT_LIVE is 1.
    The first *simulate_failures* runs of a task that calls this fail, to see its retries work.
    Raises ValueError when the recordings have nothing there, ConnectionError when OpenSky does not answer.
    """
    _simulate(simulate_failures)
    if live is None:
        live = _wants_live(os.environ.get("AIRCRAFT_LIVE", ""))
    return fetch_opensky(area) if live else latest_recorded(area)


def fetch_opensky(
    area: Area | None, url: str = OPENSKY_URL, timeout_seconds: float = TIMEOUT_SECONDS
) -> list[StateVector]:
    """Ask the OpenSky Network for the state vectors of now; an empty list when nothing flies there."""
    queries = [_query(part) for part in area.parts] if area is not None else [""]
    return [vector for query in queries for vector in _parse(_get(url + query, timeout_seconds), url)]


def _simulate(failures: int) -> None:
    if failures <= 0:
        return
    # Counted by the run of the task, not in this module: the next run may be in another process.
    from headwater import context  # the rest of the library works without it

    run_count = context.get("task_run_count", 1)
    if run_count <= failures:
        raise TimeoutError(f"No answer (failure {run_count} of {failures}, simulated).")


def _wants_live(value: str) -> bool:
    if value.lower() not in ("", "0", "1", "true", "false"):
        raise ValueError(f'AIRCRAFT_LIVE is "{value}"; set it to 1 for live data or leave it unset.')
    return value.lower() in ("1", "true")


def _query(area: Area) -> str:
    south, north, west, east = area.bounding_box
    return "?" + urllib.parse.urlencode({"lamin": south, "lamax": north, "lomin": west, "lomax": east})


def _get(url: str, timeout_seconds: float) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=timeout_seconds) as response:
            return bytes(response.read())
    except urllib.error.HTTPError as error:
        with error:
            why = "too many requests" if error.code == 429 else error.reason
            raise ConnectionError(f"{url} answered {error.code} ({why}); try again later.") from None
    except (OSError, http.client.HTTPException) as error:
        raise ConnectionError(
            f"{url} did not answer within {timeout_seconds:g} s ({error}). Live data need a network that reaches it; "
            "recorded data need none: leave AIRCRAFT_LIVE unset."
        ) from None


def _parse(body: bytes, url: str) -> list[StateVector]:
    try:
        states: list[list[Any]] = json.loads(body)["states"] or []
        # More fields may follow the 17, on request or in time.
        return [StateVector(*state[:17]) for state in states]
    except (ValueError, TypeError, KeyError) as error:
        raise ConnectionError(f"{url} answered something else than state vectors ({error!r}).") from None
