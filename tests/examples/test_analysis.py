"""From state vectors to rows."""

from __future__ import annotations

from typing import Any

import pytest
from aircraftlib import StateVector, Vector, add_airline_info, clean_vector

AIRLINES = {"AFR": "Air France"}


def make_vector(**changes: Any) -> StateVector:
    vector = StateVector(
        icao24="3944ED",
        callsign="AFR35YQ ",
        origin_country="France",
        time_position=1_633_608_770,
        last_contact=1_633_608_773,
        longitude=2.4463,
        latitude=48.9863,
        baro_altitude=3048.0,
        on_ground=False,
        velocity=185.2,
        true_track=311.0,
        vertical_rate=-5.0,
        sensors=None,
        geo_altitude=None,
        squawk="1000",
        spi=False,
        position_source=0,
    )
    return vector._replace(**changes)


def make_row(**changes: Any) -> Vector:
    row = clean_vector(make_vector(**changes))
    assert row is not None
    return row


def test_a_row_is_the_state_vector_without_noise() -> None:
    assert make_row() == {
        "icao24": "3944ed",
        "timestamp": 1_633_608_770,
        "callsign": "AFR35YQ",
        "origin_country": "France",
        "latitude": 48.9863,
        "longitude": 2.4463,
        "altitude": 3048.0,
        "on_ground": False,
        "velocity": 185.2,
        "heading": 311.0,
        "vertical_rate": -5.0,
        "squawk": "1000",
        "airline": None,
    }


@pytest.mark.parametrize("missing", [{"latitude": None}, {"longitude": None}])
def test_a_vector_without_a_position_is_no_row(missing: dict[str, None]) -> None:
    assert clean_vector(make_vector(**missing)) is None


def test_a_position_on_the_equator_or_at_greenwich_is_a_position() -> None:
    assert clean_vector(make_vector(latitude=0.0, longitude=0.0)) is not None


def test_a_position_without_a_time_of_its_own_has_that_of_the_last_message() -> None:
    assert make_row(time_position=None)["timestamp"] == 1_633_608_773


def test_an_impossible_altitude_is_not_kept() -> None:
    """123100 feet are in the recording of Paris."""
    assert make_row(baro_altitude=37_520.88)["altitude"] is None
    assert make_row(baro_altitude=-91.44)["altitude"] == -91.44


@pytest.mark.parametrize(
    ("callsign", "airline"),
    [
        ("AFR35YQ", "Air France"),
        ("MHV12", None),  # an airline that the table does not have
        ("AFRIC", None),  # a registration that only begins like an airline's callsign
        ("DUKE58", None),
        ("AF1", None),
        ("  ", None),
        (None, None),
    ],
)
def test_the_airline_is_named_where_the_callsign_tells_it(callsign: str | None, airline: str | None) -> None:
    row = make_row(callsign=callsign)
    before = dict(row)
    assert add_airline_info(row, AIRLINES) == {**before, "airline": airline}
    assert row == before, "a retry must find the row as it was"
