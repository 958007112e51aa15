"""Run other programs, and say what went wrong in words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent.parent
CACHE = Path(os.environ.get("HEADWATER_CACHE") or Path.home() / ".cache" / "headwater") / "images"


def output(*command: str, check: bool = True) -> str:
    try:
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError as error:
        fail(f"cannot run {command[0]}: {error.strerror}")
    if check and result.returncode:
        fail(f"{' '.join(command)} exited {result.returncode}: {result.stderr.strip()}")
    return result.stdout


def succeeds(*command: str, seconds: float = 20) -> bool:
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, timeout=seconds, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def logged(log: Path, *command: str) -> None:
    """Run a long command whose output matters only when it fails."""
    with log.open("w") as file:
        result = subprocess.run(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, check=False)
    if result.returncode:
        last = "\n".join(log.read_text().splitlines()[-15:])
        fail(f"{command[0]} exited {result.returncode}; whole log: {log}\n{last}")


def say(message: str) -> None:
    print(f"images: {message}", file=sys.stderr, flush=True)


def fail(message: str) -> NoReturn:
    say(message)
    sys.exit(1)
