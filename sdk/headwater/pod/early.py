"""The signal to stop, from the first moment on. Imported before what takes long to import.

As process 1 of a container nothing stops by itself: a pod that is taken away while it starts would go on to run
its flow until it is killed. `process.begin` takes over.
"""

from __future__ import annotations

import os
import signal

if os.getpid() == 1:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
