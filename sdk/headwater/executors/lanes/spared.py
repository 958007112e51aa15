"""What a run holds to its end is spared the garbage collector's look.

A full collection looks at every object there is. With 100,000 children that takes 80 ms, with a million 700, in which
nothing else happens in the event loop that is scheduler, client and engine. What lives to the end of the run anyway is
therefore frozen now and then, which takes no time; at the end all is as it was.
"""

from __future__ import annotations

import gc

# After so many task runs what there is now is frozen.
EVERY = 5_000


class Spared:
    """Counts task runs that have ended, and freezes."""

    def __init__(self) -> None:
        self._count = 0
        self._frozen = False

    def begin(self) -> None:
        """Freeze what was imported."""
        self._freeze()

    def one_more(self) -> None:
        self._count += 1
        if self._count >= EVERY:
            self._count = 0
            self._freeze()

    def _freeze(self) -> None:
        gc.collect(1)  # what is garbage already shall not be kept
        gc.freeze()
        self._frozen = True

    def end(self) -> None:
        if self._frozen:
            gc.unfreeze()
            self._frozen = False
