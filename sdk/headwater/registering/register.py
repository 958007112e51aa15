"""Register a flow: the same for `flow.register()` and `headwater register`."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from headwater.core.context import context
from headwater.core.errors import ClusterError, FlowError
from headwater.core.flow import Flow
from headwater.kubernetes.client import Cluster
from headwater.registering.apply import Outcome, apply_flow
from headwater.registering.digest import DigestError, names_registry, pinned
from headwater.registering.manifest import flow_manifest
from headwater.registering.place import Place, place_of
from headwater.resources.conditions import timestamp
from headwater.resources.names import RESOLVE_ANNOTATION, object_name

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
    entrypoint: str | None = None  # where pods find the flow, if not where it is here

    def __post_init__(self) -> None:
        if not 0 <= self.seconds < math.inf:
            raise FlowError(f"The timeout is {self.seconds:g}; give seconds, 0 to wait not at all.")


def manifest_of(
    flow: Flow, options: Options, say: Callable[[str], None], cluster: Cluster | None = None
) -> dict[str, Any]:
    """Return the resource of a flow, its image by digest; *say* is told where none is known and the tag stays.

    Raises ClusterError where it must not stay: the image's registry is named, or the Flow in *cluster* has a digest.
    """
    if options.image is not None and options.entrypoint is not None:
        place = Place(options.entrypoint)
    else:
        place = place_of(flow, options.image is not None, options.target)
        place = replace(place, entrypoint=options.entrypoint or place.entrypoint)
    manifest = flow_manifest(
        flow,
        place,
        image=_image(flow, options, say, cluster),
        parameters=options.parameters,
        execution=options.execution,
        active=options.active,
    )
    if options.resolve:
        manifest["metadata"]["annotations"] = {RESOLVE_ANNOTATION: timestamp(datetime.now(UTC))}
    return manifest


def _image(flow: Flow, options: Options, say: Callable[[str], None], cluster: Cluster | None) -> str | None:
    if options.image is None or not options.pin or options.resolve:
        return options.image
    try:
        return pinned(options.image)
    except DigestError as error:
        there = cluster.find("flows", object_name(flow.name)) if cluster is not None else None
        if not may_stay_a_tag(options.image, there):
            raise ClusterError(
                f"Nothing is registered, as {error}. A tag alone could mean an older image than the one that runs now: "
                f"try again when the registry tells, name the image by its digest ({options.image}@sha256:...), or "
                "register the tag as it is with --no-pin."
            ) from None
        say(
            f"The image is registered by its tag, as {error}. A version keeps the image that its tag stood for when it "
            "was made; --resolve makes a new one of what it stands for now."
        )
        return options.image


def may_stay_a_tag(image: str, there: Mapping[str, Any] | None) -> bool:
    """Whether a tag may be registered though nobody tells its digest: where it may be of an image that nodes alone
    have, and the Flow that is *there* has no digest that this would take back."""
    return not names_registry(image) and "@" not in (there or {"spec": {}})["spec"].get("image", "")


def register(flow: Flow, cluster: Cluster, options: Options, say: Callable[[str], None] = print) -> Outcome:
    """Apply the flow's resource to the cluster's namespace, wait for its version, and say what came of it.

    Raises FlowError and ParameterError before anything is applied, and ClusterError.
    """
    manifest = manifest_of(flow, options, say, cluster)
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
