"""Run a program in a process group of its own, of which nothing is left when it is interrupted.

A thread starts the program and reads what it writes; the thread that called waits. Signals, and what they raise, reach
only the one that waits, so that a program is never started and forgotten. Should this whole process be killed, a guard
notices, a tiny shell that waits for the end of a pipe, and kills the group.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path

# How soon an interruption is noticed when something that left the group still holds a pipe.
LOOK_SECONDS = 0.2
CHUNK = 1 << 16
# No process has this long to end after SIGKILL, unless the kernel does not let it go.
KILLED_SECONDS = 10.0

GUARD = 'read _; kill -s KILL -- "-$0"; rm -rf -- "$1"'


@dataclass(frozen=True)
class Program:
    """What is run. *folder* is removed with it, should this process be killed."""

    command: Sequence[str]
    env: Mapping[str, str]
    cwd: Path | None
    folder: Path


def run_to_end(program: Program, on_stdout: Callable[[str], None], on_stderr: Callable[[str], None]) -> int:
    """Run a program, hand over each line that it writes, and return its exit code: -9 when it was killed by SIGKILL.

    Ends when the program and all that writes to its output have ended. Lines are told in a thread beside this one.
    Any exception that is raised in this thread meanwhile kills the program with its whole process group.
    """
    group = _Group(program, on_stdout, on_stderr)
    thread = threading.Thread(target=copy_context().run, args=(group.run,), name="program", daemon=True)
    try:
        thread.start()
        # With a pause, as an exception that another thread sends here waits until this one runs Python.
        while not group.done.wait(LOOK_SECONDS):
            pass
    finally:
        group.stop()
        if thread.is_alive():
            group.done.wait(KILLED_SECONDS)
    return group.exit_code()


class _Group:
    def __init__(self, program: Program, on_stdout: Callable[[str], None], on_stderr: Callable[[str], None]) -> None:
        self.done = threading.Event()
        self._program = program
        self._tell = on_stdout, on_stderr
        self._lock = threading.Lock()
        self._pid: int | None = None  # of the leader, while it is not reaped: only then is the number surely its own
        self._stopped = False
        self._code: int | None = None
        self._error: BaseException | None = None

    def stop(self) -> None:
        """Kill all that is there, and whatever would still be started."""
        with self._lock:
            self._stopped = True
            self._kill()

    def _kill(self) -> None:
        if self._pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, signal.SIGKILL)

    def exit_code(self) -> int:
        if self._error is not None:
            raise self._error
        assert self._code is not None, "it has ended"
        return self._code

    def run(self) -> None:
        try:
            if not self._stopped:
                self._code = self._supervise()
        except BaseException as error:
            self._error = error
        finally:
            self.done.set()

    def _supervise(self) -> int:
        # Without input: nobody is there to type, and a question would wait for ever.
        process = subprocess.Popen(
            self._program.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._program.env,
            cwd=self._program.cwd,
            start_new_session=True,
        )
        with self._lock:
            self._pid = process.pid
            if self._stopped:
                self._kill()
        with process:
            try:
                with _guarded(process.pid, self._program.folder):
                    self._read(process)
                    return self._reap(process)
            except BaseException:
                self.stop()
                self._reap(process)  # with its number forgotten, which may become another's
                raise

    def _reap(self, process: subprocess.Popen[bytes]) -> int:
        pause = 0.001
        while True:
            # A process is reaped with the lock held, so that stop() never kills another's group by this number.
            with self._lock:
                code = process.poll()
                if code is not None:
                    self._pid = None
                    return code
            time.sleep(pause)
            pause = min(2 * pause, LOOK_SECONDS)

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None, "it was asked for"
        assert process.stderr is not None, "it was asked for"
        with selectors.DefaultSelector() as selector:
            for pipe, tell in zip((process.stdout, process.stderr), self._tell, strict=True):
                selector.register(pipe, selectors.EVENT_READ, _Lines(tell))
            while selector.get_map() and not self._stopped:
                for key, _ in selector.select(LOOK_SECONDS):
                    data = os.read(key.fd, CHUNK)
                    key.data.take(data)
                    if not data:
                        selector.unregister(key.fileobj)


class _Lines:
    """Tells of each line; of the last one too when no newline ends it."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._rest: list[bytes] = []

    def take(self, data: bytes) -> None:
        """Take what was read, b"" at the end."""
        *whole, rest = data.split(b"\n")
        for line in whole:
            self._say(b"".join([*self._rest, line]))
            self._rest = []
        if rest:
            self._rest.append(rest)
        elif not data and self._rest:
            self._say(b"".join(self._rest))

    def _say(self, line: bytes) -> None:
        self._tell(line.removesuffix(b"\r").decode(errors="replace"))


@contextlib.contextmanager
def _guarded(pid: int, folder: Path) -> Iterator[None]:
    """Have the group killed, and its folder removed, should this process end within the block without leaving it."""
    guard = subprocess.Popen(
        ["/bin/sh", "-c", GUARD, str(pid), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        guard.kill()
        guard.communicate()
