"""Parameters of a flow: types, defaults, times, and the JSON schema that they make together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from pydantic import BaseModel, Field

from headwater import Flow, Parameter, task
from headwater.core.errors import FlowError, ParameterError
from headwater.core.parameter import DateTimeParameter, parameters_schema


class Area(BaseModel):
    radius: int
    since: date = date(2026, 1, 1)


def model_of_the_same_name() -> Any:
    class Area(BaseModel):
        city: str

    return Area


def flow_of(*parameters: Callable[[], Parameter]) -> Flow:
    with Flow("f") as flow:
        for make in parameters:
            make()
    return flow


@pytest.mark.parametrize(
    ("annotation", "given", "expected"),
    [
        (int, 3, 3),
        (int, "3", 3),
        (float, 3, 3.0),
        (list[int], ["1", 2], [1, 2]),
        (Literal["a", "b"], "b", "b"),
        (date, "2026-11-23", date(2026, 11, 23)),
        (timedelta, "PT10S", timedelta(seconds=10)),
        (int | None, None, None),
        (Annotated[int, Field(ge=1)], 1, 1),
        (Area, {"radius": "3"}, Area(radius=3)),
        (dict[str, Area], {"x": {"radius": 3}}, {"x": Area(radius=3)}),
    ],
)
def test_values_are_converted_to_their_types(annotation: Any, given: Any, expected: Any) -> None:
    flow = flow_of(lambda: Parameter("p", annotation=annotation))
    found = flow.check_parameters({"p": given})["p"]
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("annotation", "given", "words"),
    [
        (int, "x", "Parameter \"p\" is 'x', but it has to be int: Input should be a valid integer"),
        (list[int], [1, "x"], r"has to be list\[int\]: 1: Input should be a valid integer"),
        (Annotated[int, Field(ge=1)], 0, "has to be int: Input should be greater than or equal to 1"),
        (Literal["a", "b"], "c", r"has to be Literal\['a', 'b'\]: Input should be 'a' or 'b'"),
        (Area, {"since": "never"}, "has to be Area: radius: Field required; since: Input should be"),
        (int, "y" * 200, r"y{70,76}\.\.\., but"),
    ],
)
def test_values_that_do_not_fit_are_named(annotation: Any, given: Any, words: str) -> None:
    flow = flow_of(lambda: Parameter("p", annotation=annotation))
    with pytest.raises(ParameterError, match=f'Flow "f": .*{words}'):
        flow.run(p=given)


def test_all_values_that_do_not_fit_are_named_at_once() -> None:
    flow = flow_of(lambda: Parameter("a", annotation=int), lambda: DateTimeParameter("b"))
    with pytest.raises(ParameterError, match=r'Parameter "a" is .* Parameter "b" is'):
        flow.check_parameters({"a": "x", "b": "y"})


def test_values_without_a_type_stay_what_they_are() -> None:
    value = object()
    assert flow_of(lambda: Parameter("p")).check_parameters({"p": value})["p"] is value


def test_a_default_is_converted_as_a_value_is() -> None:
    with Flow("f") as flow:
        made = task(lambda area: area.since)(Parameter("area", default={"radius": 1}, annotation=Area))
    assert flow.run().result[made].result == date(2026, 1, 1)


def test_a_default_of_a_required_parameter_is_only_an_example() -> None:
    flow = flow_of(lambda: Parameter("p", default=3, required=True), lambda: Parameter("q", required=False))
    with pytest.raises(ParameterError, match="required parameters: p"):
        flow.check_parameters({})
    assert flow.check_parameters({"p": 4}) == {"p": 4, "q": None}
    assert parameters_schema(flow.parameters())["properties"] == {"p": {"examples": [3]}, "q": {"default": None}}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Parameter("p", default="x", annotation=int), "The default does not fit. .* is 'x'"),
        (lambda: Parameter("p", default=None, annotation=int), "The default does not fit"),
        (lambda: Parameter("p", default=float("inf"), annotation=float), "cannot be written as JSON"),
        (lambda: Parameter("p", annotation=type("Own", (), {})), "is no type that can be checked"),
        (lambda: Parameter("p", annotation=3), "is no type that can be checked"),
        (lambda: Parameter("p", annotation="Unknown"), "has no JSON schema"),
        (lambda: Parameter("p", annotation=Callable[[], int]), "has no JSON schema"),
        (lambda: DateTimeParameter("p", default="soon"), "The default does not fit. .* is 'soon'"),
    ],
)
def test_parameters_that_cannot_be_are_refused_at_once(make: Callable[[], Parameter], words: str) -> None:
    with pytest.raises(FlowError, match=words):
        make()


def test_the_schema_says_what_the_check_does() -> None:
    flow = flow_of(
        lambda: Parameter("count", default=3, annotation=Annotated[int, Field(ge=1)]),
        lambda: Parameter("area", default=Area(radius=5), annotation=Area),
        lambda: Parameter("other", annotation=model_of_the_same_name() | None),
        lambda: Parameter("areas", default=[], annotation=list[Area]),
        lambda: Parameter("any"),
        lambda: DateTimeParameter("since"),
    )
    schema = parameters_schema(flow.parameters())
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["count"] == {"type": "integer", "minimum": 1, "default": 3}
    assert schema["properties"]["area"]["default"] == {"radius": 5, "since": "2026-01-01"}
    assert schema["required"] == ["any", "other", "since"]
    assert len(schema["$defs"]) == 2

    good = {"any": 1, "other": {"city": "Bern"}, "since": "2026-11-23", "areas": [{"radius": 1}]}
    jsonschema.validate(good, schema)
    flow.check_parameters(good)
    for bad in ({"count": 0}, {"area": {"radius": "far"}}, {"other": {"radius": 1}}, {"areas": [{}]}, {"since": 5}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**good, **bad}, schema)
        with pytest.raises(ParameterError):
            flow.check_parameters({**good, **bad})


# Times


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-23T04:00:00Z", datetime(2026, 11, 23, 4, tzinfo=UTC)),
        ("2026-11-23T04:00:00+02:00", datetime(2026, 11, 23, 4, tzinfo=timezone(timedelta(hours=2)))),
        ("2026-11-23T04:00", datetime(2026, 11, 23, 4, tzinfo=UTC)),
        ("2026-11-23", datetime(2026, 11, 23, tzinfo=UTC)),
        (datetime(2026, 11, 23), datetime(2026, 11, 23, tzinfo=UTC)),  # noqa: DTZ001  # that is the case
    ],
)
def test_times_have_a_zone(text: Any, moment: datetime) -> None:
    found = flow_of(lambda: DateTimeParameter("p")).check_parameters({"p": text})["p"]
    assert (found, found.tzinfo) == (moment, moment.tzinfo)


def test_a_time_may_be_left_out_when_there_is_a_default() -> None:
    flow = flow_of(
        lambda: DateTimeParameter("a", default="2026-11-23"),
        lambda: DateTimeParameter("b", required=False),
    )
    assert flow.check_parameters({}) == {"a": datetime(2026, 11, 23, tzinfo=UTC), "b": None}
    assert parameters_schema(flow.parameters())["properties"] == {
        "a": {"type": ["string", "null"], "format": "date-time", "default": "2026-11-23T00:00:00+00:00"},
        "b": {"type": ["string", "null"], "format": "date-time", "default": None},
    }


def test_parameters_take_tags_and_any_text_as_their_name() -> None:
    with Flow("f") as flow:
        Parameter("materialize after dump", tags=["x"])
    (parameter,) = flow.get_tasks(tags=["x"])
    assert flow.slugs[parameter] == "materialize after dump"
