"""A plan: what one reconciliation has decided to do. A value; `apply` carries it out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from headwater_operator.events import Event
from headwater_operator.kinds import POD, Kind, Manifest

# After a refusal the API server is asked again so much later: less than a time of a schedule may be late.
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 40.0

# A refusal's last words, which do not hold for what has ended.
AGAIN = "; it is tried again"


@dataclass(frozen=True)
class Refusal:
    """Why an object could not be made: a quota or policy for now, or, *permanent*, it is wrong as it is asked for.

    It is not asked for again before *until*. *kind* and *name* are the object's, *how* says what has become of it.
    """

    message: str
    permanent: bool = False
    pause_seconds: float = FIRST_PAUSE_SECONDS
    until: datetime | None = None
    kind: str = POD.name
    name: str = ""
    how: str = "refused"

    def words(self, pods: str) -> str:
        """Tell what is refused, where it is a pod by *pods*, in the API server's words, and that it is tried again."""
        what = pods if self.kind == POD.name else f"{self.kind} {self.name} is"
        return f"{what} {self.how}: {self.message}{'' if self.permanent else AGAIN}"

    @property
    def reason(self) -> str:
        """The same in a word: PodRefused, VersionRefused, PodNotMade."""
        return self.kind.removeprefix("Flow") + "".join(word.capitalize() for word in self.how.split())

    def is_about(self, wanted: Iterable[Manifest]) -> bool:
        """Whether one of these would be refused as well."""
        return any(manifest["kind"] == self.kind for manifest in wanted)

    def put_off(self, known: Refusal | None, now: datetime) -> Refusal:
        """Return this refusal with the time to ask again: later than after the one before it."""
        pause = FIRST_PAUSE_SECONDS if known is None else min(2 * known.pause_seconds, LONGEST_PAUSE_SECONDS)
        return replace(self, pause_seconds=pause, until=now + timedelta(seconds=pause))

    def is_over(self, now: datetime) -> bool:
        return self.until is None or now >= self.until

    def since(self, now: datetime) -> datetime:
        """When it was said."""
        return now if self.until is None else self.until - timedelta(seconds=self.pause_seconds)

    def again_seconds(self, now: datetime) -> float:
        """How long until it is worth another look."""
        return self.pause_seconds if self.until is None or now >= self.until else (self.until - now).total_seconds()


@dataclass(frozen=True)
class Delete:
    """Delete one object by name, or with a selector all of the kind that carry these labels.

    With a *uid*, that very object and none that has its name by now.
    """

    kind: Kind
    name: str | None = None
    selector: str | None = None
    uid: str | None = None


@dataclass(frozen=True)
class Patch:
    """Write these fields of the status of another object, as it was last seen."""

    kind: Kind
    manifest: Manifest
    status: dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """*create* is made at once, in no order; *status* holds the operator's fields as they should be, or None to
    leave them; *patches* are for others; *delete* comes last. *again_seconds* asks for another look, whatever happens
    until then. *events* are told of the object once the rest is done; changes of its status tell themselves."""

    create: tuple[Manifest, ...] = ()
    status: dict[str, Any] | None = None
    delete: tuple[Delete, ...] = ()
    patches: tuple[Patch, ...] = ()
    again_seconds: float | None = None
    events: tuple[Event, ...] = ()

    @property
    def idle(self) -> bool:
        """Whether there is nothing to make or delete."""
        return not self.create and not self.delete
