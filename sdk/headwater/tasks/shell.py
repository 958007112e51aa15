"""Run shell commands."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headwater.core.errors import HeadwaterError
from headwater.core.task import Task
from headwater.tasks.attributes import defaults_from_attrs, needed
from headwater.tasks.process_group import Program, run_to_end

# What a failure quotes of the output.
LAST_LINES = 20
LINE_LENGTH = 500


class ShellError(HeadwaterError):
    """A command failed; *exit_code* is below zero when a signal killed it."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class ShellTask(Task):
    """Run a command, or a script of many lines, in a shell; return the last line that it prints.

    command        the command; it fails when its last part does, so begin with `set -euo pipefail` to fail earlier
    env            variables beside those of the environment
    helper_script  lines that come before the command, such as functions that it uses
    shell          the program that is given the script
    return_all     return the list of all lines instead; None stands for no line at all where the last one is returned
    log_stderr     log what it writes to stderr, as warnings
    stream_output  log all that it prints, as it comes; a logging level, or True for INFO
    cwd            the folder in which it runs

    Raises ShellError with the last lines of stderr when it fails. It reads nothing, and is over when the script and
    all that still writes to its output are over. An interrupted task run kills all that it started; what the script
    left in the background with its output redirected goes on otherwise.
    """

    def __init__(
        self,
        command: str | None = None,
        env: Mapping[str, str] | None = None,
        helper_script: str | None = None,
        shell: str = "bash",
        return_all: bool = False,
        log_stderr: bool = False,
        stream_output: bool | int | str = False,
        cwd: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.command = command
        self.env = env
        self.helper_script = helper_script
        self.shell = shell
        self.return_all = return_all
        self.log_stderr = log_stderr
        self.stream_output = stream_output
        self.cwd = cwd
        _level(self, stream_output)

    @defaults_from_attrs("command", "env", "helper_script", "cwd")
    def run(
        self,
        command: str | None = None,
        env: Mapping[str, str] | None = None,
        helper_script: str | None = None,
        cwd: str | os.PathLike[str] | None = None,
    ) -> str | list[str] | None:
        parts = {"helper_script": helper_script, "command": needed(command, self, "command")}
        for what, part in parts.items():
            if part is not None and not isinstance(part, str):
                raise TypeError(f'Task "{self.name}": {what} is a {type(part).__name__}; give a text.')
        script = "\n".join(part for part in parts.values() if part) + "\n"
        with tempfile.TemporaryDirectory(prefix="headwater-shell-") as folder:
            path = Path(folder, "script")
            path.write_text(script, encoding="utf-8")
            values = self._env(env)
            return self._run(Program([self._shell(values), str(path)], values, self._folder(cwd), Path(folder)))

    def _run(self, program: Program) -> str | list[str] | None:
        out = _Output(None if self.return_all else LAST_LINES, self.logger, _level(self, self.stream_output))
        warn = logging.WARNING if self.log_stderr else None
        errors = _Output(LAST_LINES, self.logger, _level(self, self.stream_output) if warn is None else warn)
        code = run_to_end(program, out.take, errors.take)
        if code != 0:
            raise ShellError(_failure(self.name, code, list(errors.lines) or list(out.lines)), code)
        if self.return_all:
            return list(out.lines)
        return out.lines[-1] if out.lines else None

    def _shell(self, env: Mapping[str, str]) -> str:
        found = shutil.which(self.shell, path=env.get("PATH"))
        if found is None:
            raise ValueError(f'Task "{self.name}": there is no shell "{self.shell}" here; install it or name another.')
        return found

    def _env(self, env: Mapping[str, str] | None) -> dict[str, str]:
        for name, value in (env or {}).items():
            if not isinstance(name, str) or not isinstance(value, str):
                raise TypeError(f'Task "{self.name}": env: {name!r} is a {type(value).__name__}; give it as a text.')
            if not name or "=" in name or "\0" in name + value:
                raise ValueError(f'Task "{self.name}": env: {name!r} cannot be set; leave out "=" and null bytes.')
        return {**os.environ, **(env or {})}

    def _folder(self, cwd: str | os.PathLike[str] | None) -> Path | None:
        if cwd is not None and not Path(cwd).is_dir():
            raise ValueError(f'Task "{self.name}": cwd "{cwd}" is no folder; make it before.')
        return None if cwd is None else Path(cwd)


class _Output:
    """Lines that a command writes: the last *limit* are kept, all without one, and logged if there is a *level*."""

    def __init__(self, limit: int | None, logger: logging.Logger, level: int | None) -> None:
        self.lines: deque[str] = deque(maxlen=limit)
        self._logger = logger
        self._level = level

    def take(self, line: str) -> None:
        self.lines.append(line)
        if self._level is not None:
            self._logger.log(self._level, "%s", line)


def _level(task: Task, given: bool | int | str) -> int | None:
    if given is True or given is False:
        return logging.INFO if given else None
    level = logging.getLevelNamesMapping().get(given) if isinstance(given, str) else given
    if level is None:
        raise ValueError(f'Task "{task.name}": stream_output is "{given}"; give True or a logging level, as "DEBUG".')
    return level


def _failure(name: str, code: int, lines: list[str]) -> str:
    how = f"exited with code {code}" if code > 0 else f"was killed by {_signal(-code)}"
    words = "\n".join(line[:LINE_LENGTH] for line in lines)
    return (
        f'Task "{name}": the command {how}. Its last lines:\n{words}' if lines else f'Task "{name}": the command {how}.'
    )


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"  # the real-time ones have no names


__all__ = ["ShellError", "ShellTask"]
