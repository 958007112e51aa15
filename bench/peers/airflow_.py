"""Airflow 3: real scheduler, API server and DAG processor on loopback, LocalExecutor
with 4 workers, sqlite, everything else as it comes.

A run is asked for over REST.  The total ends at the end_date that the scheduler
writes to the run, so that our asking once a second is not in it.  With every
total come task_start_gap_s (median time from one task's body to the next one's)
and first_ms, the run's own first task.  `airflow` here is only run as a program.
"""

import contextlib
import datetime
import json
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from common import THREADS, WORKLOADS, free_port, main, server

SIZES = {"chain": 10, "fanout": 50, "wide10ms": 200, "firsttask": 1}
WARM = {"chain": 2, "fanout": 2, "wide10ms": 4, "firsttask": 1}


class Api:
    def __init__(self, port):
        self.base = f"http://127.0.0.1:{port}"
        self.token = None
        self.token = self("GET", "/auth/token")["access_token"]

    def __call__(self, method, path, body=None):
        req = urllib.request.Request(self.base + path, method=method, data=body and json.dumps(body).encode())
        req.add_header("Content-Type", "application/json")
        if self.token:
            req.add_header("Authorization", f"Bearer {self.token}")
        with urllib.request.urlopen(req, timeout=30) as r:
            return json.load(r)


def when(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def until(what, limit=120, step=0.5):
    end = time.monotonic() + limit
    while True:
        with contextlib.suppress(urllib.error.URLError, KeyError):
            got = what()
            if got:
                return got
        if time.monotonic() > end:
            raise TimeoutError(f"{what.__name__}: not so after {limit} s")
        time.sleep(step)


@contextlib.contextmanager
def airflow():
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-airflow-", ignore_cleanup_errors=True))
        marks = os.path.join(home, "marks")
        dags = os.path.join(home, "dags")
        os.mkdir(marks)
        os.mkdir(dags)
        here = os.path.dirname(os.path.abspath(__file__))
        shutil.copy(os.path.join(here, "airflow_dag.py"), dags)
        ids = {f"{w}:{n}" for s in (SIZES, WARM) for w, n in s.items()}
        port = free_port()
        env = dict(
            os.environ,
            AIRFLOW_HOME=home,
            BENCH_MARKS=marks,
            BENCH_DAGS=",".join(sorted(ids)),
            AIRFLOW__CORE__EXECUTOR="LocalExecutor",
            AIRFLOW__CORE__PARALLELISM=str(THREADS),
            AIRFLOW__CORE__LOAD_EXAMPLES="False",
            AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION="False",
            AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS="True",
            AIRFLOW__CORE__EXECUTION_API_SERVER_URL=f"http://127.0.0.1:{port}/execution/",
            AIRFLOW__API__HOST="127.0.0.1",
            AIRFLOW__API__PORT=str(port),
            AIRFLOW__API__BASE_URL=f"http://127.0.0.1:{port}",
            AIRFLOW__API__SECRET_KEY=secrets.token_urlsafe(32),
            AIRFLOW__API_AUTH__JWT_SECRET=secrets.token_urlsafe(64),
            AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK="False",
            # airflow starts further programs by name
            PATH=os.path.dirname(sys.executable) + os.pathsep + os.environ.get("PATH", ""),
        )
        exe = os.path.join(os.path.dirname(sys.executable), "airflow")
        subprocess.run([exe, "db", "migrate"], env=env, check=True, stdin=subprocess.DEVNULL)
        health = f"http://127.0.0.1:{port}/api/v2/monitor/health"
        stack.enter_context(server([exe, "api-server"], env, health))
        stack.enter_context(server([exe, "dag-processor"], env))
        stack.enter_context(server([exe, "scheduler", "--skip-serve-logs"], env))
        api = Api(port)

        def healthy():
            h = api("GET", "/api/v2/monitor/health")
            return all(h[k]["status"] == "healthy" for k in ("scheduler", "dag_processor"))

        def parsed():
            got = {d["dag_id"] for d in api("GET", "/api/v2/dags?limit=100")["dags"]}
            return got >= {i.replace(":", "_") for i in ids}

        until(healthy)
        until(parsed)

        def run(workload, n):
            dag = f"/api/v2/dags/{workload}_{n}/dagRuns"
            t = time.time()
            run_id = api("POST", dag, {"logical_date": None})["dag_run_id"]

            def ended():
                r = api("GET", f"{dag}/{run_id}")
                return r if r["state"] in ("success", "failed") else None

            r = until(ended, limit=3600, step=1)
            assert r["state"] == "success", f"the run ended as {r['state']}"
            with open(os.path.join(marks, run_id)) as f:
                rows = [line.split() for line in f]
            began = sorted(float(b) for b, _ in rows)
            value = int(rows[-1][1])
            want = {"chain": n, "fanout": n * (n + 1) // 2, "wide10ms": value, "firsttask": 1}
            assert value == want[workload], f"{value} is not {want[workload]}"
            assert len(began) == n + (workload == "fanout"), f"{len(began)} tasks ran"
            if workload == "firsttask":
                return began[0] - t
            gaps = [b - a for a, b in zip(began, began[1:])]
            return when(r["end_date"]) - t, {
                "first_ms": round((began[0] - t) * 1e3, 1),
                "task_start_gap_s": round(statistics.median(gaps), 3),
            }

        yield {w: lambda n, w=w: run(w, n) for w in WORKLOADS}


if __name__ == "__main__":
    main({"local": airflow}, sizes={"local": SIZES}, warm={"local": WARM})
