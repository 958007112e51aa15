"""Whatever cannot be made is told by the object that wants it, first as what may mend itself, and is asked for again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headwater.core.errors import ClusterError
from headwater.resources.conditions import RunState, held_up, ready, reconciling, stalled, to_manifest
from headwater.resources.versions import spec_hash, versioned
from headwater_operator.api import ApiError
from headwater_operator.apply import Applier
from headwater_operator.cache import Cache
from headwater_operator.flows import plan as flows
from headwater_operator.kinds import FLOW, FLOW_RUN, FLOW_VERSION, SECRET, SERVICE
from headwater_operator.metrics import Metrics
from headwater_operator.plans import Plan, Refusal
from headwater_operator.queue import WorkKey
from headwater_operator.reconcile import Reconciler
from headwater_operator.recorder import Recorder
from headwater_operator.refusals import TOLD_AFTER
from headwater_operator.runs.claims import rivals
from headwater_operator.runs.facts import Observed
from headwater_operator.runs.plan import plan
from headwater_operator.trouble import trouble
from headwater_operator.versions import plan as versions
from headwater_operator.witness import Witness
from simulation.api import FaultyApi
from simulation.clock import VirtualLoop
from simulation.server import Server


def refused(make: Any, kind: str, name: str, **more: Any) -> Refusal:
    return Refusal("exceeded quota: q", kind=kind, name=name, **more).put_off(None, make.now)


def kinds(made: Plan) -> list[str]:
    return [manifest["kind"] for manifest in made.create]


# What may mend itself

BEFORE = {
    "a new object": ([], 0, "Reconciling"),
    "that was ready": (ready("VersionReady", "x"), 900, "Reconciling"),
    "that was stalled by something else": (stalled("InspectionFailed", "x"), 900, "Reconciling"),
    "that had long been worked on": (reconciling("Inspecting", "x"), 900, "Reconciling"),
    "in trouble for a while": (held_up("PodRefused", "before"), 119, "Reconciling"),
    "in trouble for long": (held_up("PodRefused", "before"), 120, "Stalled"),
    "that is stalled by it": (stalled("PodRefused", "before"), 0, "Stalled"),
}


@pytest.mark.parametrize("case", BEFORE)
def test_trouble_is_stalled_once_it_has_lasted(make, case: str) -> None:
    before, seconds, told = BEFORE[case]
    conditions = to_manifest(before, [], 1, make.now)
    found = {c.type: str(c.status) for c in trouble("PodRefused", "no", conditions, make.at(seconds))}
    assert found == {"Ready": "False", told: "True"}
    # It counts from when it was first told, whatever was before.
    if told == "Reconciling" and seconds == 900:
        now = to_manifest(held_up("PodRefused", "no"), conditions, 1, make.at(seconds))
        assert {c.type for c in trouble("PodRefused", "no", now, make.at(seconds + 119))} == {"Ready", "Reconciling"}
        assert {c.type for c in trouble("PodRefused", "no", now, make.at(seconds + 120))} == {"Ready", "Stalled"}


# Versions

NEEDS = {
    "Pod": "the inspection pod is refused: exceeded quota: q; it is tried again",
    "ConfigMap": "ConfigMap x is refused: exceeded quota: q; it is tried again",
    "ServiceAccount": "ServiceAccount x is refused: exceeded quota: q; it is tried again",
}


@pytest.mark.parametrize("kind", NEEDS)
def test_a_version_tells_what_its_inspection_lacks(make, condition, kind: str) -> None:
    version = make.version(ready=False, source={"files": {"flow.py": "x = 1"}})
    seen = versions.Observed(version, None, kind != "ServiceAccount", refused(make, kind, "x"))
    for seconds, told in ((1, "Reconciling"), (130, "Stalled")):
        made = versions.plan(seen, make.settings, make.at(seconds))
        assert condition(made.status, told) == ("True", f"{kind}Refused", NEEDS[kind])
        assert (kind in kinds(made)) == (seconds > 5), "it is asked for again when its pause is over"
        version["status"] |= made.status


def test_an_account_is_made_while_the_pod_is_refused(make) -> None:
    seen = versions.Observed(make.version(ready=False), None, False, refused(make, "Pod", "x"))
    assert kinds(versions.plan(seen, make.settings, make.now)) == ["ServiceAccount", "RoleBinding"]


# Flows


def edited(make: Any, **spec: Any) -> dict[str, Any]:
    flow = make.flow(image="acme/etl:2", **spec)
    flow["metadata"]["generation"] = 2
    conditions = to_manifest(ready("VersionReady", "etl-v1 is current"), [], 1, make.at(-900))
    flow["status"] = {
        "observedGeneration": 1,
        "currentVersion": {"name": "etl-v1", "number": 1},
        "conditions": conditions,
    }
    return flow


def test_a_flow_whose_version_is_refused_says_so(make, condition) -> None:
    flow, refusal = edited(make), refused(make, "FlowVersion", "etl-v2")
    words = "FlowVersion etl-v2 is refused: exceeded quota: q; it is tried again; etl-v1 stays current"
    for seconds, told in ((1, "Reconciling"), (122, "Stalled")):
        seen = flows.Observed(flow, [make.version(1)], [], version_refusal=refusal)
        made = flows.plan(seen, make.settings, make.at(seconds))
        assert condition(made.status, told) == ("True", "VersionRefused", words)
        assert made.status["observedGeneration"] == 2
        assert kinds(made) == ([] if seconds < 5 else ["FlowVersion"])
        flow["status"] |= made.status


def test_a_flow_that_never_had_a_version_says_so_too(make, condition) -> None:
    seen = flows.Observed(make.flow(), [], [], version_refusal=refused(make, "FlowVersion", "etl-v1"))
    made = flows.plan(seen, make.settings, make.at(1))
    assert condition(made.status, "Reconciling")[1:] == (
        "VersionRefused",
        "FlowVersion etl-v1 is refused: exceeded quota: q; it is tried again",
    )
    assert made.again_seconds == 4


def test_schedules_go_on_with_the_last_good_version(make) -> None:
    flow = edited(make, schedules=[{"name": "often", "interval": "60s"}])
    flow["status"]["schedules"] = [{"name": "often", "lastSlot": "2026-11-23T11:59:00.000000Z"}]
    seen = flows.Observed(flow, [make.version(1)], [], version_refusal=refused(make, "FlowVersion", "etl-v2"))
    assert kinds(flows.plan(seen, make.settings, make.at(1))) == ["FlowRun"]


def test_a_run_waits_for_a_refused_version_and_then_takes_the_last_good_one(make, condition) -> None:
    flow, run = edited(make), make.run()
    seen = flows.Observed(flow, [make.version(1)], [], version_refusal=refused(make, "FlowVersion", "etl-v2"))
    flow["status"] |= flows.plan(seen, make.settings, make.at(1)).status
    waits = plan(Observed(run, flow, [make.version(1)], []), make.settings, make.at(1))
    _, state, words = condition(waits.status, "Succeeded")
    assert state == "Pending"
    assert words.startswith('the version of Flow "etl" as it is now is being made: FlowVersion etl-v2 is refused: ')
    flow["status"] |= flows.plan(seen, make.settings, make.at(122)).status
    assert "Secret" in kinds(plan(Observed(run, flow, [make.version(1)], []), make.settings, make.at(122)))


def test_a_flow_is_in_the_same_trouble_as_its_version(make, condition) -> None:
    flow = make.flow()
    version = make.version(ready=False, hash=spec_hash(versioned(flow["spec"], make.settings.runtime_image)))
    for told, conditions in (("Reconciling", held_up("PodRefused", "no")), ("Stalled", stalled("PodRefused", "no"))):
        version["status"]["conditions"] = to_manifest(conditions, [], 1, make.now)
        made = flows.plan(flows.Observed(flow, [version], []), make.settings, make.now)
        assert condition(made.status, told)[:2] == ("True", "PodRefused")
        assert condition(made.status, "Ready")[0] == "False"


# Runs


def see(make: Any, status: Any = None, workers: int = 1, pods: Any = (), run: Any = None, **more: Any) -> Observed:
    flow = make.flow(execution={"workers": workers})
    digest = spec_hash(versioned(flow["spec"], make.settings.runtime_image))
    version = make.version(hash=digest, execution={"workers": workers})
    return Observed(make.run(status=status, **(run or {})), flow, [version], list(pods), **more)


@pytest.mark.parametrize("kind", ["Service", "Secret", "ServiceAccount"])
def test_a_run_tells_what_it_lacks(make, condition, kind: str) -> None:
    seen = see(make, account=kind != "ServiceAccount", refusal=refused(make, kind, "x"))
    early, late = (plan(seen, make.settings, make.at(seconds)) for seconds in (1, 6))
    words = f"{kind} x is refused: exceeded quota: q; it is tried again"
    assert condition(early.status, "Succeeded") == ("Unknown", "Pending", words)
    assert (early.create, early.again_seconds) == ((), 4)
    assert kind in kinds(late)
    over = plan(see(make, refusal=refused(make, "Service", "x"), status=early.status), make.settings, make.at(700))
    assert (
        condition(over.status, "Succeeded")[2]
        == f"no task began within 600 s: {words.removesuffix('; it is tried again')}"
    )


def test_what_is_invalid_ends_the_run(make, condition) -> None:
    made = plan(see(make, refusal=refused(make, "Secret", "x", permanent=True)), make.settings, make.at(1))
    assert condition(made.status, "Succeeded") == ("False", "Failed", "Secret x is refused: exceeded quota: q")


def test_a_run_under_way_tells_which_worker_it_lacks(make, condition) -> None:
    status = make.begun(timeline={"firstTaskAt": "2026-11-23T12:00:00Z"})
    seen = see(make, status, pods=[make.runner()], address="1", secret=True, refusal=refused(make, "Pod", "w0"))
    words = "tasks are running; a worker is refused: exceeded quota: q; it is tried again"
    made = plan(seen, make.settings, make.at(2))
    assert condition(made.status, "Succeeded")[1:] == ("Running", words)


REPORT = {"state": "Success", "message": "All 3 tasks succeeded", "finishedAt": "2026-11-23T12:00:09Z"}


def test_a_run_whose_claim_is_refused_has_ended_but_not_for_good(make, condition) -> None:
    seen = see(
        make,
        make.begun(report=REPORT),
        run={"idempotencyKey": "monday"},
        pods=[make.runner("Succeeded")],
        refusal=refused(make, "ConfigMap", "etl-key-1"),
    )
    made = plan(seen, make.settings, make.at(1))
    words = "it has ended (Success); its claim is refused: exceeded quota: q; it is tried again"
    assert condition(made.status, "Succeeded") == ("Unknown", "Pending", words)
    assert (made.status["finishedAt"], made.create, made.again_seconds) == (REPORT["finishedAt"], (), 4)
    assert kinds(plan(seen, make.settings, make.at(6))) == ["ConfigMap"]


def test_what_was_decided_of_its_end_stays(make, condition) -> None:
    """Of a run without a report: when, and how."""
    status = make.begun()
    status["timeline"]["firstTaskAt"] = "2026-11-23T12:00:02Z"
    seen = see(make, status, run={"idempotencyKey": "k"}, refusal=refused(make, "ConfigMap", "etl-key-1"))
    ended = plan(seen, make.settings, make.at(700))
    seen.run["status"] |= {**ended.status, "timeline": {**status["timeline"], **ended.status["timeline"]}}
    free = Observed(seen.run, seen.flow, seen.versions, [])
    made = plan(free, make.settings, make.at(900))
    words = "runner pod etl-1-a1 is gone: it was deleted, or its node was"
    assert condition(made.status, "Succeeded")[1:] == ("Crashed", words)
    assert made.status["finishedAt"] == ended.status["finishedAt"] == "2026-11-23T12:11:40.000000Z"
    assert made.create[0]["data"]["finishedAt"] == made.status["finishedAt"]


def test_an_ended_run_without_a_claim_keeps_others_of_its_key_waiting(make) -> None:
    older, ended = make.run("a", idempotencyKey="k"), make.run("b", idempotencyKey="k", status=make.begun())
    ended["status"]["finishedAt"] = REPORT["finishedAt"]
    assert rivals([older, ended], frozenset())["uid-a"] == "b"


# From the API server to the status


class Strict(Server):
    """An API server that fails to make some kinds, each in its way."""

    fails: dict[str, ApiError] = {}  # noqa: RUF012  # each test has a server of its own
    strips = False

    def create(self, manifest: Any) -> Any:
        if manifest["kind"] in self.fails:
            raise self.fails[manifest["kind"]]
        if self.strips and manifest["kind"] == "Pod":
            manifest["metadata"]["labels"] = {}
        return super().create(manifest)

    def _check_new(self, kind: Any, made: Any) -> None:
        """What this server is told to do is not right."""

    def begin_pod(self, pod: Any) -> None:
        """Pods stay as they are."""


def play(make: Any, story: Any, *objects: Any) -> None:
    """Play a story with a reconciler on a simulated API server; the clock is virtual."""
    loop = VirtualLoop()
    server = Strict(1, False, loop)
    server.fails = {}

    async def main() -> None:
        cache, api = Cache(), FaultyApi(server)  # type: ignore[arg-type]
        applier = Applier(api, cache, Witness(Recorder(api, server.now), Metrics(), cache))  # type: ignore[arg-type]
        for kind, manifest in objects:
            server.objects[(kind.name, "sales", manifest["metadata"]["name"])] = manifest
            cache.upsert(kind, manifest)
        reconciler = Reconciler(cache, applier, make.settings, server.now)
        await story(server, reconciler)

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())


def ready_flow(make: Any) -> list[Any]:
    flow = make.flow(execution={"workers": 1})
    digest = spec_hash(versioned(flow["spec"], make.settings.runtime_image))
    version = make.version(hash=digest, execution={"workers": 1})
    version["metadata"]["ownerReferences"] = [{"uid": flow["metadata"]["uid"], "kind": "Flow", "name": "etl"}]
    return [(FLOW, flow), (FLOW_VERSION, version)]


RUN = WorkKey("FlowRun", "sales", "etl-1")


async def told(server: Server, reconciler: Reconciler, key: WorkKey = RUN, times: int = TOLD_AFTER) -> int:
    """Look at a key until its status says something; return how many looks have failed before."""
    for failures in range(times + 1):
        try:
            await reconciler(key)
        except ClusterError:
            await asyncio.sleep(1)
            continue
        if server.objects[(key.kind, key.namespace, key.name)]["status"].get("observedGeneration"):
            return failures
    raise AssertionError("nothing is told")


FORBIDDEN = ApiError(403, "Forbidden", "exceeded quota: q")


@pytest.mark.parametrize("kind", ["Service", "Secret", "ServiceAccount", "Pod"])
def test_a_refusal_is_told_at_once_and_nothing_fails(make, condition, kind: str) -> None:
    async def story(server: Strict, reconciler: Reconciler) -> None:
        server.fails = {kind: FORBIDDEN}
        assert await told(server, reconciler) == 0
        status = server.get(FLOW_RUN, "sales", "etl-1")["status"]
        assert "refused: exceeded quota: q; it is tried again" in condition(status, "Succeeded")[2]
        server.fails = {}
        await asyncio.sleep(6)
        await reconciler(RUN)
        status = server.get(FLOW_RUN, "sales", "etl-1")["status"]
        assert condition(status, "Succeeded")[1] == "Submitted"

    play(make, story, *ready_flow(make), (FLOW_RUN, make.run()))


def test_a_version_that_is_refused_is_told_by_its_flow_at_once(make, condition) -> None:
    async def story(server: Strict, reconciler: Reconciler) -> None:
        server.fails = {"FlowVersion": FORBIDDEN}
        assert await reconciler(WorkKey("Flow", "sales", "etl")) == pytest.approx(5, abs=0.5)
        status = server.get(FLOW, "sales", "etl")["status"]
        assert condition(status, "Reconciling")[1] == "VersionRefused"
        assert status["observedGeneration"] == 1

    play(make, story, (FLOW, make.flow()))


@pytest.mark.parametrize("how", ["in the way", "webhook"])
def test_what_may_be_over_in_a_moment_is_told_when_it_is_not(make, condition, how: str) -> None:
    async def story(server: Strict, reconciler: Reconciler) -> None:
        if how == "webhook":
            server.fails = {"Service": ApiError(500, "InternalError", "failed calling webhook: it does not answer")}
        else:
            metadata = {"name": "etl-1-a1", "namespace": "sales"}
            server.create({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {}})
        assert await told(server, reconciler) == TOLD_AFTER - 1
        words = condition(server.get(FLOW_RUN, "sales", "etl-1")["status"], "Succeeded")[2]
        assert words.startswith("Service etl-1-a1 is not made: ")
        assert how in words
        server.fails = {}
        server.objects.pop(("Service", "sales", "etl-1-a1"), None)
        await asyncio.sleep(6)
        await reconciler(RUN)
        assert server.has(SERVICE, "sales", "etl-1-a1")
        status = server.get(FLOW_RUN, "sales", "etl-1")["status"]
        assert condition(status, "Succeeded")[1] == "Submitted"

    play(make, story, *ready_flow(make), (FLOW_RUN, make.run()))


def test_what_is_made_again_and_again_is_told(make, condition) -> None:
    """A webhook takes the labels off, by which pods are known."""

    async def story(server: Strict, reconciler: Reconciler) -> None:
        server.strips = True
        for _ in range(TOLD_AFTER):
            assert await reconciler(RUN) == 1.0
        await reconciler(RUN)
        _, state, words = condition(server.get(FLOW_RUN, "sales", "etl-1")["status"], "Succeeded")
        assert (state, words.partition(":")[0]) == (RunState.PENDING, "the pods are not made")
        assert "something changes it" in words

    play(make, story, *ready_flow(make), (FLOW_RUN, make.run()))


@pytest.mark.parametrize("kind", [SERVICE, SECRET], ids=lambda kind: kind.name)
def test_what_is_ours_already_needs_no_quota(make, kind: Any) -> None:
    """The API server asks quotas before it looks whether the name is taken."""

    async def story(server: Strict, reconciler: Reconciler) -> None:
        server.fails = {"Pod": FORBIDDEN}
        await reconciler(RUN)
        assert server.has(kind, "sales", "etl-1-a1")
        cache = Cache()
        for known in (FLOW, FLOW_VERSION, FLOW_RUN):
            for manifest in server.all(known):
                cache.upsert(known, manifest)
        api = FaultyApi(server)  # type: ignore[arg-type]
        applier = Applier(api, cache, Witness(Recorder(api, server.now), Metrics(), cache))  # type: ignore[arg-type]
        server.full = {("sales", "Service")}
        server.fails = {}
        await Reconciler(cache, applier, make.settings, server.now)(RUN)
        assert server.all(FLOW_RUN)[0]["status"]["attempt"]["podName"] == "etl-1-a1"

    play(make, story, *ready_flow(make), (FLOW_RUN, make.run()))


def test_what_stays_invalid_is_stalled_at_once(make, condition) -> None:
    invalid = refused(make, "FlowVersion", "etl-v2", permanent=True)
    made = flows.plan(
        flows.Observed(edited(make), [make.version(1)], [], version_refusal=invalid), make.settings, make.now
    )
    words = "FlowVersion etl-v2 is refused: exceeded quota: q; etl-v1 stays current"
    assert condition(made.status, "Stalled") == ("True", "VersionRefused", words)
