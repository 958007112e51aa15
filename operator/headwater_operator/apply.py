"""Carry out a plan. "Already exists" and "not found" are success: a plan may be carried out twice."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Iterable
from dataclasses import replace
from typing import Any

from headwater.core.errors import ClusterError
from headwater.resources.names import CLAIM, ROLE_LABEL
from headwater_operator.api import Api, ApiError
from headwater_operator.cache import Cache
from headwater_operator.kinds import (
    CONFIG_MAP,
    FLOW_RUN,
    FLOW_VERSION,
    POD,
    ROLE_BINDING,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    Kind,
    Manifest,
    kind_of,
)
from headwater_operator.plans import Delete, Plan, Refusal
from headwater_operator.witness import Witness

logger = logging.getLogger("headwater.operator")

# Objects whose content a plan needs.
READ = (SERVICE, POD, FLOW_VERSION, FLOW_RUN)

# What pods mount, and a version, come before these, which are made beside the status.
LAST = (POD.name, FLOW_RUN.name)

# Of these nobody tells whether they are there.
UNWATCHED = (SERVICE, SECRET, CONFIG_MAP, SERVICE_ACCOUNT)

# So says the API server; its reason is an ordinary Forbidden.
NAMESPACE_GOES = "because it is being terminated"


class NamespaceGoes(ClusterError):
    """Nothing is made in a namespace that is being deleted, and what it has goes with it."""


class InTheWay(ClusterError):
    """What has the name of an object that is wanted is somebody else's."""


class NotMade(ClusterError):
    """An object is in the way, or the API server is at fault: when that lasts, the object that wants it says so."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class Refused(NotMade):
    """A quota or a policy does not allow an object, or it is invalid: the object that wants it says so."""


class Applier:
    """Writes to the API server and keeps the cache abreast of what it wrote."""

    def __init__(self, api: Api, cache: Cache, witness: Witness) -> None:
        self._api = api
        self._cache = cache
        self._witness = witness

    async def apply(self, plan: Plan, kind: Kind, manifest: Manifest) -> None:
        """Carry out a plan for an object: delete in the order given, then create and write its status at once.

        A final status comes last, as nothing is looked after any more once it is there. All that is to be made is
        tried even when a part fails; the first failure is raised afterwards. What happened is told when
        all of it is done.
        """
        namespace = manifest["metadata"]["namespace"]
        for delete in plan.delete:
            await self._delete(namespace, delete)
        # What pods mount comes before them: a pod that is there is not made again.
        await self._all(self.create(wanted) for wanted in plan.create if wanted["kind"] not in LAST)
        pods = [self.create(wanted) for wanted in plan.create if wanted["kind"] in LAST]
        status = [self.write_status(kind, manifest, plan.status)] if plan.status is not None else []
        patches = [self.write_status(patch.kind, patch.manifest, patch.status) for patch in plan.patches]
        results = await self._all([*pods, *status, *patches])
        if False not in results:
            self._witness.happened(manifest, plan.events)

    async def _all(self, work: Iterable[Coroutine[Any, Any, bool | None]]) -> list[Any]:
        results = await asyncio.gather(*work, return_exceptions=True)
        failures = [result for result in results if isinstance(result, BaseException)]
        if failures:
            raise next((failure for failure in failures if isinstance(failure, Refused)), failures[0])
        return results

    async def create(self, wanted: Manifest) -> None:
        kind = kind_of(wanted)
        try:
            made = await self._create(kind, wanted)
        except (ApiError, InTheWay) as error:
            if kind is ROLE_BINDING and isinstance(error, ApiError) and error.status == 403:
                # Most flows start no others; those that do are told by the API server.
                namespace = wanted["metadata"]["namespace"]
                logger.warning("Flows in namespace %s cannot start runs of flows: %s", namespace, error)
                return
            raise _not_made(wanted, error) from None
        self._remember(kind, made)

    async def _create(self, kind: Kind, wanted: Manifest) -> Manifest:
        """Return what is there by the wanted name: made now, or ours before."""
        try:
            made = await self._api.create(wanted)
            self._witness.created(made)
            return made
        except ApiError as error:
            if error.status == 403 and NAMESPACE_GOES in str(error):
                raise NamespaceGoes(str(error)) from None
            if error.reason == "AlreadyExists":
                return await self._ours(kind, wanted, kind in READ or is_claim(wanted))
            if error.status == 403 and kind in UNWATCHED:
                # Quotas and policies are asked before the name is: it may be there, and use up the quota itself.
                with contextlib.suppress(ApiError):
                    return await self._ours(kind, wanted, True)
            raise

    async def _ours(self, kind: Kind, wanted: Manifest, read: bool) -> Manifest:
        namespace, name = wanted["metadata"]["namespace"], wanted["metadata"]["name"]
        if kind is SECRET:
            found = await self._make_anew(wanted)
        else:
            found = await self._api.get(kind, namespace, name) if read else wanted
        if kind is FLOW_RUN:
            _check_flow(wanted, found)
        else:
            _check_owner(wanted, found)
        return found

    async def _make_anew(self, secret: Manifest) -> Manifest:
        """A Secret of this name exists, perhaps of an earlier run of the same name, and nobody may read whose it is.

        It is replaced, unless pods of ours have been made, which may hold it already.
        """
        namespace, name = secret["metadata"]["namespace"], secret["metadata"]["name"]
        owner = secret["metadata"]["ownerReferences"][0]
        if any(is_owned(pod, owner["uid"]) for pod in self._cache.pods_of_run(namespace, owner["name"])):
            return secret
        try:
            _check_owner(secret, await self._api.get(POD, namespace, name))
        except ApiError as error:
            if error.status != 404:
                raise
            await self._delete(namespace, Delete(SECRET, name))
            return await self._api.create(secret)
        return secret

    def _remember(self, kind: Kind, made: Manifest) -> None:
        namespace, name = made["metadata"]["namespace"], made["metadata"]["name"]
        if kind in (SERVICE, SECRET) and not self._is_wanted(made):
            return  # its run was deleted meanwhile, and the next of that name has its own
        if kind is SERVICE:
            self._cache.set_address(namespace, name, made["spec"]["clusterIP"])
        elif kind is SECRET:
            self._cache.add_secret(namespace, name)
        elif kind is SERVICE_ACCOUNT:
            self._cache.accounts.add(namespace)
        elif kind in (POD, FLOW_VERSION, FLOW_RUN) or is_claim(made):
            self._cache.upsert(kind, made)

    def _is_wanted(self, made: Manifest) -> bool:
        """Whether one of its owners is a run that is there; somebody may have given it others."""
        owners = made["metadata"].get("ownerReferences", [])
        found = (self._cache.get(FLOW_RUN, made["metadata"]["namespace"], owner["name"]) for owner in owners)
        return any(run is not None and is_owned(made, run["metadata"]["uid"]) for run in found)

    async def write_status(self, kind: Kind, manifest: Manifest, status: dict[str, Any]) -> bool:
        """Write what differs from the status as last seen, if anything does; return whether it stands there now.

        What was decided from an object that has changed since, or whose name is another's by now, is not
        written: the object is read anew, and the next decision goes by that.
        """
        patch = difference(manifest.get("status", {}), status)
        if not patch:
            return True
        try:
            written, found = await self._write(kind, manifest["metadata"], patch)
        except ApiError as error:
            if error.status == 404:
                self._cache.remove(kind, manifest)  # deleted, and its event may have been missed
                return False
            raise
        self._cache.upsert(kind, found)
        if written:
            self._witness.status_written(kind, manifest, found)
        return written

    async def _write(self, kind: Kind, metadata: Manifest, patch: dict[str, Any]) -> tuple[bool, Manifest]:
        """Return whether the patch was taken, and the object as it is now."""
        namespace, name = metadata["namespace"], metadata["name"]
        try:
            return True, await self._api.patch_status(kind, namespace, name, patch, metadata["resourceVersion"])
        except ApiError as error:
            if error.reason != "Conflict":
                raise
            return False, await self._api.get(kind, namespace, name)

    async def _delete(self, namespace: str, delete: Delete) -> None:
        try:
            if delete.selector is not None:
                await self._api.delete_all(delete.kind, namespace, delete.selector)
            else:
                assert delete.name is not None
                await self._api.delete(delete.kind, namespace, delete.name, delete.uid)
        except ApiError as error:
            another = delete.uid is not None and error.reason == "Conflict"
            if error.status != 404 and not another:
                raise
        if delete.name is not None:
            self._cache.forget(delete.kind, namespace, delete.name)


def is_owned(manifest: Manifest, uid: str) -> bool:
    """Whether the object of this uid owns another."""
    return any(owner["uid"] == uid for owner in manifest["metadata"].get("ownerReferences", []))


def is_claim(manifest: Manifest) -> bool:
    """Whether an object is the ConfigMap that keeps how the run of an idempotency key ended."""
    return bool(manifest["metadata"].get("labels", {}).get(ROLE_LABEL) == CLAIM)


def _not_made(wanted: Manifest, error: ApiError | InTheWay) -> NotMade:
    status = error.status if isinstance(error, ApiError) else None
    refusal = Refusal(str(error), kind=wanted["kind"], name=wanted["metadata"]["name"])
    if status not in (400, 403, 422):
        return NotMade(replace(refusal, how="not made"))
    # What is forbidden may be allowed later; what is invalid stays so. A claim is waited for whatever happens.
    return Refused(replace(refusal, permanent=status != 403 and not is_claim(wanted)))


def _check_owner(wanted: Manifest, found: Manifest) -> None:
    """An object of the wanted name must be ours: of the same owner, not of an earlier one of its name."""
    for owner in wanted["metadata"].get("ownerReferences", []):
        if not is_owned(found, owner["uid"]):
            raise InTheWay(
                f'{found["kind"]} "{found["metadata"]["name"]}" is in the way: it does not belong to '
                f'{owner["kind"]} "{owner["name"]}"; delete it, or wait until it is gone'
            )


def _check_flow(wanted: Manifest, found: Manifest) -> None:
    """A run of the wanted name counts as the schedule's, whoever made it, but not one of another flow."""
    flow = found["spec"]["flow"]
    if flow != wanted["spec"]["flow"]:
        name = found["metadata"]["name"]
        words = f'FlowRun "{name}" is in the way: it is a run of Flow "{flow}"; delete it'
        raise Refused(Refusal(words, kind=FLOW_RUN.name, name=name))


def difference(now: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the merge patch that makes *now* agree with *wanted* in wanted's fields; None deletes."""
    patch: dict[str, Any] = {}
    for key, value in wanted.items():
        have = now.get(key)
        if isinstance(value, dict) and isinstance(have, dict):
            inner = difference(have, value)
            if inner:
                patch[key] = inner
        elif value != have:
            patch[key] = value
    return patch
