"""`python -m headwater.executors.task_process`: the child of TaskProcess. It runs what its parent sends."""

from __future__ import annotations

import io
import logging
import os
import pickle
import sys
import threading
from typing import Any, BinaryIO

from headwater.executors.processes import HEADER


class Frames:
    """What goes to the parent; threads of the user's code may print at any time."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._lock = threading.Lock()

    def send(self, kind: str, content: Any) -> None:
        data = pickle.dumps((kind, content))
        with self._lock:
            self._out.write(HEADER.pack(len(data)) + data)
            self._out.flush()


class Printed(io.TextIOBase):
    """In the place of sys.stdout and sys.stderr."""

    def __init__(self, kind: str, frames: Frames) -> None:
        self._kind, self._frames = kind, frames

    def write(self, text: str) -> int:
        self._frames.send(self._kind, text)
        return len(text)


class Logged(logging.Handler):
    """Hands records on as text, for what they hold may not be picklable."""

    def __init__(self, frames: Frames) -> None:
        super().__init__()
        self._frames = frames

    def emit(self, record: logging.LogRecord) -> None:
        self._frames.send("log", (record.name, record.levelno, self.format(record)))


def main() -> None:
    # The pipes get numbers of their own, so that nothing that the user's code prints comes between the frames.
    requests = os.fdopen(os.dup(0), "rb")
    frames = Frames(os.fdopen(os.dup(1), "wb"))
    devnull = os.open(os.devnull, os.O_RDONLY)
    os.dup2(devnull, 0)
    os.dup2(2, 1)
    sys.stdout, sys.stderr = Printed("stdout", frames), Printed("stderr", frames)
    logging.basicConfig(handlers=[Logged(frames)], level=logging.INFO, format="%(message)s")
    while header := requests.read(HEADER.size):
        (length,) = HEADER.unpack(header)
        try:
            work = pickle.loads(requests.read(length))
            frames.send("begun", None)
            answer = work(frames.send)
        except BaseException as error:
            from headwater.executors.wire import pack_error

            answer = False, pack_error(error)
        frames.send("answer", answer)


if __name__ == "__main__":
    main()
