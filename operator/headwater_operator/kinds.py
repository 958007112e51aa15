"""The kinds of objects that the operator reads or makes, and their paths in the API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headwater.resources.names import API_VERSION

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    name: str
    plural: str
    api_version: str

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        root = f"/api/{self.api_version}" if "/" not in self.api_version else f"/apis/{self.api_version}"
        parts = [root]
        if namespace is not None:
            parts.append(f"namespaces/{namespace}")
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part is not None]
        return "/".join(parts)


FLOW = Kind("Flow", "flows", API_VERSION)
FLOW_VERSION = Kind("FlowVersion", "flowversions", API_VERSION)
FLOW_RUN = Kind("FlowRun", "flowruns", API_VERSION)
POD = Kind("Pod", "pods", "v1")
SERVICE = Kind("Service", "services", "v1")
SECRET = Kind("Secret", "secrets", "v1")
CONFIG_MAP = Kind("ConfigMap", "configmaps", "v1")
EVENT = Kind("Event", "events", "v1")
SERVICE_ACCOUNT = Kind("ServiceAccount", "serviceaccounts", "v1")
ROLE_BINDING = Kind("RoleBinding", "rolebindings", "rbac.authorization.k8s.io/v1")

KINDS = {
    kind.name: kind
    for kind in (
        *(FLOW, FLOW_VERSION, FLOW_RUN),
        *(POD, SERVICE, SECRET, CONFIG_MAP, EVENT, SERVICE_ACCOUNT, ROLE_BINDING),
    )
}


def kind_of(manifest: Manifest) -> Kind:
    return KINDS[manifest["kind"]]
