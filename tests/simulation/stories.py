"""What people and machines do to flows and runs; each run has to end as its story says."""

from __future__ import annotations

from headwater.resources.conditions import find
from headwater.resources.names import RUNNER, WORKER
from headwater_operator.kinds import (
    FLOW,
    FLOW_RUN,
    FLOW_VERSION,
    POD,
)
from headwater_operator.plans import LONGEST_PAUSE_SECONDS
from simulation.teller import Teller
from simulation.values import (
    has_ended,
    result_of,
)


async def runs_in_one_pod(t: Teller) -> None:
    t.flow()
    t.run("good", "Success", x=1)
    t.run("fails", "Failed", fail=True)
    await t.ready()
    t.run("later", "Success")


async def runs_on_workers(t: Teller) -> None:
    t.flow(workers=3)
    t.run("one", "Success")
    t.run("two", "Failed", fail=True)


async def a_flow_edited_often(t: Teller) -> None:
    t.flow(workers=1)
    for tag in range(2, 7):
        await t.world.sleep(0.0, 2.0)
        t.edit(image=f"acme/etl:{tag % 4 + 1}")
    t.run("last", "Success")
    await t.ready()


async def pinned_versions(t: Teller) -> None:
    t.flow()
    await t.ready()
    t.edit(image="acme/etl:2")
    await t.ready()
    t.run("old", "Success", version=1)
    t.run("new", "Success", version=2)
    t.run("none", "Failed", version=9)
    await t.finished("old", "new")
    assert t.status(FLOW_RUN, "old")["version"]["number"] == 1
    assert t.status(FLOW_RUN, "new")["version"]["number"] == 2
    t.edit(image="acme/etl:1")
    await t.ready()
    assert t.status(FLOW, "etl")["currentVersion"]["number"] == 1


async def workers_die(t: Teller) -> None:
    t.flow(workers=2)
    t.run("run", "Success", seconds=60)
    await t.begun("run")
    for _ in range(4):
        await t.world.sleep(0.1, 5)
        for pod in t.pods(WORKER)[: t.world.random.randint(1, 2)]:
            if t.world.random.random() < 0.5:
                t.crash(pod)
            else:
                t.take(POD, pod["metadata"]["name"])


async def all_workers_die_always(t: Teller) -> None:
    t.flow(workers=1)
    t.run("run", "Crashed", seconds=100000)
    while result_of({"status": t.status(FLOW_RUN, "run")}) is None:
        for pod in t.pods(WORKER):
            t.crash(pod)
        await t.world.sleep(1, 3)


async def the_runner_dies(t: Teller) -> None:
    t.flow(workers=2)
    t.run("taken", "Crashed", seconds=100000)
    t.run("killed", "Crashed", seconds=100000)
    await t.begun("taken")
    t.take(POD, "taken-a1")
    await t.begun("killed")
    t.crash(t.world.get(POD, t.namespace, "killed-a1"))


async def a_finished_runner_is_taken_away(t: Teller) -> None:
    t.flow()
    t.run("run", "Success")
    await t.world.until(lambda: "report" in t.status(FLOW_RUN, "run") or "finishedAt" in t.status(FLOW_RUN, "run"))
    await t.world.until(lambda: has_ended(t.world.get(POD, t.namespace, "run-a1")))
    if "report" in t.status(FLOW_RUN, "run"):
        t.take(POD, "run-a1")


async def runs_deleted(t: Teller) -> None:
    t.flow(workers=2)
    t.run("early", None, seconds=50)
    await t.world.sleep(0, 4)
    t.take(FLOW_RUN, "early")
    t.run("late", None, seconds=50)
    await t.begun("late")
    t.take(FLOW_RUN, "late")


async def a_run_made_again(t: Teller) -> None:
    """With the same name, at once: what the first has left behind is in the way."""
    workers = t.world.random.choice([0, 2])
    t.flow(workers=workers)
    for x in range(3):
        t.run("again", "Success", x=x, seconds=2)
        if x == 2:
            return
        state = t.world.random.randrange(3)
        if state == 1:
            await t.begun("again")
        if state == 2:
            await t.finished("again")
        await t.world.sleep(0, 2)
        t.take(FLOW_RUN, "again")
        await t.world.sleep(0, t.world.random.choice([0, 0, 1, 4]))


async def a_run_made_again_of_another_flow(t: Teller) -> None:
    t.flow(name="a")
    t.flow(name="b", workers=1)
    t.run("run", None, flow="a")
    await t.world.sleep(0, 5)
    t.take(FLOW_RUN, "run")
    t.run("run", "Success", flow="b")
    await t.finished("run")
    t.take(FLOW_RUN, "run")
    await t.world.sleep(0, 5)
    t.edit("a", image="acme/etl:3")
    await t.ready("a")


async def a_flow_deleted(t: Teller) -> None:
    t.flow(workers=1, startDeadlineSeconds=600)
    t.run("under-way", "Success", seconds=20)
    await t.begun("under-way")
    t.take(FLOW, "etl")
    await t.world.sleep(1, 2)
    # An operator that has not heard of the end yet, as faults may bring about, may begin it.
    t.run("too-late", None if t.world.faulty else "TimedOut")


async def a_flow_made_again(t: Teller) -> None:
    t.flow()
    await t.ready()
    t.edit(image="acme/etl:2")
    await t.world.sleep(0, 3)
    t.take(FLOW, "etl")
    await t.world.sleep(0, 1)
    t.flow(image=t.world.random.choice(["acme/etl:1", "acme/etl:3"]))
    await t.world.sleep(0, 1)
    t.run("run", "Success")
    await t.finished("run")


async def a_run_before_its_flow(t: Teller) -> None:
    t.run("run", "Success")
    await t.world.sleep(0, 20)
    t.flow(workers=1)


async def wrong_parameters(t: Teller) -> None:
    t.flow(workers=1)
    t.run("wrong", "Failed", nothing=1)
    t.run("right", "Success", x=1)


async def a_broken_flow(t: Teller) -> None:
    t.flow(entrypoint="bad.py:flow")
    t.run("first", "Failed")
    await t.finished("first")
    t.edit(entrypoint="flow.py:flow")
    await t.ready()
    t.edit(entrypoint="bad.py:flow", image="acme/etl:7")
    await t.world.until(lambda: find(t.status(FLOW, "etl")["conditions"], "Stalled"))
    t.run("second", "Success")


async def an_image_that_comes_later(t: Teller) -> None:
    image = f"acme/{t.namespace}:late"
    t.world.absent_images.add(image)
    t.flow(image=image)
    t.run("run", "Success")
    await t.world.until(lambda: find(t.status(FLOW, "etl")["conditions"], "Stalled"))
    t.world.absent_images.discard(image)


async def an_image_that_never_comes(t: Teller) -> None:
    image = f"acme/{t.namespace}:never"
    t.world.absent_images.add(image)
    t.flow(image=image, startDeadlineSeconds=60)
    t.run("run", "TimedOut")


async def a_quota_that_gives_way(t: Teller) -> None:
    t.flow(workers=2)
    await t.ready()
    t.world.pod_limits[t.namespace] = t.world.random.randint(0, 2)
    t.run("run", "Success", seconds=20)
    await t.world.sleep(1, 30)
    del t.world.pod_limits[t.namespace]
    t.world.spawn(_full_strength(t))


async def _full_strength(t: Teller) -> None:
    """Once there is room a run gets its workers, also when it has begun without them."""
    began = t.world.loop.time()
    await t.world.until(lambda: len(t.pods(WORKER)) == 2 or "finishedAt" in t.status(FLOW_RUN, "run"))
    if not t.world.faulty and t.world.loop.time() - began > LONGEST_PAUSE_SECONDS + 1:
        t.world.violate("the workers came late")


async def a_quota_with_room_for_the_runner(t: Teller) -> None:
    """Workers that get in before it go again, and the run begins with those that fit."""
    t.flow(workers=3)
    await t.ready()
    for pods in (1, 2, 3):
        t.world.pod_limits[t.namespace] = pods
        run = f"run{pods}"
        t.run(run, "Success", seconds=5)
        await t.begun(run) if pods > 1 else await t.world.until(lambda: t.pods(RUNNER))
        if pods == 1:
            del t.world.pod_limits[t.namespace]
        await t.finished(run)
        await t.world.until(lambda: not t.pods(WORKER))


async def a_quota_that_stays(t: Teller) -> None:
    t.flow(workers=2, startDeadlineSeconds=60)
    await t.ready()
    t.world.pod_limits[t.namespace] = 0
    t.run("run", "TimedOut")


async def a_run_that_takes_too_long(t: Teller) -> None:
    t.flow(workers=1, timeoutSeconds=60)
    t.run("run", "TimedOut", seconds=100000)


async def a_flow_with_its_source(t: Teller) -> None:
    t.flow(workers=1, source={"files": {"flow.py": "..."}})
    t.run("run", "Success")


async def runs_in_a_queue(t: Teller) -> None:
    t.flow(concurrency={"limit": 2})
    for i in range(6):
        t.run(f"run{i}", "Success", spec={"priority": i % 3})
        await t.world.sleep(0, 2)


async def an_urgent_run_while_another_begins(t: Teller) -> None:
    """Whoever was let begin keeps its slot, though nothing of it is there yet."""
    t.flow(workers=1, concurrency={"limit": 1})
    await t.ready()
    for i in range(5):
        t.run(f"low{i}", "Success", seconds=1)
        await t.world.sleep(0, t.world.random.choice([0.02, 0.05, 2]))
        t.run(f"high{i}", "Success", seconds=1, spec={"priority": 5})
        await t.finished(f"low{i}", f"high{i}")


async def a_run_deleted_from_a_queue(t: Teller) -> None:
    t.flow(workers=1, concurrency={"limit": 1})
    t.run("first", None, seconds=100000)
    await t.begun("first")
    t.run("second", None)
    t.run("third", "Success")
    await t.world.sleep(0, 5)
    t.take(FLOW_RUN, "second")
    t.take(FLOW_RUN, "first")


async def flows_that_share_a_limit(t: Teller) -> None:
    t.flow(name="a", concurrency={"limits": [{"name": "gpu", "slots": 2}]})
    t.flow(name="b", concurrency={"limit": 2, "limits": [{"name": "gpu"}]})
    for i in range(3):
        t.run(f"a{i}", "Success", flow="a")
        t.run(f"b{i}", "Success", flow="b")
    await t.world.sleep(0, 5)
    t.limits(gpu="3")


async def runs_that_replace_others(t: Teller) -> None:
    t.flow(concurrency={"limit": 1, "policy": "Replace"})
    await t.ready()
    t.run("a", "Cancelled", seconds=100000)
    await t.begun("a")
    t.run("wrong", "Failed", nothing=1)
    await t.world.sleep(1, 2)
    t.run("b", "Cancelled", seconds=100000)
    await t.world.sleep(1, 20)
    t.run("c", "Success")
    await t.finished("c")
    # An operator that hears of b only after the end of c lets it begin.
    if t.world.faulty and result_of({"status": t.status(FLOW_RUN, "b")}) is None:
        t.take(FLOW_RUN, "b")


async def a_twin_replaces_nobody(t: Teller) -> None:
    t.flow(concurrency={"limit": 1, "policy": "Replace"})
    await t.ready()
    key = {"idempotencyKey": "monday"}
    t.run("first", "Success", spec=key, seconds=60)
    await t.begun("first")
    t.run("twin", "Success", spec=key)


async def a_run_that_is_skipped(t: Teller) -> None:
    t.flow(concurrency={"limit": 1, "policy": "Skip"})
    t.run("first", "Success", seconds=60)
    await t.begun("first")
    # An operator that was away for long may find room.
    t.run("second", None if t.world.faulty else "Skipped")


async def a_flow_suspended(t: Teller) -> None:
    t.flow(suspend=True, concurrency={"limit": 1}, startDeadlineSeconds=600)
    t.run("a", "Success")
    t.run("b", "Success", spec={"suspend": True})
    await t.world.sleep(700, 800)
    t.edit(suspend=False)
    await t.world.sleep(0, 20)
    run = t.world.get(FLOW_RUN, t.namespace, "b")
    t.world.edit(FLOW_RUN, t.namespace, "b", **{**run["spec"], "suspend": False})


async def a_key_made_again(t: Teller) -> None:
    t.flow()
    key = {"idempotencyKey": "monday"}
    t.run("once", "Success", spec=key)
    t.run("twin", "Success", spec=key)
    await t.finished("once", "twin")
    if sum("attempt" in t.status(FLOW_RUN, name) for name in ("once", "twin")) != 1:
        t.world.violate("not exactly one of two runs of a key was executed")
    t.take(FLOW_RUN, "once")
    t.take(FLOW_RUN, "twin")
    await t.world.sleep(0, 3)
    t.run("once", "Success", spec=key)
    await t.finished("once")
    if "attempt" in t.status(FLOW_RUN, "once"):
        t.world.violate("a key was executed twice")


async def old_runs_go(t: Teller) -> None:
    t.flow(history={"succeeded": 1, "failed": 1})
    for i in range(4):
        t.run(f"run{i}", None, fail=i == 1)
        await t.world.until(lambda i=i: result_of({"status": t.status(FLOW_RUN, f"run{i}")}) is not None)
        await t.world.sleep(1, 2)
    await t.world.until(lambda: t.runs() == {"run1", "run3"})


async def old_versions_go(t: Teller) -> None:
    t.flow(versions={"historyLimit": 2})
    t.run("first", "Success")
    await t.finished("first")
    for tag in range(2, 6):
        t.edit(image=f"acme/etl:{tag}")
        await t.ready()
    version = t.status(FLOW_RUN, "first")["version"]["name"]

    def kept() -> set[str]:
        return {version["metadata"]["name"] for version in t.world.all(FLOW_VERSION, t.namespace)}

    await t.world.until(lambda: len(kept()) == 3)
    if version not in kept():
        t.world.violate("the version of a run has gone")


STORIES = (
    runs_in_one_pod,
    runs_on_workers,
    a_flow_edited_often,
    pinned_versions,
    workers_die,
    all_workers_die_always,
    the_runner_dies,
    a_finished_runner_is_taken_away,
    runs_deleted,
    a_run_made_again,
    a_run_made_again_of_another_flow,
    a_flow_deleted,
    a_flow_made_again,
    a_run_before_its_flow,
    wrong_parameters,
    a_broken_flow,
    an_image_that_comes_later,
    an_image_that_never_comes,
    a_quota_that_gives_way,
    a_quota_with_room_for_the_runner,
    a_quota_that_stays,
    a_run_that_takes_too_long,
    a_flow_with_its_source,
    runs_in_a_queue,
    an_urgent_run_while_another_begins,
    a_run_deleted_from_a_queue,
    flows_that_share_a_limit,
    runs_that_replace_others,
    a_twin_replaces_nobody,
    a_run_that_is_skipped,
    a_flow_suspended,
    a_key_made_again,
    old_runs_go,
    old_versions_go,
)
