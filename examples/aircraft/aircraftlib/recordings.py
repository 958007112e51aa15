"""Real air traffic, recorded: two collections of the Python package traffic, replayed without it.

The package is only a carrier of files here. It is never imported: that would bring in pandas
and more, which is why `pip install --no-deps traffic==2.13` is enough.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aircraftlib.position import Area, Position
from aircraftlib.vectors import StateVector

PACKAGE = "traffic==2.13"
METERS_PER_FOOT = 0.3048
METERS_PER_SECOND_PER_KNOT = 1852 / 3600
METERS_PER_SECOND_PER_FOOT_PER_MINUTE = METERS_PER_FOOT / 60

# Text read at a time. A recording is 65 MB of JSON; read in one piece it takes 350 MB of memory, so 2.
CHUNK_CHARACTERS = 1 << 16


@dataclass(frozen=True)
class Recording:
    """A collection of the package and the box that it covers: known, so that others need not be read."""

    name: str
    covers: Area


RECORDINGS = (
    Recording(
        "quickstart",
        Area(Position(47.72, 0.78), Position(50.00, 4.07), "Paris (CDG, ORY), 7 October 2021, 12:00 to 15:00 UTC"),
    ),
    Recording(
        "switzerland",
        Area(
            Position(45.81, 5.95),
            Position(47.81, 10.49),
            "Zurich and Geneva (ZRH, GVA) above 30000 feet, 1 August 2018, 05:00 to 22:00 UTC",
        ),
    ),
)


def latest_recorded(area: Area | None) -> list[StateVector]:
    """Return one vector per aircraft that was recorded inside an area, or anywhere: the latest one there.

    Sorted by icao24, and always the same for the same area. Raises ValueError when nothing was
    recorded there, and FileNotFoundError or ModuleNotFoundError when the recordings are missing.
    """
    latest: dict[str, dict[str, Any]] = {}
    for recording in RECORDINGS:
        if area is None or area.touches(recording.covers):
            for record in read_records(find_file(recording)):
                if area is None or area.contains(record["latitude"], record["longitude"]):
                    known = latest.get(record["icao24"])
                    if known is None or record["timestamp"] > known["timestamp"]:
                        latest[record["icao24"]] = record
    if not latest:
        covered = "; ".join(str(recording.covers) for recording in RECORDINGS)
        raise ValueError(
            f"There is no recorded traffic within {area}; the recordings cover {covered}. "
            "Choose an airport there, or a larger radius, or set AIRCRAFT_LIVE=1 to ask the OpenSky Network."
        )
    return [to_state_vector(latest[icao24]) for icao24 in sorted(latest)]


def find_file(recording: Recording) -> Path:
    """Return the file of a recording, without importing the package that it lies in."""
    spec = importlib.util.find_spec("traffic")
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    if not folders:
        raise ModuleNotFoundError(
            f"The recordings come from a package that is not installed: pip install --no-deps {PACKAGE}",
            name="traffic",
        )
    inside = Path("data", "samples", "collections", f"{recording.name}.json.gz")
    for folder in folders:
        if (Path(folder) / inside).is_file():
            return Path(folder) / inside
    raise FileNotFoundError(
        f'The package traffic in "{folders[0]}" has no {inside}; another version has it: '
        f"pip install --no-deps {PACKAGE}"
    )


def read_records(path: Path, chunk_characters: int = CHUNK_CHARACTERS) -> Iterator[dict[str, Any]]:
    """Yield the objects of a compressed JSON array of flat objects, a chunk of text at a time.

    Raises ValueError when the file is something else, or broken.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            rest = file.read(1)
            if rest != "[":
                raise ValueError("it begins with something else than [")
            while text := file.read(chunk_characters):
                # A chunk ends anywhere; what follows its last whole object belongs to the next.
                done, between, rest = (rest + text).rpartition("},{")
                if between:
                    yield from json.loads(f"{done}}}]")
                    rest = f"[{{{rest}"
            yield from json.loads(rest)
    except (ValueError, EOFError, OSError, zlib.error) as error:
        raise ValueError(
            f'The recording "{path}" is not a compressed JSON array of objects ({error}); '
            f"install it anew: pip install --no-deps --force-reinstall {PACKAGE}"
        ) from error


def to_state_vector(record: dict[str, Any]) -> StateVector:
    """Turn a record, in feet, knots, feet per minute and milliseconds, into a state vector.

    What the recordings do not have is None; the Swiss one does not say what is on the ground.
    """
    seconds = record["timestamp"] // 1000
    return StateVector(
        icao24=record["icao24"],
        callsign=record["callsign"],
        origin_country=None,
        time_position=seconds,
        last_contact=seconds,
        longitude=record["longitude"],
        latitude=record["latitude"],
        baro_altitude=_scaled(record["altitude"], METERS_PER_FOOT),
        on_ground=record.get("onground"),
        velocity=_scaled(record["groundspeed"], METERS_PER_SECOND_PER_KNOT),
        true_track=record["track"],
        vertical_rate=_scaled(record["vertical_rate"], METERS_PER_SECOND_PER_FOOT_PER_MINUTE),
        sensors=None,
        geo_altitude=None,
        squawk=record.get("squawk"),
        spi=None,
        position_source=None,
    )


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else round(value * factor, 2)
