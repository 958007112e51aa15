"""A plan: what one reconciliation has decided to do. A value; `apply` carries it out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headwater_operator.events import Event
from headwater_operator.kinds import Kind, Manifest


@dataclass(frozen=True)
class Refusal:
    """Why a pod could not be made: a quota or policy for now, or, *permanent*, the pod as it is asked for."""

    message: str
    permanent: bool = False


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
