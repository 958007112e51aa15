"""What is known beforehand: every airport, and the airlines behind the callsigns.

The airports come from the Python package airportsdata. The airlines are a table of our own:
the three letters with which a scheduled flight's callsign begins, and who they were given to.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from aircraftlib.position import Area, Position, bounding_box

# ICAO designators of airlines, by the names they went by when the recordings were made.
AIRLINES: Mapping[str, str] = {
    "AAL": "American Airlines",
    "ACA": "Air Canada",
    "AEA": "Air Europa",
    "AEE": "Aegean Airlines",
    "AFL": "Aeroflot",
    "AFR": "Air France",
    "AMX": "Aeromexico",
    "ANA": "All Nippon Airways",
    "AUA": "Austrian Airlines",
    "AZA": "Alitalia",
    "BAW": "British Airways",
    "BEL": "Brussels Airlines",
    "BTI": "airBaltic",
    "CCA": "Air China",
    "CCM": "Air Corsica",
    "CFG": "Condor",
    "CPA": "Cathay Pacific",
    "CSA": "Czech Airlines",
    "DAH": "Air Algerie",
    "DAL": "Delta Air Lines",
    "DLH": "Lufthansa",
    "EIN": "Aer Lingus",
    "EJU": "easyJet Europe",
    "ELY": "El Al",
    "ETD": "Etihad Airways",
    "ETH": "Ethiopian Airlines",
    "EWG": "Eurowings",
    "EXS": "Jet2",
    "EZY": "easyJet",
    "FDX": "FedEx Express",
    "FIN": "Finnair",
    "GMI": "Germania",
    "IBE": "Iberia",
    "ICE": "Icelandair",
    "JAF": "TUI fly Belgium",
    "JAL": "Japan Airlines",
    "KLM": "KLM",
    "LGL": "Luxair",
    "LOT": "LOT Polish Airlines",
    "MEA": "Middle East Airlines",
    "MSR": "EgyptAir",
    "NAX": "Norwegian Air Shuttle",
    "NJE": "NetJets Europe",
    "PGT": "Pegasus Airlines",
    "QTR": "Qatar Airways",
    "RAM": "Royal Air Maroc",
    "RJA": "Royal Jordanian",
    "ROT": "TAROM",
    "RYR": "Ryanair",
    "SAS": "SAS",
    "SIA": "Singapore Airlines",
    "SVA": "Saudia",
    "SWR": "Swiss",
    "TAP": "TAP Air Portugal",
    "TAR": "Tunisair",
    "TCX": "Thomas Cook Airlines",
    "THY": "Turkish Airlines",
    "TRA": "Transavia",
    "TVF": "Transavia France",
    "UAE": "Emirates",
    "UAL": "United Airlines",
    "VLG": "Vueling",
    "WZZ": "Wizz Air",
}

# Airports that a message about an unknown code names at most.
SUGGESTIONS = 8


class Airport(NamedTuple):
    """An airport by its four-letter ICAO code; the three-letter IATA code is empty where there is none."""

    icao: str
    iata: str
    name: str
    city: str
    country: str
    position: Position

    def __str__(self) -> str:
        place = self.city if self.city and self.city not in self.name else self.country
        return f"{self.iata or self.icao} ({self.name}, {place})"


@dataclass(frozen=True)
class ReferenceData:
    """The airports, and airlines' names by designator."""

    airports: tuple[Airport, ...]
    airlines: Mapping[str, str]

    def airport(self, code: str) -> Airport:
        """Return an airport by its IATA or ICAO code. Raises ValueError with codes that come close."""
        wanted = code.strip().upper() if isinstance(code, str) else ""
        if wanted:
            for airport in self.airports:
                if wanted in (airport.iata, airport.icao):
                    return airport
        raise ValueError(
            f'There is no airport "{code}"; give an IATA or ICAO code such as CDG or LFPG.{self._suggestions(wanted)}'
        )

    def area_around(self, airport: str, radius_km: float) -> Area:
        """Return the box around an airport. Raises ValueError for an unknown code or a bad radius."""
        found = self.airport(airport)
        return bounding_box(found.position, radius_km, label=f"{radius_km} km of {found}")

    def _suggestions(self, wanted: str) -> str:
        """Name the airports of a city of that name, else those whose code is spelt nearly so."""
        if not wanted:
            return ""
        close = [airport for airport in self.airports if airport.iata and wanted == airport.city.upper()]
        if not close:
            by_code = {code: a for a in self.airports for code in (a.iata, a.icao) if len(code) == len(wanted)}
            codes = difflib.get_close_matches(wanted, by_code, n=len(by_code) or 1)
            # People mistype a later letter rather than the first.
            codes.sort(key=lambda code: ([a != b for a, b in zip(code, wanted, strict=True)], code))
            close = [by_code[code] for code in codes]
        names = ", ".join(f"{a.iata or a.icao} ({a.city or a.name}, {a.country})" for a in close[:SUGGESTIONS])
        return f" Did you mean one of {names}?" if names else ""


def fetch_reference_data() -> ReferenceData:
    """Read every airport from the package airportsdata. Raises ModuleNotFoundError when it is not installed."""
    try:
        import airportsdata  # needed here only
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "The airports come from a package that is not installed: pip install airportsdata", name="airportsdata"
        ) from None
    rows = airportsdata.load("ICAO").values()
    airports = tuple(
        Airport(r["icao"], r["iata"], r["name"], r["city"], r["country"], Position(r["lat"], r["lon"])) for r in rows
    )
    return ReferenceData(airports, dict(AIRLINES))
