"""What batches use of distributed is in part undocumented: here they run on the oldest version that is supported, too.

The version of constraints.txt runs all other tests. A version that lacks a part is noticed when a run begins, which
then goes without batches (`lanes.own.missing_parts`).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("HEADWATER_CACHE", Path.home() / ".cache" / "headwater"))
TOOLS = ["pytest", "pytest-timeout", "hypothesis"]

# Of test_lanes: everything that needs real workers, but for a second seed of the same and what takes longest.
CHOSEN = "(lanes or batches or travel or dask or foreign or workers) and not 2- and not waits_behind"


def oldest() -> str:
    """Return the oldest version that pyproject.toml lets in."""
    found = re.search(r'"distributed>=([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert found is not None, "pyproject.toml has a lower bound for distributed"
    return found[1] if found[1].count(".") == 2 else f"{found[1]}.0"


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of an environment with that version, made once for what it is made from."""
    constraints = [
        line
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if not line.startswith(("dask", "distributed"))
    ]
    wanted = "\n".join([oldest(), sys.version, *TOOLS, *constraints, (ROOT / "pyproject.toml").read_text()])
    home = CACHE / "distributed" / f"{oldest()}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    interpreter = home / "bin" / "python"
    if not (home / "made").exists():
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        (home / "constraints.txt").write_text("\n".join(constraints))
        run(sys.executable, "-m", "venv", "--without-pip", str(home))
        uv = [str(Path(sys.executable).parent / "uv"), "pip", "install", "--quiet", "--python", str(interpreter)]
        run(*uv, "-c", str(home / "constraints.txt"), "-r", str(ROOT / "pyproject.toml"), "--extra", "dask", *TOOLS)
        run(*uv, "-c", str(home / "constraints.txt"), f"distributed=={oldest()}")
        (home / "made").touch()
    return interpreter


def run(*command: str) -> str:
    env = {**os.environ, "PYTHONPATH": str(ROOT / "sdk"), "UV_CACHE_DIR": str(CACHE / "uv")}
    found = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert found.returncode == 0, f"{' '.join(command)}:\n{found.stdout[-4000:]}\n{found.stderr[-2000:]}"
    return found.stdout


def test_batches_run_on_the_oldest_distributed(python: Path) -> None:
    assert run(str(python), "-c", "import distributed; print(distributed.__version__)").strip() == oldest()
    said = run(str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/sdk/test_lanes.py", "-k", CHOSEN)
    assert int(re.findall(r"(\d+) passed", said)[0]) >= 15
