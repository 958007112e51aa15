"""Quotas that let nothing more of a kind be made: what waits says so, and goes on once it may."""

from __future__ import annotations

from headwater.resources.names import WORKER
from headwater_operator.kinds import (
    CONFIG_MAP,
    FLOW_RUN,
    FLOW_VERSION,
    POD,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
)
from simulation.teller import Teller
from simulation.values import result_of


async def kinds_that_are_refused_for_a_while(t: Teller) -> None:
    """What is refused is told by the object that wants it, made when it is allowed, and then all goes on."""
    t.flow(workers=1, source={"files": {"flow.py": "..."}}, startDeadlineSeconds=6000)
    kinds = [SERVICE, SECRET, CONFIG_MAP, SERVICE_ACCOUNT, FLOW_VERSION, POD]
    t.world.random.shuffle(kinds)
    for number, kind in enumerate(kinds):
        t.full(kind)
        await t.world.sleep(0, 3)
        t.edit(image=f"acme/etl:{number + 2}")
        t.run(f"run{number}", "Success", seconds=1)
        if kind is not SERVICE_ACCOUNT:  # which is there by then
            await t.told("refused: ")
        await t.world.sleep(0, 50)
        t.room()
        await t.finished(f"run{number}")
        if t.world.random.random() < 0.5:
            t.world.spawn(t.world.kill())


async def what_is_there_needs_no_quota(t: Teller) -> None:
    """An operator that takes over does not know what was made; to make it again is refused before its name is seen."""
    t.flow(workers=1)
    await t.ready()
    t.run("begun", "Success", seconds=400)
    await t.begun("begun")
    t.full(SERVICE, SECRET, SERVICE_ACCOUNT)
    await t.world.kill()
    for pod in t.pods(WORKER):
        t.crash(pod)
    await t.world.sleep(1, 5)
    if not t.world.faulty:
        await t.world.until(lambda: t.pods(WORKER), 20)
    await t.finished("begun")
    t.room()


async def a_claim_that_is_refused(t: Teller) -> None:
    """Its run has ended, but not for good: nobody else of its key runs, and others get its slot."""
    t.flow(concurrency={"limit": 1})
    key = {"idempotencyKey": "monday"}
    t.full(CONFIG_MAP)
    t.run("once", "Success", spec=key)
    await t.world.until(lambda: "attempt" in t.status(FLOW_RUN, "once"))
    t.run("twin", "Success", spec=key)
    t.run("next", "Success")
    await t.told("it has ended (Success); its claim is refused: ")
    await t.finished("next")
    if {name for name in ("once", "twin") if result_of({"status": t.status(FLOW_RUN, name)})}:
        t.world.violate("a run was over before its claim was there")
    t.room()
    await t.finished("once", "twin")
    if "attempt" in t.status(FLOW_RUN, "twin"):
        t.world.violate("a key was executed twice")


STORIES = (
    kinds_that_are_refused_for_a_while,
    what_is_there_needs_no_quota,
    a_claim_that_is_refused,
)
