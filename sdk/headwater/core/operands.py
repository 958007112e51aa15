"""What can be written with tasks inside a flow: `a + b`, `a["rows"]`, `a > 3`, `a | b`. Each makes a task, or an edge.

`==` stays what it is for every object, so that tasks can be keys; compare results with `a.is_equal(b)`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from headwater.core.context import context

if TYPE_CHECKING:
    from headwater.core.task import Task


def _binary(operator: str, x: object, y: object) -> Task:
    # The tasks that stand for operators are tasks themselves.
    from headwater.core import operators

    made: Task = getattr(operators, operator)().bind(x, y)
    return made


class Operand:
    """The operators of a task."""

    name: str
    nout: int | None

    if TYPE_CHECKING:

        def set_upstream(self, task: object) -> None: ...

    # numpy leaves `array + task` to the task.
    __array_ufunc__ = None

    def __add__(self, other: object) -> Task:
        return _binary("Add", self, other)

    def __radd__(self, other: object) -> Task:
        return _binary("Add", other, self)

    def __sub__(self, other: object) -> Task:
        return _binary("Sub", self, other)

    def __rsub__(self, other: object) -> Task:
        return _binary("Sub", other, self)

    def __mul__(self, other: object) -> Task:
        return _binary("Mul", self, other)

    def __rmul__(self, other: object) -> Task:
        return _binary("Mul", other, self)

    def __truediv__(self, other: object) -> Task:
        return _binary("Div", self, other)

    def __rtruediv__(self, other: object) -> Task:
        return _binary("Div", other, self)

    def __floordiv__(self, other: object) -> Task:
        return _binary("FloorDiv", self, other)

    def __rfloordiv__(self, other: object) -> Task:
        return _binary("FloorDiv", other, self)

    def __mod__(self, other: object) -> Task:
        return _binary("Mod", self, other)

    def __rmod__(self, other: object) -> Task:
        return _binary("Mod", other, self)

    def __pow__(self, other: object) -> Task:
        return _binary("Pow", self, other)

    def __rpow__(self, other: object) -> Task:
        return _binary("Pow", other, self)

    def __and__(self, other: object) -> Task:
        return _binary("And", self, other)

    def __rand__(self, other: object) -> Task:
        return _binary("And", other, self)

    def __gt__(self, other: object) -> Task:
        return _binary("GreaterThan", self, other)

    def __ge__(self, other: object) -> Task:
        return _binary("GreaterThanOrEqual", self, other)

    def __lt__(self, other: object) -> Task:
        return _binary("LessThan", self, other)

    def __le__(self, other: object) -> Task:
        return _binary("LessThanOrEqual", self, other)

    def is_equal(self, other: object) -> Task:
        """Make a task that tells whether this task's result equals *other*."""
        return _binary("Equal", self, other)

    def is_not_equal(self, other: object) -> Task:
        """Make a task that tells whether this task's result differs from *other*."""
        return _binary("NotEqual", self, other)

    def or_(self, other: object) -> Task:
        """Make a task that tells whether this task's result or *other* is true. `|` orders tasks."""
        return _binary("Or", self, other)

    def not_(self) -> Task:
        """Make a task that tells whether this task's result is not true."""
        from headwater.core.operators import Not

        return Not().bind(self)

    def __getitem__(self, key: Any) -> Task:
        from headwater.core.operators import GetItem

        return GetItem.of(self, key).bind(self, key)

    def __iter__(self) -> Iterator[Task]:
        if self.nout is None:
            raise TypeError(
                f'Task "{self.name}" is not iterable: its result is not known before the flow runs. '
                "To unpack it, say how many values it returns: @task(nout=2) or `-> tuple[int, str]`."
            )
        return iter([self._part(i) for i in range(self.nout)])

    def _part(self, index: int) -> Task:
        """Make a task for one of the values that this task returns; once per child where it is mapped."""
        from headwater.core.operators import GetItem

        flow = context.get("flow")
        is_mapped = flow is not None and flow.is_mapped(self)
        part = GetItem.of(self, index)
        if is_mapped:
            from headwater.core.mapping import mapped

            return part.bind(mapped(self), index)
        return part.bind(self, index)

    def __format__(self, spec: str) -> str:
        """Warn of a task in an f-string of a flow: the text is made before there is a result."""
        if context.get("flow") is not None:
            warnings.warn(
                f'Task "{self.name}" stands in a text that is made now, before it has a result; '
                "make the text in a task that gets it as an argument.",
                UserWarning,
                stacklevel=2,
            )
        return format(str(self), spec)

    def __or__(self, other: object) -> Task:
        """Run *other* after this task, without handing it anything; return *other*, so that chains can be written."""
        from headwater.core.task import Task

        if not isinstance(other, Task):
            raise TypeError(f'`|` puts one task after another; {other!r} is none. For "either is true" use or_().')
        other.set_upstream(self)
        return other

    def __ror__(self, other: object) -> Operand:
        """Run this task after what stands in a list: `[a, b] | c`."""
        self.set_upstream(other)
        return self
