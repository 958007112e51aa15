"""The operator's settings, read once from its environment. Units are in the names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    namespace: str = "headwater-system"
    operator_account: str = "headwater-operator"
    flow_account: str = "headwater-runner"
    runtime_image: str = "headwater/runtime:dev"
    image_pull_policy: str = "IfNotPresent"
    tls: bool = True
    keep_runner_seconds: int = 3600
    log_level: str = "INFO"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read HEADWATER_*. Raises ValueError that names the variable."""
        default = cls()
        return cls(
            namespace=environment.get("HEADWATER_NAMESPACE", default.namespace),
            operator_account=environment.get("HEADWATER_OPERATOR_ACCOUNT", default.operator_account),
            flow_account=environment.get("HEADWATER_FLOW_ACCOUNT", default.flow_account),
            runtime_image=environment.get("HEADWATER_RUNTIME_IMAGE", default.runtime_image),
            image_pull_policy=environment.get("HEADWATER_IMAGE_PULL_POLICY", default.image_pull_policy),
            tls=_boolean(environment, "HEADWATER_TLS", default.tls),
            keep_runner_seconds=_seconds(environment, "HEADWATER_KEEP_RUNNER_SECONDS", default.keep_runner_seconds),
            log_level=environment.get("HEADWATER_LOG_LEVEL", default.log_level).upper(),
        )


def _boolean(environment: Mapping[str, str], name: str, default: bool) -> bool:
    text = environment.get(name, str(default)).lower()
    if text not in ("true", "false"):
        raise ValueError(f'{name} is "{text}"; it must be true or false.')
    return text == "true"


def _seconds(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, str(default))
    if not text.isdecimal():
        raise ValueError(f'{name} is "{text}"; it must be a whole number of seconds, 0 or more.')
    return int(text)
