"""What the peer scripts share: arguments, warm-up, timing, time limit, JSON lines.

Standard library only; works on Python 3.9 and later.

A peer script calls `main({config: open_config, ...})`.  `open_config()` is a
context manager: entering it starts whatever the peer needs (server, scheduler,
cluster), leaving it stops that again, and it yields one function per workload:

    chain(n)     n tasks x -> x+1, each fed by the one before it
    fanout(n)    x -> x+1 mapped over range(n), then a sum
    wide10ms(n)  n independent tasks of time.sleep(0.01), 4 of them at a time
    firsttask(1) ask for a run of one task that says when its body began

The first three return the seconds from asking for the run to having its result;
firsttask returns the seconds from asking to the first line of the task's body.
Each checks its own result.  A function may also return (seconds, {extras}); the
extras go into the JSON line as they are.  time.monotonic() is the clock
everywhere: on Linux it is one clock for all processes.

After each run we wait until the peer's processes (this one and all below it)
are idle, so that what one run leaves behind is not charged to the next.  Its
length, settle_s, and the CPU time of run and settling together, cpu_s, are in
the JSON line: CPU time is the figure a noisy machine disturbs least.
"""

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import urllib.request

THREADS = 4
SLEEP = 0.01
WORKLOADS = ("chain", "fanout", "wide10ms", "firsttask")
SIZE = {"chain": 100, "fanout": 1000, "wide10ms": 200, "firsttask": 1}
WARM = {"chain": 10, "fanout": 10, "wide10ms": 8, "firsttask": 1}


def metric(workload, n, seconds):
    """The headline figure of one measurement: its name and its value."""
    if workload == "firsttask":
        return {"metric": "ms", "value": round(seconds * 1e3, 3)}
    if workload == "wide10ms":
        return {
            "metric": "total_s",
            "value": round(seconds, 4),
            "efficiency": round(n * SLEEP / THREADS / seconds, 4),
        }
    return {"metric": "ms_per_task", "value": round(seconds * 1e3 / n, 4)}


def main(configs, sizes=None, warm=None):
    """Run the workloads asked for on the command line.

    sizes, warm: {config: {workload: N}} for peers too slow for the usual N.
    """
    ap = argparse.ArgumentParser()
    ap.add_argument("config", choices=sorted(configs))
    ap.add_argument("workloads", nargs="*")
    ap.add_argument("--label", default=None)
    ap.add_argument("--reps", type=int, default=3, help="runs of each workload, at most")
    ap.add_argument(
        "--budget", type=float, default=15, help="seconds for one workload: no further run starts after that"
    )
    ap.add_argument("--timeout", type=float, default=300, help="seconds for one measurement")
    ap.add_argument("--log", default=os.devnull, help="where the peer's own output goes")
    a = ap.parse_args()
    label = a.label or a.config
    todo = list(a.workloads or WORKLOADS)
    size = {**SIZE, **(sizes or {}).get(a.config, {})}
    small = {**WARM, **(warm or {}).get(a.config, {})}

    # Our lines go to the real stdout; whatever the peer prints goes to the log.
    out = os.fdopen(os.dup(1), "w")
    log = os.open(a.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)

    lock = threading.Lock()

    def emit(**fields):
        with lock:
            out.write(json.dumps({"peer": label, **fields}) + "\n")
            out.flush()

    def give_up(what):
        for w in todo:
            emit(workload=w, n=size[w], error=what)
        os._exit(124)

    @contextlib.contextmanager
    def limit(what):
        t = threading.Timer(a.timeout, give_up, (f"{what}: no answer in {a.timeout:g} s",))
        t.daemon = True
        t.start()
        try:
            yield
        finally:
            t.cancel()

    def short(e):
        return "".join(traceback.format_exception_only(type(e), e)).strip()[-300:]

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    failed = False
    try:
        with contextlib.ExitStack() as stack:
            with limit("start"):
                t0 = time.monotonic()
                run = stack.enter_context(configs[a.config]())
                setup = time.monotonic() - t0
            emit(setup_s=round(setup, 3), version=versions())
            while todo:
                w = todo[0]
                try:
                    with limit(f"{w} warm-up"):
                        run[w](small[w])
                        settle()
                    began = time.monotonic()
                    for rep in range(a.reps):
                        if rep and time.monotonic() - began > a.budget:
                            break
                        c0 = tree_cpu()
                        with limit(w):
                            got = run[w](size[w])
                        settled = settle()
                        seconds, extra = got if isinstance(got, tuple) else (got, {})
                        emit(
                            workload=w,
                            n=size[w],
                            rep=rep,
                            total_s=round(seconds, 5),
                            **metric(w, size[w], seconds),
                            **extra,
                            settle_s=settled,
                            cpu_s=round(tree_cpu() - c0, 2),
                        )
                except Exception as e:
                    traceback.print_exc()
                    failed = True
                    emit(workload=w, n=size[w], error=short(e))
                todo.pop(0)
    except Exception as e:  # start or stop went wrong
        traceback.print_exc()
        failed = True
        for w in todo:
            emit(workload=w, n=size[w], error=short(e))
    # Not a return: threads an engine leaves behind must not keep us here.
    sys.stdout.flush()
    os._exit(1 if failed else 0)


def versions():
    from importlib import metadata

    found = {"python": sys.version.split()[0]}
    for name in ("distributed", "prefect", "prefect-dask", "dagster", "dagster-dask", "apache-airflow"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def tree_cpu():
    """CPU seconds used so far by this process and all below it, the reaped included."""
    procs = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as f:
            field = f.read().rpartition(")")[2].split()
            procs[int(pid)] = int(field[1]), sum(map(int, field[11:15]))
    mine, grew = {os.getpid()}, True
    while grew:
        below = {p for p, (parent, _) in procs.items() if parent in mine}
        grew = not below <= mine
        mine |= below
    return sum(procs[p][1] for p in mine) / os.sysconf("SC_CLK_TCK")


def settle(idle=0.35, step=0.5, limit=60):
    """Wait until the tree uses less than `idle` of one core over `step` seconds."""
    t0 = time.monotonic()
    while True:
        t, c = time.monotonic(), tree_cpu()
        time.sleep(step)
        if (tree_cpu() - c) / (time.monotonic() - t) < idle:
            return round(t - t0, 2)
        if t - t0 > limit:
            return round(t - t0, 2)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def local_cluster(processes):
    from distributed import LocalCluster

    return LocalCluster(
        processes=processes,
        n_workers=1,
        threads_per_worker=THREADS,
        # Its HTTP servers start even when told not to, and then on all interfaces.
        dashboard_address="127.0.0.1:0",
        worker_dashboard_address="127.0.0.1:0",
    )


@contextlib.contextmanager
def server(argv, env, url=None, timeout=240):
    """A server of our own: start it, wait until url answers, stop it by its pid."""
    p = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL)
    try:
        end = time.monotonic() + timeout
        while url:
            try:
                urllib.request.urlopen(url, timeout=5).read()
                break
            except OSError:
                if p.poll() is not None:
                    raise RuntimeError(f"{argv[0]} ended with {p.returncode}") from None
                if time.monotonic() > end:
                    raise TimeoutError(f"{url} did not answer in {timeout} s") from None
                time.sleep(0.2)
        yield p
    finally:
        p.terminate()
        try:
            p.wait(20)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
