"""Dask's TLS settings from the attempt's Secret: one self-signed pair that every pod of the attempt holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def security(folder: Path) -> Any:
    """Return a distributed Security in which both sides must show the attempt's certificate."""
    from distributed.security import Security

    cert, key = str(folder / "tls.crt"), str(folder / "tls.key")
    return Security(
        require_encryption=True,
        tls_ca_file=cert,
        tls_scheduler_cert=cert,
        tls_scheduler_key=key,
        tls_worker_cert=cert,
        tls_worker_key=key,
        tls_client_cert=cert,
        tls_client_key=key,
    )
