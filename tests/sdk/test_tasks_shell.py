"""ShellTask: real scripts, what they print, and that nothing of an interrupted one is left."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from headwater import Flow
from headwater.states import Failed, TimedOut
from headwater.tasks.process_group import GUARD, Program, run_to_end
from headwater.tasks.shell import ShellError, ShellTask

LONG = "echo $$ > pids.new; sleep 1000 & echo $! >> pids.new; mv pids.new pids; wait"


def wait_until(what: str, is_so: object) -> None:
    deadline = time.monotonic() + 30
    while not is_so():  # type: ignore[operator]
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and waits to be reaped does not."""
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.strip() not in ("",) and not found.stdout.strip().startswith("Z")


def pids_in(folder: Path) -> list[int]:
    return [int(line) for line in (folder / "pids").read_text().split()]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where scripts are written, so that it can be seen that they are gone."""
    import tempfile

    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.parametrize(
    ("command", "last", "lines"),
    [
        ("echo a; echo 'b  '", "b  ", ["a", "b  "]),
        ("printf 'a\\r\\nb'", "b", ["a", "b"]),
        ("echo a; echo", "", ["a", ""]),
        ("true", None, []),
        ("printf '\\377\\n'", "\ufffd", ["\ufffd"]),
        ("cat", None, []),  # there is no input to wait for
    ],
)
def test_the_last_line_or_all_lines_are_returned(command: str, last: str | None, lines: list[str]) -> None:
    assert ShellTask(command).run() == last
    assert ShellTask(command, return_all=True).run() == lines


def test_a_script_has_its_helper_its_variables_and_its_folder(
    temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INHERITED", "yes")
    shell = ShellTask(
        helper_script="greet() {\n  echo hello $1 $INHERITED\n}", env={"WHO": "you"}, return_all=True, cwd=tmp_path
    )
    assert shell.run(command="greet $WHO; pwd") == ["hello you yes", str(tmp_path)]
    assert shell.run("greet $WHO", env={"WHO": "me"}) == ["hello me yes"]
    assert list(temporary.iterdir()) == []


def test_another_shell_runs_the_script() -> None:
    assert ShellTask("import sys\nprint(sys.version_info[0])", shell=sys.executable).run() == "3"
    assert ShellTask("echo ${BASH:-none}", shell="sh").run() != ""


def test_a_failure_says_the_exit_code_and_the_last_lines_of_stderr() -> None:
    with pytest.raises(ShellError) as caught:
        ShellTask("echo out; for i in $(seq 100); do echo line $i >&2; done; exit 3", name="build").run()
    lines = "\n".join(f"line {i}" for i in range(81, 101))
    assert str(caught.value) == f'Task "build": the command exited with code 3. Its last lines:\n{lines}'
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("command", "words", "code"),
    [
        ("echo why; exit 1", 'Task "t": the command exited with code 1. Its last lines:\nwhy', 1),
        ("kill -TERM $$", 'Task "t": the command was killed by SIGTERM.', -signal.SIGTERM),
        ("exec >&- 2>&-; exit 7", 'Task "t": the command exited with code 7.', 7),
    ],
)
def test_other_failures_in_words(command: str, words: str, code: int) -> None:
    with pytest.raises(ShellError) as caught:
        ShellTask(command, name="t").run()
    assert (str(caught.value), caught.value.exit_code) == (words, code)


def test_large_outputs_on_both_sides_do_not_block() -> None:
    command = "head -c 2000000 /dev/zero >&2; head -c 2000000 /dev/zero | tr '\\0' '\\n'; echo end"
    assert ShellTask(command).run() == "end"


def test_what_it_writes_is_logged_as_it_is_wanted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    def logged(**options: object) -> list[tuple[int, str]]:
        caplog.clear()
        ShellTask("echo out %s; echo err >&2", name="said", **options).run()  # type: ignore[arg-type]
        return sorted((r.levelno, r.message) for r in caplog.records if r.name == "headwater.said")

    assert logged() == []
    assert logged(stream_output=True) == [(logging.INFO, "err"), (logging.INFO, "out %s")]
    assert logged(stream_output="DEBUG", log_stderr=True) == [(logging.DEBUG, "out %s"), (logging.WARNING, "err")]
    assert logged(stream_output=logging.ERROR) == [(logging.ERROR, "err"), (logging.ERROR, "out %s")]


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: ShellTask().run(), ValueError, 'Task "ShellTask" has no command; give one to ShellTask(command=...)'),
        (lambda: ShellTask("true", shell="no-such-shell").run(), ValueError, 'no shell "no-such-shell" here'),
        (lambda: ShellTask("true", cwd="/no/such").run(), ValueError, 'cwd "/no/such" is no folder'),
        (lambda: ShellTask(5).run(), TypeError, "command is a int; give a text"),  # type: ignore[arg-type]
        (lambda: ShellTask("true", env={"A=B": ""}).run(), ValueError, "env: 'A=B' cannot be set"),
        (lambda: ShellTask("true", env={"A": "hunter2\0"}).run(), ValueError, "env: 'A' cannot be set"),
        (lambda: ShellTask("true", env={"A": 1}).run(), TypeError, "env: 'A' is a int"),
        (lambda: ShellTask("true", stream_output="LOUD"), ValueError, 'stream_output is "LOUD"'),
    ],
)
def test_bad_input_is_told(make: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        make()  # type: ignore[operator]
    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_only_what_is_there_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A number that was given back may be another process's by now."""
    killed: list[bool] = []
    real = os.killpg

    def killpg(pid: int, number: int) -> None:
        killed.append(Path(f"/proc/{pid}").exists())
        real(pid, number)

    def refuse(line: str) -> None:
        raise ValueError(line)

    monkeypatch.setattr(os, "killpg", killpg)
    with pytest.raises(ValueError, match="a"):
        run_to_end(
            Program(["sh", "-c", "echo a; exec sleep 1000"], os.environ, None, tmp_path / "none"), refuse, refuse
        )
    assert killed == [True]


class Interruption(BaseException):
    """Stands for whatever may be raised in a thread that waits."""


@pytest.fixture
def interrupted() -> Iterator[None]:
    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interruption

    before = signal.signal(signal.SIGUSR1, interrupt)
    yield
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("command", [LONG, f"trap '' TERM INT HUP; {LONG}"])
@pytest.mark.usefixtures("interrupted")
def test_nothing_of_an_interrupted_command_is_left(command: str, tmp_path: Path, temporary: Path) -> None:
    def interrupt_once_it_runs() -> None:
        wait_until("the command runs", (tmp_path / "pids").exists)
        os.kill(os.getpid(), signal.SIGUSR1)

    threading.Thread(target=interrupt_once_it_runs).start()
    with pytest.raises(Interruption):
        ShellTask(command, cwd=tmp_path).run()
    for pid in pids_in(tmp_path):
        wait_until(f"{pid} is gone", lambda pid=pid: not alive(pid))
    assert list(temporary.iterdir()) == []
    assert [thread.name for thread in threading.enumerate() if thread.name == "program"] == []


@pytest.mark.usefixtures("interrupted")
def test_what_left_its_group_keeps_nobody_waiting(tmp_path: Path) -> None:
    """It holds the pipes that are read, but belongs to a session of its own."""
    leave = f'{sys.executable} -c \'import os, time; os.setsid(); open("left", "w").write(str(os.getpid())); time.sleep(1000)\''

    def interrupt_once_it_runs() -> None:
        wait_until("it has left", lambda: (tmp_path / "left").exists() and (tmp_path / "left").read_text())
        os.kill(os.getpid(), signal.SIGUSR1)

    threading.Thread(target=interrupt_once_it_runs).start()
    with pytest.raises(Interruption):
        ShellTask(f"{leave} & wait", cwd=tmp_path).run()
    os.kill(int((tmp_path / "left").read_text()), signal.SIGKILL)


def test_nothing_is_left_when_the_whole_process_is_killed(tmp_path: Path) -> None:
    code = f"from headwater.tasks.shell import ShellTask; ShellTask({LONG!r}, cwd={str(tmp_path)!r}).run()"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    child = subprocess.Popen([sys.executable, "-c", code], env=environment)
    wait_until("the command runs", (tmp_path / "pids").exists)
    child.kill()
    child.wait()
    for pid in pids_in(tmp_path):
        wait_until(f"{pid} is gone", lambda pid=pid: not alive(pid))
    wait_until("the script is removed", lambda: not list(tmp_path.glob("headwater-shell-*")))


def test_what_goes_on_in_the_background_is_left_alone(tmp_path: Path) -> None:
    pid = ShellTask("sleep 1000 > /dev/null 2>&1 & echo $!", cwd=tmp_path).run()
    assert isinstance(pid, str)
    assert alive(int(pid))
    os.kill(int(pid), signal.SIGKILL)


def test_no_guard_outlives_its_command() -> None:
    ShellTask("true").run()
    children = subprocess.run(
        ["ps", "-o", "args=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=True
    )
    assert GUARD not in children.stdout


def test_a_flow_times_a_command_out(tmp_path: Path) -> None:
    with Flow("slow") as flow:
        late = ShellTask(LONG, cwd=tmp_path, timeout=0.5)()
        bad = ShellTask("exit 2")()
    state = flow.run()
    assert isinstance(state.result[late], TimedOut)
    assert type(state.result[bad]) is Failed
    assert state.result[bad].result.exit_code == 2
    for pid in pids_in(tmp_path):
        wait_until(f"{pid} is gone", lambda pid=pid: not alive(pid))
