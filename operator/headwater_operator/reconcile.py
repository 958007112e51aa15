"""One reconciliation: gather facts from the cache, decide, apply; again until nothing is left to make."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from headwater.resources.names import CLAIM, ROLE_LABEL, TASK_LIMITS, VERSION_LABEL, attempt_name, claim_name
from headwater_operator.apply import Applier, NamespaceGoes, NotMade, Refused, is_owned
from headwater_operator.cache import Cache
from headwater_operator.flows import plan as flows
from headwater_operator.flows.keeping import Ties, give_up
from headwater_operator.kinds import CONFIG_MAP, FLOW, FLOW_RUN, FLOW_VERSION, POD, Kind, Manifest
from headwater_operator.line import LineKeeper, Promise, is_finished, version_label
from headwater_operator.objects.template import TemplateError
from headwater_operator.pair import make_pair
from headwater_operator.plans import Plan, Refusal
from headwater_operator.queue import WorkKey
from headwater_operator.refusals import Refusals
from headwater_operator.runs import plan as runs
from headwater_operator.runs.cancel import wish_of
from headwater_operator.runs.children import Parent, started_by
from headwater_operator.runs.claims import key_of
from headwater_operator.runs.concurrency import limits_of
from headwater_operator.runs.facts import Observed as ObservedRun
from headwater_operator.runs.queue import place_of, replaced_by, turn
from headwater_operator.settings import Settings
from headwater_operator.slots.keeper import TASK_SLOTS, SlotKeeper
from headwater_operator.versions import plan as versions

logger = logging.getLogger("headwater.operator")

# A plan that makes things is followed by another look; each object needs at most this many.
ROUNDS = 6


class Reconciler:
    """Reconciles by key. The clock is an argument."""

    def __init__(
        self,
        cache: Cache,
        applier: Applier,
        settings: Settings,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._cache = cache
        self._applier = applier
        self._settings = settings
        self._now = now
        self._line = LineKeeper(cache, settings)
        self.slots = SlotKeeper(cache, applier)
        self._refusals = Refusals()
        self._deciders: dict[str, tuple[Kind, Callable[[WorkKey, Manifest], Plan]]] = {
            FLOW.name: (FLOW, self._decide_flow),
            FLOW_VERSION.name: (FLOW_VERSION, self._decide_version),
            FLOW_RUN.name: (FLOW_RUN, self._decide_run),
        }

    async def __call__(self, key: WorkKey) -> float | None:
        """Bring one object to where it should be; return when to look again, in seconds."""
        if key.kind == TASK_SLOTS:
            return await self.slots(key.namespace)
        kind, decide = self._deciders[key.kind]
        plan, manifest = Plan(), None
        for _ in range(ROUNDS):
            manifest = self._cache.get(kind, key.namespace, key.name)
            if manifest is None:
                self._refusals.forget(key)
                self._line.release(key)
                return None
            try:
                plan = decide(key, manifest)
            except TemplateError as error:
                # The next decision goes by the refusal and makes no pod.
                refusal = Refusal(str(error), permanent=True)
                self._refusals.note(key, manifest["metadata"]["uid"], refusal, self._now())
                continue
            if not await self._carry_out(key, plan, kind, manifest):
                self._refusals.settled(key)
                return plan.again_seconds
        assert manifest is not None, "there are rounds"
        self._unsettled(key, plan, manifest)
        return 1.0

    def _unsettled(self, key: WorkKey, plan: Plan, manifest: Manifest) -> None:
        """Each look has found something to do. When that lasts, the object says what is made again and again."""
        logger.warning("%s %s/%s does not settle; looking again later", key.kind, key.namespace, key.name)
        uid = manifest["metadata"]["uid"]
        if plan.create and self._refusals.unsettled(key, uid):
            words = (
                "the API server takes it, and it is not there as it was asked for: something changes it, or takes it"
            )
            kind, name = plan.create[-1]["kind"], plan.create[-1]["metadata"]["name"]
            self._refusals.note(key, uid, Refusal(words, kind=kind, name=name, how="not made"), self._now())

    async def _carry_out(self, key: WorkKey, plan: Plan, kind: Kind, manifest: Manifest) -> bool:
        """Apply a plan; return whether another look may find more to do."""
        try:
            await self._applier.apply(plan, kind, manifest)
        except NamespaceGoes as gone:
            logger.debug("%s %s/%s: %s", key.kind, key.namespace, key.name, gone)
            return False
        except NotMade as failed:
            uid = manifest["metadata"]["uid"]
            if not isinstance(failed, Refused) and not self._refusals.failed(key, uid):
                raise  # mostly it is over in a moment
            self._refusals.note(key, uid, failed.refusal, self._now())
            if failed.refusal.kind == POD.name:
                # The account may have gone with an earlier namespace of this name: make it once more.
                self._cache.accounts.discard(key.namespace)
            return True
        if plan.create:
            self._refusals.made(key, (made["kind"] for made in plan.create))
        # A Flow's status sums up what goes on meanwhile: there is always more to say, and time for it later.
        changed = kind is not FLOW and self._cache.get(kind, key.namespace, key.name) is not manifest
        return bool(plan.create) or changed

    def _versions(self, flow: Manifest) -> list[Manifest]:
        """A flow's own versions: those of an earlier flow of its name are about to go."""
        metadata = flow["metadata"]
        found = self._cache.versions_of(metadata["namespace"], metadata["name"])
        return [version for version in found if is_owned(version, metadata["uid"])]

    def _decide_flow(self, key: WorkKey, flow: Manifest) -> Plan:
        runs = self._cache.runs_of(key.namespace, key.name)
        refused = partial(self._refusals.of, key, flow["metadata"]["uid"])
        everybodys = self._cache.versions_of(key.namespace, key.name)
        seen = flows.Observed(
            flow,
            self._versions(flow),
            runs,
            refused(FLOW_RUN.name),
            version_refusal=refused(FLOW_VERSION.name),
            ownerless=tuple(v for v in everybodys if not v["metadata"].get("ownerReferences")),
        )
        now = self._now()
        return give_up(flows.plan(seen, self._settings, now), seen, self._ties(key, seen.runs), self._settings, now)

    def _ties(self, key: WorkKey, runs: list[Manifest]) -> Ties:
        pods = self._cache.pods_of_flow(key.namespace, key.name)
        return Ties(
            children={run["metadata"]["uid"] for run in runs if self._goes_on(started_by(run), key.namespace)},
            versions={pod["metadata"]["labels"].get(VERSION_LABEL) for pod in pods}
            | self._line.promised_versions(key.namespace),
            claims=tuple(self._cache.claims_of(key.namespace, key.name)),
        )

    def _goes_on(self, parent: Parent | None, namespace: str) -> bool:
        found = self._cache.get(FLOW_RUN, namespace, parent.name) if parent is not None else None
        if parent is None or found is None or is_finished(found):
            return False
        return parent.uid in (None, found["metadata"]["uid"])

    def _decide_version(self, key: WorkKey, version: Manifest) -> Plan:
        found = self._cache.pods_of_version(key.namespace, key.name)
        pods = [pod for pod in found if is_owned(pod, version["metadata"]["uid"])]
        account = key.namespace in self._cache.accounts
        seen = versions.Observed(
            version,
            pods[0] if pods else None,
            account,
            self._refusals.of(key, version["metadata"]["uid"]),
            versions.is_current(version, self._cache.get(FLOW, key.namespace, version["spec"]["flow"])),
        )
        return versions.plan(seen, self._settings, self._now())

    def _decide_run(self, key: WorkKey, run: Manifest) -> Plan:
        name = run["spec"]["flow"]
        flow = self._cache.get(FLOW, key.namespace, name)
        # Those of an earlier run of this name may still be there.
        pods = [p for p in self._cache.pods_of_run(key.namespace, key.name) if is_owned(p, run["metadata"]["uid"])]
        attempt = attempt_name(key.name, int(run.get("status", {}).get("attempt", {}).get("number", 1)))
        now = self._now()
        needs_pair = self._settings.tls and "attempt" not in run.get("status", {}) and not is_finished(run)
        seen = ObservedRun(
            run=run,
            flow=flow,
            # What has begun keeps its version for as long as that is there, whoever owns it.
            versions=self._versions(flow)
            if flow is not None and "attempt" not in run.get("status", {})
            else self._cache.versions_of(key.namespace, name),
            pods=pods,
            address=self._cache.address(key.namespace, attempt),
            secret=self._cache.has_secret(key.namespace, attempt),
            account=key.namespace in self._cache.accounts,
            pair=make_pair(attempt, now) if needs_pair else None,
            refusal=self._refusals.of(key, run["metadata"]["uid"]),
            task_limits=tuple(sorted(limits_of(self._cache.config_maps(key.namespace, TASK_LIMITS)))),
            resumed=self._cache.get(FLOW_RUN, key.namespace, run["spec"].get("resumeFrom", {}).get("run", "")),
            cancel=wish_of(run, lambda parent: self._cache.get(FLOW_RUN, key.namespace, parent)),
        )
        plan = runs.plan(self._in_line(seen), self._settings, now)
        if plan.create and not seen.begun and not seen.finished:
            self._line.promise(key, Promise(run["metadata"]["uid"], name, version_label(plan.create)))
        elif seen.finished or not seen.begun or "attempt" in seen.status:
            self._line.release(key)
        return plan

    def _in_line(self, seen: ObservedRun) -> ObservedRun:
        """Add whether it is the run's turn, and what is known of its key."""
        if seen.finished or seen.flow is None:
            return seen
        run, flow = seen.run, seen.flow
        line = self._line.line(flow)
        if line is not None:
            place = place_of(run)
            seen = (
                replace(seen, replaced_by=replaced_by(place, line))
                if seen.begun
                else replace(seen, turn=turn(place, line))
            )
        key = key_of(run)
        if seen.begun or key is None:
            return seen
        namespace, name = run["metadata"]["namespace"], flow["metadata"]["name"]
        claim = self._cache.get(CONFIG_MAP, namespace, claim_name(name, key))
        return replace(
            seen,
            claim=claim if claim is not None and _is_claim_of(flow, claim) else None,
            rival=self._line.rivals(namespace, name).get(run["metadata"]["uid"]),
        )


def _is_claim_of(flow: Manifest, found: Manifest) -> bool:
    return found["metadata"].get("labels", {}).get(ROLE_LABEL) == CLAIM and is_owned(found, flow["metadata"]["uid"])
