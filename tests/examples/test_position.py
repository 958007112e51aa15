"""Boxes around places: against published lengths of a degree, and for any place at all."""

from __future__ import annotations

import math

import pytest
from aircraftlib import Area, Position, bounding_box
from hypothesis import given
from hypothesis import strategies as st

# Kilometres per degree of latitude and of longitude on WGS-84, as geodesy textbooks give them.
DEGREES_KM = {0: (110.574, 111.320), 30: (110.852, 96.486), 45: (111.132, 78.847), 60: (111.412, 55.800)}

latitudes = st.floats(-90, 90)
longitudes = st.floats(-180, 180)
radii = st.floats(0.01, 5000)


@pytest.mark.parametrize("latitude", DEGREES_KM)
def test_a_box_is_as_wide_as_the_ellipsoid_says(latitude: int) -> None:
    north_south_km, east_west_km = DEGREES_KM[latitude]
    south, north, west, east = bounding_box(Position(latitude, 10), 20).bounding_box
    assert (north - south) / 2 * north_south_km == pytest.approx(20, rel=1e-3)
    assert (east - west) / 2 * east_west_km == pytest.approx(20, rel=1e-3)


@given(latitudes, longitudes, radii, st.floats(0, 360))
def test_a_box_holds_all_that_lies_within_its_radius(lat: float, long: float, radius: float, bearing: float) -> None:
    # One per cent inside the circle: these steps are on a sphere, which the Earth is not.
    reached = _walk(Position(lat, long), bearing, 0.99 * radius)
    assert bounding_box(Position(lat, long), radius).contains(*reached)


@given(latitudes, longitudes, radii)
def test_a_box_is_a_valid_area_wherever_it_is(lat: float, long: float, radius: float) -> None:
    area = bounding_box(Position(lat, long), radius)
    assert area.contains(lat, long)
    assert any(part.contains(lat, long) for part in area.parts)
    assert all(part.bounding_box[2] <= part.bounding_box[3] for part in area.parts)


@pytest.mark.parametrize("latitude", [90, -90, 89.9, -89.9])
def test_around_a_pole_every_longitude_is_inside(latitude: float) -> None:
    area = bounding_box(Position(latitude, 0), 50)
    assert area.bounding_box[2:] == (-180, 180)
    assert all(area.contains(latitude, long) for long in (-180, -90, 0, 179.9))
    assert not area.contains(-latitude, 0)


def test_a_box_across_the_antimeridian_is_two() -> None:
    fiji = bounding_box(Position(-17.8, 179.9), 100)
    south, north, west, east = fiji.bounding_box
    assert west == pytest.approx(178.957, abs=1e-3)
    assert east == pytest.approx(-179.157, abs=1e-3)
    assert [part.bounding_box for part in fiji.parts] == [(south, north, west, 180), (south, north, -180, east)]
    assert fiji.contains(-17.8, 180)
    assert fiji.contains(-17.8, -180)
    assert not fiji.contains(-17.8, 0)


def test_areas_touch_across_the_antimeridian_too() -> None:
    fiji = bounding_box(Position(-17.8, 179.9), 100)
    samoa = bounding_box(Position(-17.8, -179.5), 100)
    assert fiji.touches(samoa)
    assert samoa.touches(fiji)
    assert not fiji.touches(bounding_box(Position(-17.8, 0), 100))
    assert not fiji.touches(bounding_box(Position(17.8, 179.9), 100))


def test_a_radius_of_half_the_earth_is_the_whole_earth() -> None:
    assert bounding_box(Position(48, 2), 20_100).bounding_box == (-90, 90, -180, 180)


@pytest.mark.parametrize("radius", [0, -1, math.nan, math.inf, "200", None, True, [200]])
def test_a_bad_radius_is_refused_in_words(radius: object) -> None:
    with pytest.raises(ValueError, match=r"^The radius is .*; give a number of kilometres above 0, such as 200\.$"):
        bounding_box(Position(48, 2), radius)  # type: ignore[arg-type]  # what a user may give


@pytest.mark.parametrize("position", [Position(91, 0), Position(0, 181), Position(math.nan, 0)])
def test_a_position_off_the_earth_is_refused(position: Position) -> None:
    with pytest.raises(ValueError, match="no place on Earth"):
        bounding_box(position, 10)


def test_an_area_upside_down_is_refused() -> None:
    with pytest.raises(ValueError, match="swap them"):
        Area(Position(2, 0), Position(1, 1))


def _walk(start: Position, bearing: float, km: float) -> tuple[float, float]:
    """Where one gets to on a sphere of the Earth's mean radius."""
    angle, course, lat = km / 6371.0088, math.radians(bearing), math.radians(start.lat)
    sine = math.sin(lat) * math.cos(angle) + math.cos(lat) * math.sin(angle) * math.cos(course)
    reached = math.asin(max(-1.0, min(1.0, sine)))
    turn = math.atan2(
        math.sin(course) * math.sin(angle) * math.cos(lat), math.cos(angle) - math.sin(lat) * math.sin(reached)
    )
    long = (start.long + math.degrees(turn) + 540) % 360 - 180
    return math.degrees(reached), long
