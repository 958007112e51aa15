"""The tasks behind the operators: `a + b` in a flow is an Add task of a and b."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, ClassVar

from headwater.core.task import Task

# Of a name that is made of a key or a value; the rest is cut off.
NAME_LENGTH = 40


class Binary(Task):
    """A task of two values."""

    function: ClassVar[Callable[[Any, Any], Any]]

    def run(self, x: Any, y: Any) -> Any:
        return type(self).function(x, y)


class Add(Binary):
    function = operator.add


class Sub(Binary):
    function = operator.sub


class Mul(Binary):
    function = operator.mul


class Div(Binary):
    function = operator.truediv


class FloorDiv(Binary):
    function = operator.floordiv


class Mod(Binary):
    function = operator.mod


class Pow(Binary):
    function = operator.pow


class And(Binary):
    def run(self, x: Any, y: Any) -> bool:
        return bool(x and y)


class Or(Binary):
    def run(self, x: Any, y: Any) -> bool:
        return bool(x or y)


class Equal(Binary):
    function = operator.eq


class NotEqual(Binary):
    function = operator.ne


class GreaterThan(Binary):
    function = operator.gt


class GreaterThanOrEqual(Binary):
    function = operator.ge


class LessThan(Binary):
    function = operator.lt


class LessThanOrEqual(Binary):
    function = operator.le


class Not(Task):
    def run(self, x: Any) -> bool:
        return not x


class GetItem(Task):
    """Takes an item out of a result: `rows["airport"]`, `rows[0]`, `rows[key_task]`."""

    @classmethod
    def of(cls, task: Any, key: Any) -> GetItem:
        """Return one that is named as it is written in the flow.

        Of what is never stored, such as a secret, no item is either.
        """
        name = shortened(f"{task.name}[{key.name if isinstance(key, Task) else repr(key)}]")
        return cls(name=name, checkpoint=False if task.checkpoint is False else None)

    def run(self, task_result: Any, key: Any) -> Any:
        return task_result[key]


class GetAttr(Task):
    """Takes an attribute of a result, `GetAttr()(config, "airport")`; dots lead to those of attributes."""

    def run(self, task_result: Any, attr: str, default: Any = ...) -> Any:
        try:
            return operator.attrgetter(attr)(task_result)
        except AttributeError:
            if default is ...:
                raise
            return default


def shortened(text: str) -> str:
    """Return a text of one line that is short enough for a name."""
    text = " ".join(text.split())
    return text if len(text) <= NAME_LENGTH else text[: NAME_LENGTH - 3] + "..."
