"""Records on their way from the lanes to the engine: one connection per lane, of its own.

A lane writes each record before it goes on, from its own thread. What is written arrives even if the process is killed
a moment later, so that after a loss the engine knows which task runs were begun and which have ended. Dask's own
streams leave that open, as they gather messages in memory.

A frame is a length and a pickled list of records. The first one of a connection is the session's token and the worker's
address; no pickle is read before that has been checked.
"""

from __future__ import annotations

import asyncio
import hmac
import pickle
import secrets
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from headwater.executors.lanes.batch import Record

HEADER = struct.Struct("!I")
TOKEN_BYTES = 32
FIRST_BYTES = 4096
CONNECT_SECONDS = 10.0

# So long records are handed on before others have the loop, so many frames between two looks at the clock.
TURN_SECONDS = 0.005
FRAMES_AT_A_TIME = 50

# More reads than this in a window are many.
WINDOW_SECONDS = 0.005
MANY_READS = 10
REST_SECONDS = 0.002

# Called with a worker's address and how many more of its lanes are connected now: 1 or -1.
OnConnections = Callable[[str, int], None]
OnRecords = Callable[[str, list[Record]], None]


@dataclass(frozen=True)
class Meeting:
    """Where lanes connect to, on the host of their scheduler, and by which token."""

    port: int
    token: bytes


def host_of(address: str) -> str:
    """Return the host of a scheduler, as one of its workers reaches it."""
    place = urlsplit(address)
    return "127.0.0.1" if place.scheme == "inproc" else str(place.hostname)


class RecordServer:
    """The engine's end. *on_connections* and *on_records* are called in the event loop."""

    def __init__(self, on_connections: OnConnections, on_records: OnRecords) -> None:
        self.on_connections = on_connections
        self.on_records = on_records
        self.token = secrets.token_bytes(TOKEN_BYTES)
        self.connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int, context: ssl.SSLContext | None) -> Meeting:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), host, port, ssl=context)
        return Meeting(self._server.sockets[0].getsockname()[1], self.token)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.close()


class _Connection(asyncio.Protocol):
    """A lane, as it writes.

    Who reads each record at once costs the lane a switch of processes for each. A lane that writes much is therefore
    read every REST_SECONDS only; the kernel keeps what it writes meanwhile.
    """

    def __init__(self, server: RecordServer) -> None:
        self._server = server
        self._worker: str | None = None
        self._rest = b""
        self._window = 0.0
        self._reads = 0
        self._frames: deque[bytes] = deque()
        self._lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport), "a stream is read"
        self._transport = transport
        self._server.connections.add(self)
        self._impatience = asyncio.get_running_loop().call_later(CONNECT_SECONDS, self._give_up)

    def _give_up(self) -> None:
        if self._worker is None:
            self.close()

    def close(self) -> None:
        self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._impatience.cancel()
        self._server.connections.discard(self)
        self._lost = True
        self._tell_lost()

    def _tell_lost(self) -> None:
        """Say so once all that came was handed on."""
        if self._lost and self._worker is not None and not self._frames:
            self._server.on_connections(self._worker, -1)
            self._lost = False

    def data_received(self, data: bytes) -> None:
        frames, self._rest = _whole_frames(self._rest + data)
        if self._worker is None:
            if not frames and len(self._rest) <= FIRST_BYTES:
                return
            if not frames or not hmac.compare_digest(frames[0][:TOKEN_BYTES], self._server.token):
                self.close()
                return
            self._worker = frames.pop(0)[TOKEN_BYTES:].decode()
            self._server.on_connections(self._worker, 1)
        self._frames.extend(frames)
        self._hand_on()

    def _hand_on(self) -> None:
        """Hand records on, and leave the loop to others after TURN_SECONDS."""
        assert self._worker is not None, "who writes has said who it is"
        end = time.monotonic() + TURN_SECONDS
        while self._frames:
            if time.monotonic() > end:
                self._transport.pause_reading()
                asyncio.get_running_loop().call_soon(self._hand_on)
                return
            few = [self._frames.popleft() for _ in range(min(len(self._frames), FRAMES_AT_A_TIME))]
            self._server.on_records(self._worker, [record for frame in few for record in pickle.loads(frame)])
        self._tell_lost()
        self._pace()

    def _pace(self) -> None:
        now = time.monotonic()
        if now - self._window > WINDOW_SECONDS:
            # One that wrote much a moment ago is still at it.
            self._reads = MANY_READS if self._reads > MANY_READS and now - self._window < 4 * WINDOW_SECONDS else 0
            self._window = now
        self._reads += 1
        if self._reads > MANY_READS:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(REST_SECONDS, self._go_on)
        else:
            self._transport.resume_reading()

    def _go_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()


def _whole_frames(data: bytes) -> tuple[list[bytes], bytes]:
    """Part what was read into whole frames and the beginning of the next."""
    frames, at = [], 0
    while at + HEADER.size <= len(data):
        (length,) = HEADER.unpack_from(data, at)
        end = at + HEADER.size + length
        if end > len(data):
            break
        frames.append(data[at + HEADER.size : end])
        at = end
    return frames, data[at:]


class RecordSender:
    """A lane's end. Records that may wait go out together with the next that may not."""

    def __init__(self, meeting: Meeting, worker: Any) -> None:
        plain = socket.create_connection((host_of(worker.scheduler.address), meeting.port), CONNECT_SECONDS)
        plain.settimeout(None)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = worker.security.get_connection_args("worker").get("ssl_context")
        self._socket = context.wrap_socket(plain) if context is not None else plain
        self._waiting: list[Record] = []
        self._send(meeting.token + worker.address.encode())

    def later(self, record: Record) -> None:
        self._waiting.append(record)

    def now(self, record: Record) -> None:
        """Raises OSError when nobody reads any more."""
        self._waiting.append(record)
        data = pickle.dumps(self._waiting, protocol=5)
        self._waiting.clear()
        self._send(data)

    def _send(self, data: bytes) -> None:
        self._socket.sendall(HEADER.pack(len(data)) + data)

    def close(self) -> None:
        self._socket.close()
