"""Names, labels and owners, alike on every object that the operator makes.

Labels are an allow-list: labels of the owner that belong to others, such as a GitOps tool's, are
never handed on, or that tool would take our objects for its own.
"""

from __future__ import annotations

from headwater_operator.kinds import Manifest


def metadata(*, name: str, owner: Manifest, role: str, labels: dict[str, str]) -> Manifest:
    """Return the metadata of an object owned by *owner*, which the API server deletes with it."""
    return {
        "name": name,
        "namespace": owner["metadata"]["namespace"],
        "labels": {
            "app.kubernetes.io/name": "headwater",
            "app.kubernetes.io/component": role,
            "app.kubernetes.io/managed-by": "headwater-operator",
            "headwater.dev/role": role,
            **labels,
        },
        "ownerReferences": [
            {
                "apiVersion": owner["apiVersion"],
                "kind": owner["kind"],
                "name": owner["metadata"]["name"],
                "uid": owner["metadata"]["uid"],
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
