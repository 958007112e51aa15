"""Places on the Earth and the boxes around them, in degrees on the WGS-84 ellipsoid."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

# WGS-84: the radius at the equator in kilometres, and the square of the first eccentricity.
EQUATOR_KM = 6378.137
ECCENTRICITY_SQUARED = 6.69437999014e-3


class Position(NamedTuple):
    """Degrees: latitude -90 to 90, north positive; longitude -180 to 180, east positive."""

    lat: float
    long: float


@dataclass(frozen=True)
class Area:
    """The box from a south-western to a north-eastern corner.

    Its western edge may lie east of its eastern one: then it runs across the antimeridian.
    The label says in messages what the box is, such as "200 km of CDG".
    """

    southwest: Position
    northeast: Position
    label: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        for corner in (self.southwest, self.northeast):
            _check(corner)
        if self.southwest.lat > self.northeast.lat:
            raise ValueError(
                f"The south edge {self.southwest.lat} lies north of the north edge {self.northeast.lat}; swap them."
            )

    @property
    def bounding_box(self) -> tuple[float, float, float, float]:
        """The edges: lat_min, lat_max, lon_min, lon_max; lon_min is the larger one across the antimeridian."""
        return self.southwest.lat, self.northeast.lat, self.southwest.long, self.northeast.long

    @property
    def parts(self) -> tuple[Area, ...]:
        """The same area as one box, or as the two that lie on either side of the antimeridian."""
        south, north, west, east = self.bounding_box
        if west <= east:
            return (self,)
        return (
            Area(self.southwest, Position(north, 180.0), self.label),
            Area(Position(south, -180.0), self.northeast, self.label),
        )

    def contains(self, lat: float, long: float) -> bool:
        """Tell whether a position lies inside, edges included."""
        south, north, west, east = self.bounding_box
        if not south <= lat <= north:
            return False
        return west <= long <= east if west <= east else long >= west or long <= east

    def touches(self, other: Area) -> bool:
        """Tell whether two areas have a position in common."""
        return any(_overlap(mine, theirs) for mine in self.parts for theirs in other.parts)

    def __str__(self) -> str:
        south, north, west, east = self.bounding_box
        return self.label or f"latitude {south:.2f} to {north:.2f}, longitude {west:.2f} to {east:.2f}"


def bounding_box(position: Position, radius_km: float, label: str = "") -> Area:
    """Return the box around everything within *radius_km* of a position, true to about 0.1 % up to 1000 km.

    Around a pole it takes in every longitude. Raises ValueError when the radius is not a number above 0.
    """
    _check(position)
    radius = _radius(radius_km)
    north_south_km, east_west_km = _curvature(position.lat)
    reach = math.degrees(radius / north_south_km)
    south, north = position.lat - reach, position.lat + reach
    if south <= -90 or north >= 90:
        return Area(Position(max(south, -90.0), -180.0), Position(min(north, 90.0), 180.0), label)
    # Where a meridian touches the circle; further out than at the centre's own latitude.
    spread = math.degrees(math.asin(math.sin(radius / east_west_km) / math.cos(math.radians(position.lat))))
    return Area(Position(south, _wrap(position.long - spread)), Position(north, _wrap(position.long + spread)), label)


def _curvature(lat: float) -> tuple[float, float]:
    """The radii in kilometres by which the ellipsoid curves at a latitude: north-south, east-west."""
    flattening = 1 - ECCENTRICITY_SQUARED * math.sin(math.radians(lat)) ** 2
    east_west_km = EQUATOR_KM / math.sqrt(flattening)
    return east_west_km * (1 - ECCENTRICITY_SQUARED) / flattening, east_west_km


def _radius(value: object) -> float:
    # True is an int in Python, but nobody means one kilometre by it.
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise ValueError(f"The radius is {value!r}; give a number of kilometres above 0, such as 200.")
    return float(value)


def _check(position: Position) -> None:
    if not (-90 <= position.lat <= 90 and -180 <= position.long <= 180):
        raise ValueError(
            f"Latitude {position.lat}, longitude {position.long} is no place on Earth; "
            "latitudes go from -90 to 90, longitudes from -180 to 180."
        )


def _wrap(long: float) -> float:
    return (long + 180) % 360 - 180


def _overlap(a: Area, b: Area) -> bool:
    south, north, west, east = a.bounding_box
    other_south, other_north, other_west, other_east = b.bounding_box
    return south <= other_north and other_south <= north and west <= other_east and other_west <= east
