"""What a mapped task run costs, for 10 to 1,000,000 of them that do nothing, and the engine's memory; with a picture.

    python bench/curve.py [--most 1000000] [--json bench/curve.json] [--svg docs/overhead.svg]
    python bench/curve.py --draw bench/curve.json [--svg docs/overhead.svg]

Each figure is of a process of its own, on this machine, with two workers of one thread:

    lanes         DaskExecutor(), from the start of the first task run to the end of the last
    local         LocalExecutor, the whole of flow.run()
    distributed   bare: Client.map and gather, to 100,000
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SIZES = [10**power for power in range(1, 7)]
BARE_MOST = 100_000
WAYS = {"distributed": "bare distributed", "local": "Headwater, LocalExecutor", "lanes": "Headwater, DaskExecutor"}
COLORS = {"distributed": "#d1801f", "local": "#4c8c4a", "lanes": "#2b6cb0"}


def increment(x: int) -> int:
    return x + 1


def measure(way: str, n: int) -> dict[str, Any]:
    logging.getLogger("headwater").addHandler(logging.NullHandler())
    seconds = in_distributed(n) if way == "distributed" else in_headwater(way, n)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    return {"way": way, "n": n, "seconds": round(seconds, 4), "ms_per_task": round(seconds / n * 1000, 5), "MiB": peak}


def in_distributed(n: int) -> float:
    from distributed import Client, LocalCluster

    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(**options, silence_logs=logging.ERROR) as cluster, Client(cluster) as client:
        client.gather(client.map(increment, range(20), pure=False))
        began = time.perf_counter()
        client.gather(client.map(increment, range(n), pure=False))
        return time.perf_counter() - began


def in_headwater(way: str, n: int) -> float:
    from headwater import Flow, task
    from headwater.executors import DaskExecutor, LocalExecutor
    from headwater.run import run_flow

    with Flow("curve") as flow:
        task(increment).map(list(range(n)))
    span: list[float] = []

    def observe(run: Any, event: Any) -> None:
        started = getattr(event, "started_at", None) or (event.at if type(event).__name__ == "TaskStarted" else None)
        if started is not None:
            span[:1] = [min([started, *span[:1]])]
        if run.finished_at is not None:
            span.append(time.time())

    cluster = {"n_workers": 2, "threads_per_worker": 1}
    executor: Any = DaskExecutor(cluster_kwargs=cluster) if way == "lanes" else LocalExecutor()
    began = time.perf_counter()
    state = run_flow(flow, {}, executor=executor, observe=observe if way == "lanes" else None)
    whole = time.perf_counter() - began
    assert state.is_successful(), state
    return span[-1] - span[0] if way == "lanes" else whole


# The picture

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 30, 60
STYLE = 'font-family="sans-serif" font-size="13" role="img" aria-label="Milliseconds per mapped task over their number"'


def draw(rows: list[dict[str, Any]]) -> str:
    """Return an SVG with a line per way: milliseconds per task over their number, both logarithmic."""
    import math

    highest = math.ceil(math.log10(max(row["ms_per_task"] for row in rows)))
    lowest = math.floor(math.log10(min(row["ms_per_task"] for row in rows)))
    first, last = math.log10(min(row["n"] for row in rows)), math.log10(max(row["n"] for row in rows))

    def x(n: float) -> float:
        return LEFT + (math.log10(n) - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def y(ms: float) -> float:
        return TOP + (highest - math.log10(ms)) / (highest - lowest) * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {STYLE}>',
        # Readable on light and on dark pages alike.
        "<style>text{fill:#777}.g{stroke:#999;stroke-opacity:.35}</style>",
    ]
    for power in range(lowest, highest + 1):
        at = y(10**power)
        parts.append(f'<line class="g" x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH - RIGHT}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{10**power:g}</text>')
    for power in range(round(first), round(last) + 1):
        at = x(10**power)
        parts.append(f'<line class="g" x1="{at:.1f}" y1="{TOP}" x2="{at:.1f}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{10**power:,}</text>')
    parts.append(f'<text x="{LEFT}" y="{TOP - 12}">ms per task run</text>')
    parts.append(
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 10}" text-anchor="end">mapped task runs that do nothing</text>'
    )
    for number, (way, label) in enumerate(WAYS.items()):
        mine = sorted((row["n"], row["ms_per_task"]) for row in rows if row["way"] == way)
        points = " ".join(f"{x(n):.1f},{y(ms):.1f}" for n, ms in mine)
        color = COLORS[way]
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2.5"/>')
        parts += [f'<circle cx="{x(n):.1f}" cy="{y(ms):.1f}" r="3.5" fill="{color}"/>' for n, ms in mine]
        at = WIDTH - RIGHT - 200, TOP + 14 + 20 * number
        parts.append(f'<rect x="{at[0]}" y="{at[1] - 9}" width="14" height="4" fill="{color}"/>')
        parts.append(f'<text x="{at[0] + 22}" y="{at[1] - 2}">{label}</text>')
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--most", type=int, default=SIZES[-1])
    parser.add_argument("--json", type=Path, default=Path("bench/curve.json"))
    parser.add_argument("--svg", type=Path, default=Path("docs/overhead.svg"))
    parser.add_argument("--draw", type=Path)
    parser.add_argument("--one", nargs=2, metavar=("WAY", "N"))
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one[0], int(options.one[1]))))
        return
    if options.draw is None:
        rows = []
        for n in [size for size in SIZES if size <= options.most]:
            for way in [way for way in WAYS if way != "distributed" or n <= BARE_MOST]:
                command = [sys.executable, __file__, "--one", way, str(n)]
                found = subprocess.run(command, check=True, capture_output=True, text=True)
                rows.append(json.loads(found.stdout.splitlines()[-1]))
                print(rows[-1], flush=True)
        options.json.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        rows = [json.loads(line) for line in options.draw.read_text().splitlines()]
    options.svg.write_text(draw(rows))


if __name__ == "__main__":
    main()
