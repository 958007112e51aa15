"""What a flow's file imports of what lies beside it, also in functions that run later; and its text as UTF-8."""

from __future__ import annotations

import ast
import importlib.util
import re
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

from headwater.core.errors import FlowError

_COOKIE = re.compile(r"^([ \t\f]*#.*?coding[:=][ \t]*)[-\w.]+", re.ASCII)


def source_text(file: Path) -> str:
    """Return a Python file's text. It travels as UTF-8: a line that says otherwise is made to say so."""
    try:
        with tokenize.open(file) as opened:
            text, encoding = opened.read(), opened.encoding
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise FlowError(f"{file} cannot be read as Python ({error}): save it as UTF-8.") from None
    if encoding.replace("_", "-") in ("utf-8", "utf-8-sig"):
        return text
    lines = text.split("\n")
    return "\n".join([*(_COOKIE.sub(r"\1utf-8", line) for line in lines[:2]), *lines[2:]])


def beside(files: Iterable[Path]) -> tuple[dict[str, Path], list[Path]]:
    """Return the modules beside *files* that they import, and that those import, by file name; and the packages among
    what they import, as folders."""
    found: dict[str, Path] = {}
    packages: list[Path] = []
    waiting = list(files)
    while waiting:
        file = waiting.pop()
        if file.name in found:
            continue
        found[file.name] = file
        for name in sorted(set(imported(source_text(file)))):
            place = _place(name)
            if place == file.parent / f"{name}.py":
                waiting.append(place)
            elif place == file.parent / name:
                packages.append(place)
    return found, packages


def imported(text: str) -> Iterator[str]:
    """Yield the top-level names of the modules that a text imports anywhere, but for type checkers alone."""
    try:
        waiting: list[ast.AST] = [ast.parse(text)]
    except (SyntaxError, ValueError):
        return  # the import tells, with the line
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


def _place(name: str) -> Path | None:
    """The file of a top-level module, or the folder of a package, without importing it; None where it is in neither."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # there is none; or it is __main__
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations is not None:
        return next((Path(each).resolve() for each in spec.submodule_search_locations), None)
    return Path(spec.origin).resolve() if spec.has_location and spec.origin is not None else None
