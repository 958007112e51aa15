"""What happens in pods: image, volumes, and what headwater.pod does inside."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import json
from typing import TYPE_CHECKING, Any

from headwater.resources.conditions import timestamp
from headwater.resources.names import ATTEMPT_LABEL, INSPECTION, ROLE_LABEL, RUNNER, WORKER
from headwater_operator.kinds import (
    CONFIG_MAP,
    FLOW_RUN,
    FLOW_VERSION,
    POD,
    SECRET,
    SERVICE,
    Kind,
    Manifest,
)
from simulation.values import (
    PATIENCE_SECONDS,
    has_ended,
    plays,
)

if TYPE_CHECKING:
    from simulation.server import Server


class Gone(Exception):
    """The pod that is being played is there no more."""


class Kubelet:
    """One pod's life: image, volumes, and what headwater.pod does inside."""

    def __init__(self, world: Server, pod: Manifest) -> None:
        self.world = world
        self.namespace, self.name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        self.uid = pod["metadata"]["uid"]
        self.owner = pod["metadata"]["ownerReferences"][0]
        self.role = pod["metadata"]["labels"][ROLE_LABEL]
        self.attempt = pod["metadata"]["labels"].get(ATTEMPT_LABEL)
        self.container = pod["spec"]["containers"][0]
        self.volumes = pod["spec"]["volumes"]

    def pod(self) -> Manifest:
        held = self.world.objects.get((POD.name, self.namespace, self.name))
        if (
            held is None
            or held["metadata"]["uid"] != self.uid
            or "deletionTimestamp" in held["metadata"]
            or has_ended(held)
        ):
            raise Gone
        return held

    def say(self, phase: str, **state: Any) -> None:
        made = copy.deepcopy(self.pod())
        repository, _, tag = self.container["image"].partition(":")
        digest = f"{repository}@sha256:{hashlib.sha256(tag.encode()).hexdigest()}"
        status = {"name": "flow", "image": self.container["image"], "state": state}
        if phase != "Pending":
            status["imageID"] = self.container["image"] if "@" in self.container["image"] else digest
        made["status"] = {"phase": phase, "containerStatuses": [status]}
        self.world._put(made, "MODIFIED")

    async def play(self) -> None:
        try:
            await self.world.sleep(0.05, 0.3)
            mounted = await self._start()
            self.say("Running", running={"startedAt": timestamp(self.world.now())})
            await {RUNNER: self._run, WORKER: self._work, INSPECTION: self._inspect}[self.role](mounted)
        except Gone:
            return

    async def _start(self) -> Manifest:
        """Pull the image and mount what the pod wants; return its run.json."""
        tries = 0
        while self.container["image"] in self.world.absent_images:
            tries += 1
            reason, words = (
                ("ErrImagePull", "")
                if tries % 2
                else ("ImagePullBackOff", 'Back-off pulling image "x": ErrImagePull: ')
            )
            self.say("Pending", waiting={"reason": reason, "message": f"{words}not found"})
            await asyncio.sleep(5)
        self.say("Pending", waiting={"reason": "ContainerCreating"})
        found: Manifest = {}
        for volume in self.volumes:
            if "secret" in volume:
                found = json.loads(
                    (await self._mount(SECRET, volume["secret"]["secretName"]))["stringData"]["run.json"]
                )
            if "configMap" in volume:
                await self._mount(CONFIG_MAP, volume["configMap"]["name"])
        await self.world.sleep(0.1, 0.5)
        return found

    async def _mount(self, kind: Kind, name: str) -> Manifest:
        while not self.world.has(kind, self.namespace, name):
            await asyncio.sleep(1)
            self.pod()
        return self.world.get(kind, self.namespace, name)

    def end(self, code: int, word: Manifest | None, reason: str | None = None) -> None:
        ended = {"exitCode": code, "reason": reason or ("Completed" if code == 0 else "Error")}
        if word is not None:
            ended["message"] = json.dumps(word)
        self.say("Failed" if code else "Succeeded", terminated={**ended, "startedAt": timestamp(self.world.now())})

    async def _write(self, kind: Kind, status: Manifest, patience: float = PATIENCE_SECONDS) -> bool:
        """Write into the owner's status, which is forbidden until it names this pod."""
        deadline = self.world.loop.time() + patience
        while True:
            self.pod()
            owner = self.world.objects.get((kind.name, self.namespace, self.owner["name"]))
            if owner is None:
                return False
            if owner["status"].get("attempt", {}).get("podUID") == self.uid:
                self.world.patch_status(kind, self.namespace, self.owner["name"], status, None)
                return True
            if self.world.loop.time() >= deadline:
                return False
            await self.world.sleep(0.05, 0.5)

    async def _inspect(self, _: Manifest) -> None:
        await self.world.sleep(0.1, 0.5)
        env = {entry["name"]: entry.get("value", "") for entry in self.container["env"]}
        failed = env["HEADWATER_ENTRYPOINT"].startswith("bad")
        status: Manifest = (
            {"error": {"message": "ImportError: no module"}} if failed else {"graph": {"counts": {"tasks": 3}}}
        )
        properties = {name: {} for name in ("x", "seconds", "fail")}
        status |= {} if failed else {"parametersSchema": {"type": "object", "properties": properties}}
        written = await self._write(FLOW_VERSION, status)
        self.end(0 if written and not failed else 1, status.get("error", {"unreported": True}))

    async def _run(self, handover: Manifest) -> None:
        run = self.world.objects.get((FLOW_RUN.name, self.namespace, self.owner["name"]))
        given = handover["parameters"]
        if run is not None and run["metadata"]["uid"] == self.owner["uid"]:
            wrong = {k: v for k, v in run["spec"].get("parameters", {}).items() if given.get(k) != v}
            if wrong:
                self.world.violate(f"{self.name} runs with another run's parameters: {given} instead of {wrong}")
        pods = handover["provisioner"] == "Pods"
        news: Manifest = {}
        cancelled = False
        for step in range(int(given.get("seconds", 2))):
            cancelled = self._is_cancelled()
            if cancelled:
                break
            while pods and not self._helped():
                await asyncio.sleep(0.2)
                self.pod()
            await self.world.sleep(0.3, 0.6)
            if step == 0:
                news = {"timeline": {"firstTaskAt": timestamp(self.world.now())}}
            if await self._write(FLOW_RUN, {**news, "progress": {"text": f"{step}/9"}}, patience=0.0):
                news = {}
        failed = bool(given.get("fail")) or cancelled
        state = "Cancelled" if cancelled else "Failed" if failed else "Success"
        report = {
            "state": state,
            "message": f"it is {state}",
            "finishedAt": timestamp(self.world.now()),
        }
        if not (self.world.faulty and self.world.random.random() < 0.15):
            await self._write(FLOW_RUN, {**news, "report": report})
        self.end(int(failed), report)

    def _is_cancelled(self) -> bool:
        """Whether the run, or one that it hangs from, is to end, as the runner sees it in its own resource."""
        run = self.world.objects.get((FLOW_RUN.name, self.namespace, self.owner["name"]))
        return run is not None and run["spec"].get("cancel") == "Cancel"

    def _helped(self) -> bool:
        """Whether a worker of this attempt is connected."""
        service = self.world.objects.get((SERVICE.name, self.namespace, self.name))
        address = service["spec"]["clusterIP"] if service is not None else None
        return any(
            pod.get("status", {}).get("phase") == "Running"
            and f"tcp://{address}:8786" in [entry.get("value") for entry in pod["spec"]["containers"][0]["env"]]
            for pod in self.world.all(POD, self.namespace)
            if plays(pod, WORKER, self.owner["uid"]) and "deletionTimestamp" not in pod["metadata"]
        )

    async def _work(self, _: Manifest) -> None:
        seen = False
        while True:
            runners = [p for p in self.world.all(POD, self.namespace) if plays(p, RUNNER, self.owner["uid"])]
            live = any(not has_ended(runner) for runner in runners)
            if seen and not live:
                self.end(0, None)
                return
            seen = seen or live
            await asyncio.sleep(0.5)
            self.pod()
