"""Run the peers in turn and sum up; run.sh says how it is used.  Standard library only."""

import collections
import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from common import SIZE, WORKLOADS

HERE = os.path.dirname(os.path.abspath(__file__))
PEERS_DIR = os.environ.get("PEERS_DIR") or os.path.expanduser("~/.cache/headwater/peers")


def setting(name, default):
    return type(default)(os.environ.get(name) or default)


def read_conf(path):
    base = os.path.dirname(os.path.abspath(path))
    with open(path) as f:
        for line in f:
            field = line.split("#")[0].split()
            if field:
                label, env, script, config = field
                if env == "own":
                    env = sys.prefix
                else:
                    env = os.path.join(base, env) if os.sep in env else os.path.join(PEERS_DIR, env)
                yield label, env, os.path.join(base, script), config


def calibrate():
    """Milliseconds for a fixed piece of Python, best of 3: how fast the machine is now."""
    best = 1e9
    for _ in range(3):
        t = time.perf_counter()
        sum(i * i for i in range(200_000))
        best = min(best, time.perf_counter() - t)
    return round(best * 1e3, 2)


def below(root):
    """The processes below root, root not included."""
    parent = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as f:
            parent[int(pid)] = int(f.read().rpartition(")")[2].split()[1])
    found = {root}
    while True:
        more = {p for p, up in parent.items() if up in found} - found
        if not more:
            return found - {root}
        found |= more


def reap():
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def clear():
    """End what a peer left running.  Orphans come to us (see main), so all of it,
    and nothing else, is below us."""
    for sig, patience in ((signal.SIGTERM, 10), (signal.SIGKILL, 5)):
        for pid in below(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sig)
        end = time.monotonic() + patience
        while time.monotonic() < end:
            reap()
            if not below(os.getpid()):
                return
            time.sleep(0.1)


def run_peer(label, env, script, config, workloads, rnd, tmp, emit):
    """One peer, one round.  Returns whether every workload gave a figure."""
    timeout, reps, budget = setting("TIMEOUT", 600.0), setting("REPS", 3), setting("BUDGET", 15.0)
    more = dict(round=rnd, calib_ms=calibrate(), load1=round(os.getloadavg()[0], 2))
    log = os.path.join(tmp, f"{label}-{rnd}.log")
    argv = [
        os.path.join(env, "bin", "python"),
        script,
        config,
        *workloads,
        "--label",
        label,
        "--log",
        log,
        "--timeout",
        str(timeout),
        "--reps",
        str(reps),
        "--budget",
        str(budget),
    ]
    left, ok = set(workloads), True
    noise = collections.deque(maxlen=5)
    with tempfile.TemporaryDirectory(prefix="home-", dir=tmp, ignore_cleanup_errors=True) as home:
        clean = {
            k: v
            for k, v in os.environ.items()
            if not re.match(r"(PYTHON|PREFECT|AIRFLOW|DAGSTER|DASK|VIRTUAL_ENV|BENCH_)", k)
        }
        clean.update(
            HOME=home,
            TMPDIR=home,
            DO_NOT_TRACK="1",
            PYTHONDONTWRITEBYTECODE="1",
            NO_PROXY="127.0.0.1,localhost",
            no_proxy="127.0.0.1,localhost",
        )
        if os.path.dirname(script) != HERE:
            clean["PYTHONPATH"] = HERE  # so that it finds common
        try:
            p = subprocess.Popen(
                argv,
                env=clean,
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        except OSError as e:
            for w in workloads:
                emit({"peer": label, "workload": w, "error": str(e), **more})
            return False
        threading.Thread(target=lambda: noise.extend(p.stderr), daemon=True).start()
        # The script bounds every measurement itself; this is for one that hangs.
        guard = threading.Timer(timeout * (1 + len(workloads) * (reps + 1)) + 60, p.kill)
        guard.daemon = True
        guard.start()
        try:
            for line in p.stdout:
                try:
                    got = json.loads(line)
                except ValueError:
                    continue
                left.discard(got.get("workload"))
                ok = ok and "error" not in got
                emit({**got, **more})
            p.wait()
        finally:
            guard.cancel()
            clear()
    for w in workloads:
        if w in left:
            ok = False
            why = " ".join(noise).strip()[-300:] or "it gave no figure"
            emit({"peer": label, "workload": w, "error": f"exit {p.returncode}: {why}", **more})
    if ok:
        os.unlink(log)
    return ok


def show(x):
    return f"{x:.0f}" if x >= 100 else f"{x:.1f}" if x >= 10 else f"{x:.2f}"


def spread(xs):
    if len(xs) == 1:
        return f"**{show(xs[0])}**"
    return f"**{show(statistics.median(xs))}** ({show(min(xs))}–{show(max(xs))})"


def tables(rows):
    """Markdown: the figures asked for, then what else was seen on the way."""
    peers = list(dict.fromkeys(r["peer"] for r in rows if "peer" in r))
    got, bad = collections.defaultdict(list), {}
    for r in rows:
        if "error" in r:
            bad[r["peer"], r["workload"]] = r["error"]
        elif "value" in r:
            got[r["peer"], r["workload"]].append(r)
    names = [w for w in WORKLOADS if any(w == k[1] for k in [*got, *bad])]
    head = {
        "chain": f"chain, ms/task (N={SIZE['chain']})",
        "fanout": f"fanout, ms/task (N={SIZE['fanout']})",
        "wide10ms": f"wide10ms, s (N={SIZE['wide10ms']}); efficiency",
        "firsttask": "firsttask, ms",
    }

    def table(title, columns, cell):
        yield f"\n{title}\n"
        yield "| peer | " + " | ".join(columns) + " |"
        yield "|---|" + "---:|" * len(columns)
        for peer in peers:
            yield f"| {peer} | " + " | ".join(cell(peer, w) for w in names) + " |"

    def figure(peer, w):
        rs = got[peer, w]
        if not rs:
            return "error" if (peer, w) in bad else "–"
        text = spread([r["value"] for r in rs])
        if w == "wide10ms":
            text += f"; {statistics.median(r['efficiency'] for r in rs):.1%}"
        if rs[0]["n"] != SIZE[w]:
            text += f" [N={rs[0]['n']}]"
        if (peer, w) in bad:
            text += " [some failed]"
        return text + f" ×{len(rs)}"

    def cost(peer, w):
        rs = [r for r in got[peer, w] if "cpu_s" in r]
        if not rs:
            return "–"
        cpu = statistics.median(r["cpu_s"] / r["n"] for r in rs) * 1e3
        return f"{show(cpu)}; {show(statistics.median(r['settle_s'] for r in rs))}"

    yield from table("Median (smallest–largest) ×count.", [head[w] for w in names], figure)
    yield from table(
        "Median CPU milliseconds per task, of all the peer's processes together, what they "
        "still do after the result included; then the seconds until they are idle.",
        names,
        cost,
    )
    if bad:
        yield "\nErrors:\n"
        for (peer, w), e in bad.items():
            yield f"- {peer}, {w}: {' '.join(e.split())}"
    calib = [r["calib_ms"] for r in {(r["peer"], r["round"]): r for r in rows}.values()]
    yield (
        f"\nA fixed piece of Python took {spread(calib)} ms just before each peer's turn: how steady the machine was."
    )
    seen = {r["peer"]: r["version"] for r in rows if "version" in r}
    yield (
        "\nVersions: "
        + "; ".join(dict.fromkeys(", ".join(f"{k} {v}" for k, v in d.items()) for d in seen.values()))
        + "."
    )


def main():
    args = sys.argv[1:]
    if args[:1] == ["--table"]:
        rows = []
        for path in args[1:]:
            with open(path) as f:
                rows += [json.loads(line) for line in f if line.startswith("{")]
        print("\n".join(tables(rows)))
        return 0
    for w in args:
        if w not in WORKLOADS:
            sys.exit(f"no such workload: {w}; there are {', '.join(WORKLOADS)}")
    workloads = args or list(WORKLOADS)
    peers = list(read_conf(os.path.join(HERE, "peers.conf")))
    if os.environ.get("EXTRA"):
        peers += read_conf(os.environ["EXTRA"])
    peers = [p for p in peers if re.search(os.environ.get("PEERS") or "", p[0])]

    # Orphans of a peer become our children rather than init's: PR_SET_CHILD_SUBREAPER.
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    out = open(os.environ["OUT"], "a") if os.environ.get("OUT") else None
    rows = []

    def emit(row):
        rows.append(row)
        line = json.dumps(row)
        print(line, flush=True)
        if out:
            print(line, file=out, flush=True)

    tmp = tempfile.mkdtemp(prefix="peers-bench-")
    good = True
    try:
        for rnd in range(setting("ROUNDS", 3)):
            for peer in peers:
                good &= run_peer(*peer, workloads, rnd, tmp, emit)
    finally:
        clear()
        if good:
            shutil.rmtree(tmp, ignore_errors=True)
        else:
            print(f"logs of what failed: {tmp}", file=sys.stderr)
    print("\n".join(tables(rows)))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
