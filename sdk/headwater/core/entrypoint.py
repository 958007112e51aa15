"""Find a flow by its entrypoint: `package.module:attribute` or `folder/file.py:attribute`."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from headwater.core.context import context
from headwater.core.errors import EntrypointError
from headwater.core.flow import Flow

# A file may be called as it likes.
_FORM = re.compile(r"(?P<place>.+\.py|[A-Za-z0-9_./-]+?)(?::(?P<attribute>[^\W\d]\w*))?", re.DOTALL)


def load_flow(entrypoint: str, folders: Sequence[Path] = ()) -> Flow:
    """Import a flow. Files and modules are looked for in *folders*, then in the working directory and on sys.path.

    Without an attribute the module must hold exactly one flow. Raises EntrypointError when
    there is none; what the module itself raises on import is raised as it is.
    """
    match = _FORM.fullmatch(entrypoint)
    if match is None:
        raise EntrypointError(f'Entrypoint "{entrypoint}" is not of the form module:attribute or file.py:attribute.')
    for folder in reversed(folders):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    place, attribute = match["place"], match["attribute"]
    with context(loading_flow=True):
        module = _load_file(place, folders) if place.endswith(".py") else _load_module(entrypoint, place)
    return _pick(module, attribute, entrypoint)


def _load_file(place: str, folders: Sequence[Path]) -> ModuleType:
    tried = [folder / place for folder in (*folders, Path.cwd())]
    file = next((path for path in tried if path.is_file()), None)
    if file is None:
        where = ", ".join(str(path.parent) for path in tried)
        raise EntrypointError(f'There is no file "{place}" (looked in {where}).')
    file = file.absolute()
    loaded = sys.modules.get(file.stem)
    if loaded is not None and getattr(loaded, "__file__", None) == str(file):
        return loaded
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))  # so that it can import what lies beside it
    # Under its own name, so that runner and workers agree on what its classes are called;
    # unless a module of that name is loaded already, which it must not displace.
    name = file.stem if loaded is None else f"headwater_flow_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise EntrypointError(f'"{file}" cannot be imported as Python.')
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _load_module(entrypoint: str, place: str) -> ModuleType:
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name is not None and (place == error.name or place.startswith(f"{error.name}.")):
            raise EntrypointError(f'Entrypoint "{entrypoint}": there is no module "{error.name}".') from None
        raise


def _pick(module: ModuleType, attribute: str | None, entrypoint: str) -> Flow:
    flows = {name: value for name, value in vars(module).items() if isinstance(value, Flow)}
    found = ", ".join(sorted(flows)) or "none"
    if attribute is None:
        if len(set(map(id, flows.values()))) != 1:
            raise EntrypointError(f'"{entrypoint}" holds these flows: {found}; name one, as in {entrypoint}:flow.')
        return next(iter(flows.values()))
    value = getattr(module, attribute, None)
    if not isinstance(value, Flow):
        what = "has no such attribute" if value is None else f"that is no Flow but of type {type(value).__name__}"
        raise EntrypointError(f'Entrypoint "{entrypoint}": {what}; the module holds these flows: {found}.')
    return value
