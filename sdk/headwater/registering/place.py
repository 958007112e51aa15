"""Where a flow's code is: the entrypoint by which pods find it, and the files that a resource can carry itself."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from headwater.core.errors import FlowError
from headwater.core.flow import Flow
from headwater.registering.imports import beside, source_text

# What the schema of a Flow allows in source.files.
MOST_BYTES = 128 * 1024
MOST_FILES = 64
FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True)
class Place:
    """An *entrypoint* for a Flow's spec; *files* are the text of each file by name, none where an image has them."""

    entrypoint: str
    files: dict[str, str] = field(default_factory=dict)


def place_of(flow: Flow, in_image: bool, target: str | None = None) -> Place:
    """Return where a flow that has been imported is.

    *target* is the file or module that the user has named, if so. Without an image the files go along: the flow's own
    and those beside it that it imports. Raises FlowError for what cannot go along, and says what to do.
    """
    named = re.sub(r":[^\W\d]\w*$", "", target or "")
    module = _module_of(flow, named)
    attribute = next(name for name, value in vars(module).items() if value is flow)
    if module.__name__ == "__main__" and getattr(module, "__package__", None):
        # `python -m package.flow`: what it is called is in its spec.
        named = str(getattr(module.__spec__, "name", module.__package__))
    is_module = bool(named) and not named.endswith(".py")
    if in_image:
        name = named if is_module else _file_of(module, flow).name
        return Place(f"{name}:{attribute}")
    if is_module and "." in named:
        raise FlowError(
            f'Flow "{flow.name}" is in the package {named.partition(".")[0]}, which a Flow resource cannot hold: '
            "build an image (`headwater build`) and give it with --image."
        )
    file = _file_of(module, flow)
    return Place(f"{file.name}:{attribute}", _files(file, flow))


def _module_of(flow: Flow, named: str) -> ModuleType:
    """The module in which the flow is: the named one, else of those that hold it the one whose import began last, as
    who imports a flow from another module began before it."""
    holders = [
        module
        for module in list(sys.modules.values())
        if isinstance(module, ModuleType) and any(value is flow for value in list(vars(module).values()))
    ]
    if named:
        suits = [m for m in holders if m.__name__ == named or _is_file(m, named)]
        holders = suits or holders
    if not holders:
        raise FlowError(
            f'Flow "{flow.name}" is no global variable of a module: pods find it by a file or module and its name '
            "there. Write it at the top level of a .py file."
        )
    return holders[-1]


def _is_file(module: ModuleType, named: str) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and named.endswith(".py") and Path(file).resolve() == Path(named).resolve()


def _file_of(module: ModuleType, flow: Flow) -> Path:
    file = getattr(module, "__file__", None)
    if file is None or not file.endswith(".py"):
        raise FlowError(f'Flow "{flow.name}" is in no file: save it as a .py file, and register that.')
    return Path(file).resolve()


def _folder_error(flow: Flow, path: Path) -> FlowError:
    return FlowError(
        f'Flow "{flow.name}" imports {path}, and source.files have no folders: build an image (`headwater build`) and '
        "give it with --image."
    )


def _files(file: Path, flow: Flow) -> dict[str, str]:
    """The file of a flow and the modules beside it that were imported, or will be when its tasks run."""
    found = {file.name: file}
    for name, module in list(sys.modules.items()):
        source = getattr(module, "__file__", None)
        top = name.partition(".")[0]
        if source is None or not (path := Path(source).resolve()).is_relative_to(file.parent):
            continue
        if path == file.parent / f"{top}.py":
            found[path.name] = path
        elif path.is_relative_to(file.parent / top):
            raise _folder_error(flow, path.relative_to(file.parent))
    found, packages = beside(found.values())
    if packages:
        raise _folder_error(flow, Path(packages[0].name))
    texts = {name: source_text(path) for name, path in sorted(found.items())}
    for name in texts:
        if not FILE_NAME.fullmatch(name):
            raise FlowError(
                f'Flow "{flow.name}": {name} is no name that a Flow resource can hold; rename the file, with letters '
                "from a to z, digits and _ . - only, or build an image (`headwater build`)."
            )
    size = sum(len(text.encode()) for text in texts.values())
    if size > MOST_BYTES or len(texts) > MOST_FILES:
        raise FlowError(
            f'Flow "{flow.name}" and the modules beside it are {len(texts)} files with {size} bytes, and a Flow '
            f"resource holds {MOST_FILES} with {MOST_BYTES} at most: build an image (`headwater build`)."
        )
    return texts
