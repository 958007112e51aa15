"""Register a flow: the same for `flow.register()` and `headwater register`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from headwater.core.context import context
from headwater.core.errors import ClusterError, FlowError
from headwater.core.flow import Flow
from headwater.kubernetes.client import Cluster
from headwater.registering.apply import Outcome, apply_flow
from headwater.registering.digest import DigestError, pinned
from headwater.registering.manifest import flow_manifest
from headwater.registering.place import place_of
from headwater.resources.conditions import timestamp
from headwater.resources.names import RESOLVE_ANNOTATION

logger = logging.getLogger("headwater.flow")

WAIT_SECONDS = 300.0


@dataclass(frozen=True)
class Options:
    """What a registration may say beyond the flow itself; see `Flow.register`."""

    image: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    execution: Mapping[str, Any] = field(default_factory=dict)
    active: bool = True
    pin: bool = True
    resolve: bool = False
    force: bool = False
    seconds: float = WAIT_SECONDS
    target: str | None = None  # the file or module that a person has named


def manifest_of(flow: Flow, options: Options, say: Callable[[str], None]) -> dict[str, Any]:
    """Return the resource of a flow, its image by digest where the registry tells one; *say* is told where not."""
    place = place_of(flow, options.image is not None, options.target)
    manifest = flow_manifest(
        flow,
        place,
        image=_image(options, say),
        parameters=options.parameters,
        execution=options.execution,
        active=options.active,
    )
    if options.resolve:
        manifest["metadata"]["annotations"] = {RESOLVE_ANNOTATION: timestamp(datetime.now(UTC))}
    return manifest


def _image(options: Options, say: Callable[[str], None]) -> str | None:
    if options.image is None or not options.pin or options.resolve:
        return options.image
    try:
        return pinned(options.image)
    except DigestError as error:
        say(
            f"The image is registered by its tag, as {error}. A version keeps the image that its tag stood for when it "
            "was made; --resolve makes a new one of what it stands for now."
        )
        return options.image


def register(flow: Flow, cluster: Cluster, options: Options, say: Callable[[str], None] = print) -> Outcome:
    """Apply the flow's resource to the cluster's namespace, wait for its version, and say what came of it.

    Raises FlowError and ParameterError before anything is applied, and ClusterError.
    """
    manifest = manifest_of(flow, options, say)
    outcome = apply_flow(cluster, manifest, seconds=options.seconds, force=options.force)
    name, namespace = outcome.name, outcome.namespace
    say(f'Flow "{name}" in namespace "{namespace}": {outcome.words}')
    if outcome.problem:
        say(outcome.problem)
    else:
        say(f"  run it:     headwater start {name} -n {namespace}")
    say(f"  look at it: kubectl -n {namespace} describe flow {name}")
    return outcome


def register_flow(flow: Flow, project_name: str | None, context_name: str | None, options: Options) -> str | None:
    """What `Flow.register` does: return the name of the version, None where nobody waited for it.

    Raises FlowError when the version cannot run.
    """
    if context.get("loading_flow"):
        logger.warning("Flow '%s': register() does nothing while its file is being loaded.", flow.name)
        return None
    if context.get("flow") is flow:
        raise FlowError(f'Flow "{flow.name}" cannot be registered inside its own `with` block; do it after it.')
    outcome = register(flow, Cluster(project_name, context_name), options)
    if outcome.problem:
        raise ClusterError(
            f'Flow "{outcome.name}" in namespace "{outcome.namespace}" is applied, but it {outcome.words}: '
            f"{outcome.problem}"
        )
    return None if outcome.number is None else f"{outcome.name}-v{outcome.number}"
