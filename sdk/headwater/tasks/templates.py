"""Make a text from a template. Templates see the arguments of the call and what `headwater.context` holds.

    StringFormatter("reports/{airport}-{today}.csv")(airport=airport)

Arguments go before the context; its secrets are left out.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import Any

from headwater.core.context import context
from headwater.core.task import Task
from headwater.tasks.attributes import defaults_from_attrs, needed

NOT_FOR_TEMPLATES = ("logger", "secrets")


class StringFormatter(Task):
    """Fill in a template with `{name}` in it, as `str.format` does."""

    def __init__(self, template: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.template = template

    @defaults_from_attrs("template")
    def run(self, template: str | None = None, **values: Any) -> str:
        text = _text(self, template)
        try:
            return _Formatter().vformat(text, (), _seen(values))
        except KeyError as error:
            missing = error.args[0]
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise ValueError(f'Task "{self.name}": the template {text!r} cannot be filled in: {error}.') from error
        raise ValueError(
            f'Task "{self.name}": the template {text!r} has "{missing}", which is no argument of the call '
            f"and not in headwater.context; there are {_names(values)}."
        )


class JinjaTemplate(Task):
    """Render a Jinja template. A name that nothing gives is an error; templates run in Jinja's sandbox."""

    def __init__(self, template: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.template = template

    @defaults_from_attrs("template")
    def run(self, template: str | None = None, **values: Any) -> str:
        text = _text(self, template)
        try:
            from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, UndefinedError
            from jinja2.sandbox import SandboxedEnvironment
        except ImportError as error:
            raise ImportError(
                f"Task \"{self.name}\" needs Jinja ({error}): pip install 'headwater[templates]'"
            ) from None
        environment = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
        try:
            return environment.from_string(text).render(_seen(values))
        except TemplateSyntaxError as error:
            raise ValueError(
                f'Task "{self.name}": line {error.lineno} of the template is no Jinja: {error.message}.'
            ) from None
        except UndefinedError as error:
            raise ValueError(
                f'Task "{self.name}": in the template {error.message}; there are {_names(values)}.'
            ) from None
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise ValueError(
                f'Task "{self.name}": the template cannot be rendered ({type(error).__name__}: {error}).'
            ) from error


class _Formatter(string.Formatter):
    """Formats as `str.format` does, but lets no template reach for what Python keeps below the surface."""

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if "._" in field_name:
            raise ValueError(f'"{field_name}" is unsafe')
        return super().get_field(field_name, args, kwargs)


def _text(task: Task, template: Any) -> str:
    text = needed(template, task, "template")
    if not isinstance(text, str):
        raise TypeError(f'Task "{task.name}": template is a {type(text).__name__}; give a text.')
    return text


def _seen(values: dict[str, Any]) -> dict[str, Any]:
    known = {name: value for name, value in context.values().items() if name not in NOT_FOR_TEMPLATES}
    return {**known, **values}


def _names(values: dict[str, Any]) -> str:
    return ", ".join(sorted(_seen(values))) or "no values at all"


__all__ = ["JinjaTemplate", "StringFormatter"]
