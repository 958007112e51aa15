"""Ask kstatus and Argo CD's own Lua engine, with the customizations as they are shipped."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "helm" / "argocd" / "argocd-cm.yaml"


def overrides() -> dict[str, dict[str, str]]:
    """What Argo CD makes of its ConfigMap: by group and kind."""
    found: dict[str, dict[str, str]] = {}
    for key, text in yaml.safe_load(SHIPPED.read_text())["data"].items():
        what, kind = key.removeprefix("resource.customizations.").split(".", 1)
        found.setdefault("/".join(kind.rsplit("_", 1)), {})[what] = text
    return found


def judge(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what is said of each object: kstatus, health, their messages, and actions with what they would do."""
    script = [ROOT / "scripts" / "go-program", "tests/gitops/judge"]
    program = subprocess.run(script, check=True, capture_output=True, text=True).stdout.strip()
    given = json.dumps({"overrides": overrides(), "objects": objects})
    done = subprocess.run([program], input=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    verdicts: list[dict[str, Any]] = json.loads(done.stdout)
    return verdicts
