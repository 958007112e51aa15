"""The only module with Kopf in it: what it watches goes to the operator's parts; settings.

Kopf watches and nothing else: no finalizers, no annotations, no timers.
"""

from __future__ import annotations

import os
from typing import Any

import kopf

from headwater.resources.names import GROUP, VERSION
from headwater_operator.api import connect
from headwater_operator.kinds import CONFIG_MAP, FLOW, FLOW_RUN, FLOW_VERSION, POD, Kind
from headwater_operator.parts import SELECTORS, Operator
from headwater_operator.settings import Settings

# Where probes and Prometheus ask.
PORT = 8080


def register(registry: kopf.OperatorRegistry, settings: Settings) -> None:
    """Add the handlers to a registry."""
    operator: list[Operator] = []

    own = settings  # Kopf hands its handlers an argument of the same name

    @kopf.on.startup(registry=registry, id="headwater-start")
    async def start(settings: kopf.OperatorSettings, **_: Any) -> None:
        configure(settings)
        operator.append(Operator(own, connect(dict(os.environ))))
        await operator[0].serving.start(PORT)
        await operator[0].start()

    @kopf.on.login(registry=registry, id="headwater-login")
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    @kopf.on.cleanup(registry=registry, id="headwater-stop")
    async def stop(**_: Any) -> None:
        if operator:
            await operator[0].stop()

    for kind in (FLOW, FLOW_VERSION, FLOW_RUN):
        kopf.on.event(GROUP, VERSION, kind.plural, registry=registry, id=f"see-{kind.plural}")(
            _observer(operator, kind)
        )
    for kind in (POD, CONFIG_MAP):
        kopf.on.event("", "v1", kind.plural, registry=registry, id=f"see-{kind.plural}")(_observer(operator, kind))


def _observer(operator: list[Operator], kind: Kind) -> Any:
    async def observe(event: Any, **_: Any) -> None:
        manifest = event["object"]
        manifest.setdefault("apiVersion", kind.api_version)
        manifest.setdefault("kind", kind.name)
        await operator[0].observe(kind, event["type"], dict(manifest))

    return observe


def configure(settings: kopf.OperatorSettings) -> None:
    """Keep Kopf to watching, and out of the way of other operators that use it."""
    settings.persistence.finalizer = f"{GROUP}/operator"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP, v1=False)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=GROUP, v1=False)
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.watching.server_timeout = 600
    settings.watching.label_selectors["pods"] = SELECTORS[POD.name]
    settings.watching.label_selectors["configmaps"] = SELECTORS[CONFIG_MAP.name]
    settings.watching.chunk_size = 500
    # A worker of an object stays for that long, and all others wait for it once there are so many: with Kopf's own five
    # seconds no more than 40 objects would be heard of in a second.
    settings.queueing.worker_limit = 200
    settings.queueing.idle_timeout = 0.02
    settings.process.ultimate_exiting_timeout = 20
