"""Airports and airlines, from the real package."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from aircraftlib import ReferenceData, fetch_reference_data


@pytest.fixture(scope="module")
def reference() -> ReferenceData:
    return fetch_reference_data()


def test_every_airport_of_the_package_is_there(reference: ReferenceData) -> None:
    assert len(reference.airports) > 28_000
    assert len({airport.icao for airport in reference.airports}) == len(reference.airports)


@pytest.mark.parametrize("code", ["CDG", "LFPG", "cdg", " CDG "])
def test_an_airport_is_found_by_either_code(reference: ReferenceData, code: str) -> None:
    airport = reference.airport(code)
    assert str(airport) == "CDG (Charles de Gaulle International Airport, Paris)"
    assert airport.position == pytest.approx((49.01, 2.55), abs=0.01)


@pytest.mark.parametrize(("code", "suggested"), [("CDX", "CDG (Paris, FR)"), ("paris", "ORY (Paris, FR)")])
def test_an_unknown_airport_is_refused_with_what_may_be_meant(
    reference: ReferenceData, code: str, suggested: str
) -> None:
    with pytest.raises(ValueError, match=f'There is no airport "{code}"; give an .* Did you mean .*') as error:
        reference.airport(code)
    assert suggested in str(error.value)


@pytest.mark.parametrize("code", ["", "ZZ", "no such place", None, 7, ["CDG"]])
def test_what_resembles_no_airport_is_refused_too(reference: ReferenceData, code: object) -> None:
    with pytest.raises(ValueError, match=r"give an IATA or ICAO code such as CDG or LFPG\.$"):
        reference.airport(code)  # type: ignore[arg-type]  # what a user may give


def test_an_area_says_what_it_is(reference: ReferenceData) -> None:
    area = reference.area_around("IAD", 200)
    assert str(area) == "200 km of IAD (Washington Dulles International Airport, US)"
    assert area.contains(38.85, -77.04)


def test_airlines_go_by_their_icao_designators(reference: ReferenceData) -> None:
    assert all(re.fullmatch("[A-Z]{3}", designator) for designator in reference.airlines)
    assert reference.airlines["AFR"] == "Air France"


def test_without_the_package_the_error_names_the_command(examples: Path) -> None:
    """A real interpreter that sees no installed package; importing the library needs none."""
    program = "import aircraftlib; aircraftlib.fetch_reference_data()"
    ran = subprocess.run(
        [sys.executable, "-S", "-c", program], cwd=examples / "aircraft", capture_output=True, text=True
    )
    assert ran.stderr.splitlines()[-1].endswith("is not installed: pip install airportsdata")
