"""What a cron line says: whether it is valid, which times on the wall it names."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from croniter import CroniterBadDateError, croniter

from headwater.core.errors import FlowError

FIELDS = (
    ("minute", "0-59"),
    ("hour", "0-23"),
    ("day of month", "1-31, or L for the last"),
    ("month", "1-12 or jan-dec"),
    ("day of week", "0-7 or sun-sat, with both 0 and 7 for Sunday"),
)
NAMED = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")


def check_cron(cron: object, day_or: bool) -> str:
    """Return *cron*; FlowError tells which of its fields is wrong, or that no day is ever like that."""
    if not isinstance(cron, str):
        raise TypeError(f'cron is {cron!r}; give text with five fields, such as "0 9 * * 1-5".')
    cron = cron.strip()
    if cron.startswith("@"):
        if cron.lower() not in NAMED:
            raise FlowError(f'cron "{cron}" is not known; give one of {", ".join(NAMED)}, or five fields.')
        return cron
    _check_fields(cron)
    try:
        croniter(cron, datetime(2000, 1, 1), day_or=day_or).get_next(datetime)  # noqa: DTZ001  # a time on the wall
    except CroniterBadDateError:
        raise FlowError(f'cron "{cron}" names no day that exists; change its day of month or its month.') from None
    return cron


def is_every_hour(cron: str) -> bool:
    return croniter.expand(cron)[0][1] == ["*"]


def restricts_both_days(cron: str) -> bool:
    """Tell whether the line names days of the month and days of the week, so that `day_or` matters."""
    fields = croniter.expand(cron)[0]
    return fields[2] != ["*"] and fields[4] != ["*"]


def cron_walls(cron: str, day_or: bool, first: datetime) -> Iterator[datetime]:
    """Yield the times on the wall that *cron* names, from *first* on; ends where the calendar does."""
    times = croniter(cron, first - timedelta(minutes=1), day_or=day_or)
    while True:
        try:
            yield times.get_next(datetime)
        except (ValueError, OverflowError):
            return


def _check_fields(cron: str) -> None:
    fields = cron.split()
    if len(fields) != len(FIELDS):
        names = ", ".join(name for name, _ in FIELDS)
        more = "; it has no seconds and no years, use an IntervalClock for seconds" if len(fields) > len(FIELDS) else ""
        raise FlowError(f'cron "{cron}" has {len(fields)} fields, but a cron has five ({names}){more}.')
    for at, (field, (name, allowed)) in enumerate(zip(fields, FIELDS, strict=True)):
        alone = ["*"] * len(FIELDS)
        alone[at] = field
        # The library takes "r" for a random number, another one each time that it is asked.
        if field.lower().startswith("r") or not croniter.is_valid(" ".join(alone)):
            raise FlowError(f'cron "{cron}": {name} "{field}" is not valid; give {allowed}, *, a list, range or step.')
    if not croniter.is_valid(cron):
        raise FlowError(f'cron "{cron}" is not valid, though each of its fields is; write it in another way.')
