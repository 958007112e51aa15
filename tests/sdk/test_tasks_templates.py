"""Templates: what they see, and what they do not."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

import pytest

from headwater import Flow, context
from headwater.tasks.templates import JinjaTemplate, StringFormatter


def test_templates_see_their_arguments_and_the_context() -> None:
    with context(today="2026-11-23", place="nowhere"):
        assert StringFormatter("{place}-{today}-{n:03d}").run(place="SFO", n=7) == "SFO-2026-11-23-007"
        assert JinjaTemplate("{{ place }}\n{% for n in ns %}{{ n }},{% endfor %}\n").run(place="<SFO>", ns=[1, 2]) == (
            "<SFO>\n1,2,\n"
        )


def test_templates_in_a_flow() -> None:
    with Flow("greet") as flow:
        text = StringFormatter("Hello {who}, this is {flow_name}")(who="you")
        page = JinjaTemplate()(template="{{ text|upper }}", text=text)
    assert flow.run().result[page].result == "HELLO YOU, THIS IS GREET"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: StringFormatter("{who}").run(name="x"), 'has "who", which is no argument of the call'),
        (lambda: StringFormatter("{0}").run(), "cannot be filled in"),
        (lambda: StringFormatter("{who").run(who=1), "cannot be filled in"),
        (lambda: StringFormatter("{who.__class__}").run(who=1), "unsafe"),
        (lambda: StringFormatter(5).run(), "template is a int"),  # type: ignore[arg-type]
        (lambda: StringFormatter("{secrets}").run(), 'has "secrets"'),
        (lambda: StringFormatter().run(), 'Task "StringFormatter" has no template'),
        (lambda: JinjaTemplate("{{ who }}").run(name="x"), "'who' is undefined; there are name, today."),
        (lambda: JinjaTemplate("\n{% if %}").run(), "line 2 of the template is no Jinja"),
        (lambda: JinjaTemplate("{{ secrets }}").run(), "'secrets' is undefined"),
        (lambda: JinjaTemplate("{{ ''.__class__.__mro__ }}").run(), "unsafe"),
        (lambda: JinjaTemplate("{{ 1 + today }}", name="t").run(), 'Task "t": the template cannot be rendered (TypeE'),
        (lambda: JinjaTemplate("{% include 'x' %}").run(), "cannot be rendered"),
        (lambda: JinjaTemplate("{{ 1 / 0 }}").run(), "ZeroDivisionError"),
    ],
)
def test_templates_that_cannot_be_filled_in_are_told(call: Callable[[], Any], words: str) -> None:
    with context(today="now", secrets={"key": "hunter2"}), pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_jinja_is_asked_for_when_it_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("jinja2"):
            raise ImportError("No module named 'jinja2'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'headwater\[templates\]'"):
        JinjaTemplate("x").run()
