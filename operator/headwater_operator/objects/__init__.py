"""Manifests of everything that the operator makes. Pure: values in, whole manifests out."""
