"""Import the flow that a person has named."""

from __future__ import annotations

import traceback

from headwater.core.entrypoint import load_flow
from headwater.core.errors import EntrypointError, HeadwaterError
from headwater.core.flow import Flow


def load(entrypoint: str) -> Flow:
    """Import the flow; what its module raises on import is shown from the user's own lines on."""
    try:
        return load_flow(entrypoint)
    except HeadwaterError:
        raise
    except (Exception, SystemExit) as error:
        tail = traceback.format_exception(type(error), error, error.__traceback__)
        raise EntrypointError(f'"{entrypoint}" cannot be imported:\n{"".join(tail[-3:]).rstrip()}') from None
