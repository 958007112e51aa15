"""The recordings as the package carries them: what they hold, and what is made of them."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from aircraftlib import ReferenceData, fetch_live_aircraft_data, fetch_reference_data
from aircraftlib.recordings import RECORDINGS, Recording, find_file, read_records, to_state_vector
from hypothesis import given
from hypothesis import strategies as st

# Counted in traffic 2.13.
VECTORS = {"quickstart": 284_505, "switzerland": 139_098}
AIRCRAFT = {
    ("CDG", 200): 213,
    ("CDG", 10): 153,
    ("ORY", 50): 212,
    ("ZRH", 200): 842,
    ("ZRH", 50): 559,
    ("GVA", 200): 809,
}


@pytest.fixture(scope="module")
def reference() -> ReferenceData:
    return fetch_reference_data()


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.name)
def test_a_recording_covers_just_what_it_says(recording: Recording) -> None:
    """Which recordings are read for an area depends on it."""
    places = [(record["latitude"], record["longitude"]) for record in read_records(find_file(recording))]
    assert len(places) == VECTORS[recording.name]
    latitudes, longitudes = zip(*places, strict=True)
    measured = (min(latitudes), max(latitudes), min(longitudes), max(longitudes))
    assert recording.covers.bounding_box == pytest.approx(measured, abs=0.01)
    assert all(recording.covers.contains(*corner) for corner in (measured[0::2], measured[1::2]))


@pytest.mark.parametrize(("airport", "radius"), AIRCRAFT)
def test_each_aircraft_around_an_airport_is_there_once(reference: ReferenceData, airport: str, radius: int) -> None:
    area = reference.area_around(airport, radius)
    vectors = fetch_live_aircraft_data(area)
    assert len(vectors) == AIRCRAFT[airport, radius]
    assert [v.icao24 for v in vectors] == sorted({v.icao24 for v in vectors})
    assert all(area.contains(v.latitude, v.longitude) for v in vectors if v.latitude and v.longitude)


def test_of_each_aircraft_the_latest_position_is_taken(reference: ReferenceData) -> None:
    area = reference.area_around("ZRH", 10)
    inside = [r for r in read_records(find_file(RECORDINGS[1])) if area.contains(r["latitude"], r["longitude"])]
    latest = {r["icao24"]: r["timestamp"] // 1000 for r in sorted(inside, key=lambda r: r["timestamp"])}
    assert {v.icao24: v.time_position for v in fetch_live_aircraft_data(area)} == latest


def test_nothing_recorded_around_an_airport_is_an_error_that_says_where_there_is(reference: ReferenceData) -> None:
    with pytest.raises(ValueError, match="There is no recorded traffic within 200 km of IAD") as error:
        fetch_live_aircraft_data(reference.area_around("IAD", 200))
    assert "the recordings cover Paris (CDG, ORY), " in str(error.value)
    assert "Zurich and Geneva (ZRH, GVA) above 30000 feet" in str(error.value)


def test_units_become_those_of_a_state_vector() -> None:
    record = {
        "icao24": "0101de",
        "callsign": "MSR799",
        "timestamp": 1_633_608_773_000,
        "latitude": 48.5,
        "longitude": 3.8,
        "altitude": 10_000.0,
        "groundspeed": 360.0,
        "track": 311.0,
        "vertical_rate": -6000.0,
    }
    vector = to_state_vector(record)
    assert (vector.baro_altitude, vector.velocity, vector.vertical_rate) == (3048.0, 185.2, -30.48)
    assert (vector.time_position, vector.last_contact, vector.on_ground) == (1_633_608_773, 1_633_608_773, None)
    assert len(vector) == 17


@given(
    st.lists(st.dictionaries(st.sampled_from(["a", "b"]), st.text(st.characters(exclude_characters="{"))), max_size=20)
)
def test_reading_in_chunks_gives_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, str]]
) -> None:
    file = tmp_path_factory.mktemp("records") / "records.json.gz"
    for separators in ((",", ":"), (", ", ": ")):
        file.write_bytes(gzip.compress(json.dumps(records, separators=separators).encode()))
        for characters in (1, 7, 1000):
            assert list(read_records(file, characters)) == records


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no gzip",
        gzip.compress(b""),
        gzip.compress(b"{}"),
        gzip.compress(b'[{"a":1},{"a"'),
        gzip.compress(b"[1]")[:-9],
    ],
    ids=["empty", "plain", "nothing", "an object", "half", "cut"],
)
def test_a_broken_recording_is_an_error_that_names_the_file(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "broken.json.gz"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r'The recording ".*broken\.json\.gz" is not .*; install it anew: pip install'):
        list(read_records(file))


def test_the_package_is_not_imported() -> None:
    program = (
        "import sys, aircraftlib; from aircraftlib.recordings import RECORDINGS, find_file;"
        "find_file(RECORDINGS[0]); sys.exit(sorted({'traffic', 'pandas', 'airportsdata'} & set(sys.modules)) or 0)"
    )
    folder = str(Path(str(sys.modules["aircraftlib"].__file__)).parents[1])
    ran = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_without_the_package_the_error_names_the_command(examples: Path) -> None:
    program = "from aircraftlib.recordings import RECORDINGS, find_file; find_file(RECORDINGS[0])"
    ran = subprocess.run(
        [sys.executable, "-S", "-c", program], cwd=examples / "aircraft", capture_output=True, text=True
    )
    assert ran.stderr.splitlines()[-1].endswith("is not installed: pip install --no-deps traffic==2.13")


def test_another_package_of_that_name_is_told_from_the_right_one(examples: Path, tmp_path: Path) -> None:
    (tmp_path / "traffic").mkdir()
    (tmp_path / "traffic" / "__init__.py").touch()
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r});"
        "from aircraftlib.recordings import RECORDINGS, find_file; find_file(RECORDINGS[0])"
    )
    ran = subprocess.run(
        [sys.executable, "-S", "-c", program], cwd=examples / "aircraft", capture_output=True, text=True
    )
    last = ran.stderr.splitlines()[-1]
    assert "has no data/samples/collections/quickstart.json.gz" in last
    assert last.endswith("pip install --no-deps traffic==2.13")
