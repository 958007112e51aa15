"""What every process in a flow's pod does alike: logs, the signal to stop, its last word to the kubelet."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from headwater.core.errors import HeadwaterError
from headwater.executors.failures import words_of
from headwater.resources.names import SOURCE_FOLDER

LOG_FORMAT = "[%(asctime)s] %(levelname)s - %(name)s | %(message)s"

# The kubelet reads at most 4,096 bytes of it.
TERMINATION_LOG = Path("/dev/termination-log")
TERMINATION_BYTES = 4000
SENTENCE_LENGTH = 300

PACKAGE = str(Path(__file__).parents[1]) + os.sep


def begin() -> None:
    """Log to standard error, and stop at once when told to: as process 1 it would not by itself."""
    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "warning")  # read when Dask is imported
    # Where a flow has a result store, results are kept in it: a pod's memory goes with the pod.
    os.environ.setdefault("HEADWATER_CHECKPOINTING", "true")
    logging.basicConfig(level=logging.WARNING, format=LOG_FORMAT, stream=sys.stderr, force=True)
    logging.getLogger("headwater").setLevel(os.environ.get("HEADWATER_LOG_LEVEL", "INFO"))
    signal.signal(signal.SIGTERM, _stop)


def _stop(signum: int, frame: object) -> None:
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    # Not sys.exit: threads of the user's may never end.
    os._exit(128 + signum)


def end(code: int) -> None:
    """Exit now, whatever threads the user's code has left behind."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def leave_word(word: dict[str, Any]) -> None:
    """Leave a last word where the kubelet puts it into the pod's status; the operator reads it there."""
    text = json.dumps(word)
    while len(text.encode()) > TERMINATION_BYTES:
        word = {**word, "message": str(word.get("message", ""))[: len(str(word.get("message", ""))) // 2]}
        text = json.dumps(word)
    with contextlib.suppress(OSError):
        TERMINATION_LOG.write_text(text)


def source_folders() -> tuple[str, ...]:
    """Where a flow's files may lie: the Flow's own source.files first."""
    return (SOURCE_FOLDER,) if Path(SOURCE_FOLDER).is_dir() else ()


def explain(error: BaseException, frames: int = 3) -> tuple[str, str]:
    """Return an error as one sentence, and the last frames of its traceback.

    Where only code of ours was at work, the frames would tell nobody anything: the words are enough.
    """
    message = words_of(error).strip().splitlines()
    sentence = f"{type(error).__name__}: {message[0][:SENTENCE_LENGTH]}" if message else type(error).__name__
    if isinstance(error, HeadwaterError) and _is_ours(error):
        return sentence, ""
    return sentence, "".join(traceback.format_exception(error, limit=-frames, chain=False)).rstrip()


def _is_ours(error: BaseException) -> bool:
    return all(frame.filename.startswith(PACKAGE) for frame in traceback.extract_tb(error.__traceback__))
