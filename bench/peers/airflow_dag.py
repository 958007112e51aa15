"""The DAGs airflow_.py asks for, as "workload:N,..." in BENCH_DAGS.

Each task notes when its body began in a file of its own under BENCH_MARKS, and
the last one its value, so that the bench can check the result.
"""

import os
import time

from airflow.sdk import DAG, get_current_context, task


def mark(what):
    t = time.time()
    run = get_current_context()["run_id"]
    with open(os.path.join(os.environ["BENCH_MARKS"], run), "a") as f:
        f.write(f"{t!r} {what}\n")


@task
def inc(x):
    mark(x + 1)
    return x + 1


@task
def add_up(xs):
    mark(sum(xs))


@task
def nap(i):
    mark(i)
    time.sleep(0.01)


def chain(n):
    x = 0
    for i in range(n):
        x = inc.override(task_id=f"inc_{i}")(x)


def fanout(n):
    add_up(inc.expand(x=list(range(n))))


def wide10ms(n):
    nap.expand(i=list(range(n)))


def firsttask(_):
    inc(0)


for item in os.environ["BENCH_DAGS"].split(","):
    name, n = item.split(":")
    with DAG(f"{name}_{n}", schedule=None, catchup=False, max_active_tasks=1000) as dag:
        {"chain": chain, "fanout": fanout, "wide10ms": wide10ms, "firsttask": firsttask}[name](int(n))
    globals()[dag.dag_id] = dag
