"""Plain dask.distributed: the limit for anything that runs on Dask."""

import contextlib
import time

from common import SLEEP, local_cluster, main


def inc(x):
    return x + 1


def nap(i):
    time.sleep(SLEEP)
    return i


def now(_=None):
    return time.monotonic()


@contextlib.contextmanager
def cluster(processes, saturation=None):
    import dask
    from distributed import Client

    if saturation:
        dask.config.set({"distributed.scheduler.worker-saturation": saturation})
    with local_cluster(processes) as c, Client(c) as client:

        def chain(n):
            t = time.monotonic()
            x = 0
            for _ in range(n):
                x = client.submit(inc, x, pure=False)
            assert x.result() == n
            return time.monotonic() - t

        def fanout(n):
            t = time.monotonic()
            total = client.submit(sum, client.map(inc, range(n), pure=False), pure=False)
            assert total.result() == n * (n + 1) // 2
            return time.monotonic() - t

        def wide10ms(n):
            t = time.monotonic()
            assert len(client.gather(client.map(nap, range(n), pure=False))) == n
            return time.monotonic() - t

        def firsttask(_):
            t = time.monotonic()
            return client.submit(now, pure=False).result() - t

        yield dict(chain=chain, fanout=fanout, wide10ms=wide10ms, firsttask=firsttask)


if __name__ == "__main__":
    main(
        {
            "threads": lambda: cluster(False),
            "processes": lambda: cluster(True),
            # Dask's default keeps a wide map queued on the scheduler and hands it out
            # a few tasks at a time; this hands the worker everything at once.
            "threads-unqueued": lambda: cluster(False, "inf"),
        }
    )
