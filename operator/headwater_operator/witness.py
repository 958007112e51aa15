"""Sees what this operator has written, and hands it on to those who tell of it."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from headwater_operator.cache import Cache
from headwater_operator.events import Event, changed, told
from headwater_operator.kinds import FLOW_VERSION, Kind, Manifest
from headwater_operator.metrics import Metrics
from headwater_operator.recorder import Recorder


class Witness:
    """Told by the `Applier`, after the fact. Nothing here waits or fails."""

    def __init__(self, recorder: Recorder, metrics: Metrics, cache: Cache) -> None:
        self._recorder = recorder
        self._metrics = metrics
        self._cache = cache

    def status_written(self, kind: Kind, before: Manifest, after: Manifest) -> None:
        if changed(kind, before, after):
            self._recorder.withdraw(after)
        namespace = after["metadata"]["namespace"]
        get = functools.partial(self._cache.get, FLOW_VERSION, namespace)
        self._recorder.tell(after, told(kind, before, after, get))
        self._metrics.status_written(kind, before, after)

    def created(self, manifest: Manifest) -> None:
        self._metrics.created(manifest)

    def happened(self, about: Manifest, events: Iterable[Event]) -> None:
        self._recorder.tell(about, events)
