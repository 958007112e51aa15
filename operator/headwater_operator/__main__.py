"""`python -m headwater_operator`: run the operator, in a cluster or beside one (by kubeconfig)."""

from __future__ import annotations

import logging
import os
import signal
import sys

# As process 1 of a container nothing stops by itself: until Kopf listens, stop at once.
signal.signal(signal.SIGTERM, lambda *_: os._exit(143))

import kopf  # noqa: E402  # the imports take a second, in which a signal must count

from headwater_operator.handlers import register  # noqa: E402
from headwater_operator.settings import Settings  # noqa: E402


def main() -> None:
    try:
        settings = Settings.from_environment()
    except ValueError as error:
        sys.exit(f"headwater-operator: {error}")
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr
    )
    logging.getLogger("headwater").setLevel(settings.log_level)
    registry = kopf.OperatorRegistry()
    register(registry, settings)
    kopf.run(registry=registry, clusterwide=True)


if __name__ == "__main__":
    main()
