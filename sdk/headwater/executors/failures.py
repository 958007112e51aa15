"""Failures in words: what an exception says, bounded, with the user's own code first."""

from __future__ import annotations

import traceback
from collections.abc import Collection

# What a failure's message and traceback may hold; both travel, and are logged.
MESSAGE_LENGTH = 20_000


def traceback_of(error: BaseException, own_files: Collection[str] = ()) -> str:
    """Return a traceback that begins below the frames of *own_files*."""
    frames = error.__traceback__
    while frames is not None and frames.tb_next is not None and frames.tb_frame.f_code.co_filename in own_files:
        frames = frames.tb_next
    return shorten("".join(traceback.format_exception(type(error), error, frames)).rstrip())


def summary_of(error: BaseException) -> str:
    """Return one line: `ValueError: no such airport`."""
    lines = words_of(error).strip().splitlines()
    return shorten(f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__)


def words_of(error: BaseException) -> str:
    """Return what an exception says; one that cannot say it is described."""
    try:
        return str(error)
    except Exception as broken:
        return f"(its message cannot be read: {type(broken).__name__})"


def shorten(text: str, length: int = MESSAGE_LENGTH) -> str:
    """Keep the beginning and the end, which says most in a traceback."""
    if len(text) <= length:
        return text
    return f"{text[: length // 2]}\n... {len(text) - length} characters left out ...\n{text[-length // 2 :]}"
