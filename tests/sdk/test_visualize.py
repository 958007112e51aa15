"""Drawing flows: where boxes go, what an SVG and a Mermaid text say, and that any name is fine."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater import Flow, Parameter, Task, task
from headwater.core.errors import CycleError
from headwater.core.mapping import flatten, unmapped
from headwater.core.states import Cached, Failed, Mapped, Running, State, Success, TriggerFailed
from headwater.visualize import Picture, to_mermaid, to_svg, visualize
from headwater.visualize.colors import UNKNOWN, contrast, fill_and_ink
from headwater.visualize.drawing import MOST_CHILDREN, Arrow, Drawing, Kind, Node, draw
from headwater.visualize.layout import Box, Layout, Point, lay_out
from headwater.visualize.mermaid import write_mermaid
from headwater.visualize.ranks import MOST_BENDS, Link, Size, rank
from headwater.visualize.svg import write_svg
from headwater.visualize.text import one_line, text_width

SVG = "{http://www.w3.org/2000/svg}"
NASTY = [
    'say "hi"',
    "<script>&amp;</script>",
    "two\nlines\r\n",
    "\x00\x07\x1b[31m",
    "日本語 🎉",
    "x" * 500,
    "```code``` **b** __init__",
    "%%{init: {}}%%",
    "]]) --> n0",
    "#quot;",
    "1. list",
    "   ",
    "\ud800",
]


@task
def numbers(n: int = 3) -> list[int]:
    return list(range(n))


@task
def double(x: int, by: int = 2) -> int:
    return x * by


@task
def total(values: list[int]) -> int:
    return sum(values)


def mapped_flow() -> tuple[Flow, Task, Task, Task]:
    with Flow("etl") as flow:
        start = numbers()
        doubled = double.map(start)
        end = total(doubled)
    return flow, start, doubled, end


def finished(flow: Flow, **states: State) -> State:
    """A final state in which each task has the state of its name, or Success."""
    return Success(result={task: states.get(task.name, Success()) for task in flow.tasks})


def root(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def boxes_of(svg: str, kind: str = "") -> dict[str, ElementTree.Element]:
    """The boxes of an SVG by their shown name."""
    groups = [group for group in root(svg).iter(f"{SVG}g") if group.get("class", "").endswith(kind)]
    return {next(text.text or "" for text in group.iter(f"{SVG}text")): group for group in groups}


def edges_of(drawing: Drawing) -> list[tuple[str, str, str | None, bool]]:
    names = [node.name + node.suffix for node in drawing.nodes]
    return [(names[a.upstream], names[a.downstream], a.label, a.mapped) for a in drawing.arrows]


# Layout

sizes_of_boxes = st.builds(Size, st.floats(1, 300), st.floats(1, 60))


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[Size], list[Link]]:
    sizes = draw(st.lists(sizes_of_boxes, max_size=14))
    pairs = list(itertools.combinations(range(len(sizes)), 2))
    chosen = draw(st.lists(st.sampled_from(pairs), max_size=30)) if pairs else []
    names = draw(st.permutations(range(len(sizes))))
    label = st.none() | st.builds(Size, st.floats(1, 120), st.floats(1, 30))
    return sizes, [Link(names[up], names[down], draw(label)) for up, down in chosen]


def overlap(one: Box, other: Box) -> bool:
    # Half a pixel is less than anybody sees, and more than what adding floats loses.
    return (
        one.x + one.width > other.x + 0.5
        and other.x + other.width > one.x + 0.5
        and one.y + one.height > other.y + 0.5
        and other.y + other.height > one.y + 0.5
    )


def label_boxes(layout: Layout, links: Sequence[Link]) -> list[Box]:
    found = []
    for route, link in zip(layout.routes, links, strict=True):
        assert (route.label is None) == (link.label is None)
        if route.label and link.label:
            width, height = link.label[::-1] if layout.horizontal else link.label
            found.append(Box(route.label.x - width / 2, route.label.y - height / 2, width, height))
    return found


@given(graphs(), st.booleans())
@settings(deadline=None)
def test_boxes_and_labels_never_overlap_and_stay_in_view(graph: tuple[list[Size], list[Link]], across: bool) -> None:
    sizes, links = graph
    layout = lay_out(sizes, links, horizontal=across)
    things = [*layout.boxes, *label_boxes(layout, links)]
    assert [(box.height, box.width) if across else (box.width, box.height) for box in layout.boxes] == sizes
    for one, other in itertools.combinations(things, 2):
        assert not overlap(one, other)
    for box in things:
        assert 0 <= box.x <= layout.width - box.width
        assert 0 <= box.y <= layout.height - box.height


@given(graphs(), st.booleans())
@settings(deadline=None)
def test_every_link_leads_on_and_ends_at_its_box(graph: tuple[list[Size], list[Link]], across: bool) -> None:
    sizes, links = graph
    layout = lay_out(sizes, links, horizontal=across)
    begun: set[tuple[int, Point]] = set()
    for route, link in zip(layout.routes, links, strict=True):
        up, down = layout.boxes[link.upstream], layout.boxes[link.downstream]
        points = [point for run in route.runs for point in run]
        along = [point.x if across else point.y for point in points]
        assert all(later > earlier - 0.5 for earlier, later in itertools.pairwise(along))
        edge_x = up.x + up.width <= points[0].x + 0.5
        edge_y = up.y + up.height <= points[0].y + 0.5
        assert edge_x if across else edge_y
        end = points[-1].x - down.x if across else points[-1].y - down.y
        assert abs(end) < 0.5
        # It begins at its box, or on the way of an earlier link from there.
        begin = points[0].x - up.x - up.width if across else points[0].y - up.y - up.height
        assert abs(begin) < 0.5 or (link.upstream, points[0]) in begun
        begun |= {(link.upstream, point) for point in points}


@given(graphs())
@settings(deadline=None)
def test_no_link_runs_through_a_box(graph: tuple[list[Size], list[Link]]) -> None:
    """The straight runs are what passes boxes; the curves are between the ranks."""
    sizes, links = graph
    layout = lay_out(sizes, links)
    for route, link in zip(layout.routes, links, strict=True):
        for start, end in route.runs:
            line = Box(start.x, start.y, 0, end.y - start.y)
            others = [box for i, box in enumerate(layout.boxes) if i not in (link.upstream, link.downstream)]
            assert not any(
                box.x < line.x < box.x + box.width and overlap(box, line._replace(x=line.x - 1, width=2))
                for box in others
            )


@given(graphs())
@settings(deadline=None)
def test_the_same_graph_is_laid_out_the_same(graph: tuple[list[Size], list[Link]]) -> None:
    assert lay_out(*graph) == lay_out(*graph)


def test_children_stand_around_the_middle_of_their_parent_in_their_order() -> None:
    layout = lay_out([Size(60, 30)] * 4, [Link(0, 1), Link(0, 2), Link(0, 3)])
    parent, *children = [box.x for box in layout.boxes]
    assert children == sorted(children)
    assert abs(parent - children[1]) < 0.5


def test_chains_before_a_fan_and_after_it_are_straight() -> None:
    """Wide boxes beside a chain do not bend it."""
    label = Size(20, 16)
    fan = [Link(1, i, label) for i in range(2, 6)] + [Link(i, 6) for i in range(2, 6)]
    links = [Link(0, 1, label), *fan, Link(6, 7, label), Link(7, 8), Link(9, 6)]
    layout = lay_out([Size(60 + 13 * i, 30) for i in range(10)], links)
    middles = [round(box.x + box.width / 2, 3) for box in layout.boxes]
    assert middles[0] == middles[1]
    assert middles[6] == middles[7] == middles[8]


def test_links_that_need_not_cross_do_not() -> None:
    links = [Link(2, 4), Link(2, 3), Link(1, 5), Link(0, 3), Link(1, 4)]
    xs = [box.x for box in lay_out([Size(50, 30)] * 6, links).boxes]
    crossing = [
        (one, other)
        for one, other in itertools.combinations(links, 2)
        if (xs[one[0]] - xs[other[0]]) * (xs[one[1]] - xs[other[1]]) < 0
    ]
    assert crossing == []


def test_a_root_stands_just_above_what_follows_it() -> None:
    ranks = rank([Size(1, 1)] * 4, [Link(0, 1), Link(1, 2), Link(3, 2)])
    assert ranks.ranks == [0, 1, 2, 1]


def test_boxes_without_links_fill_rows() -> None:
    layout = lay_out([Size(60, 30)] * 100, [])
    assert len({box.y for box in layout.boxes}) == 10


def test_what_is_not_linked_stands_side_by_side() -> None:
    layout = lay_out([Size(60, 30)] * 6, [Link(0, 2), Link(1, 3), Link(0, 4)])
    left = {0, 2, 4}
    assert max(layout.boxes[i].x + 60 for i in left) < min(layout.boxes[i].x for i in {1, 3, 5})


def test_links_from_one_box_share_their_way() -> None:
    """A parameter that 400 tasks of a chain take would need 80,000 bends otherwise."""
    chain = [Link(i, i + 1) for i in range(1, 400)]
    ranks = rank([Size(1, 1)] * 401, [*chain, *(Link(0, i) for i in range(1, 401))])
    assert len(ranks.sizes) - 401 == 399
    assert sum(map(len, ranks.routes)) < 2000


def test_the_number_of_bends_is_bounded() -> None:
    count = 2000
    chain = [Link(i, i + 1) for i in range(count - 1)]
    far = [Link(i, i + count // 2) for i in range(count // 2)]
    assert len(rank([Size(1, 1)] * count, [*chain, *far]).sizes) - count <= MOST_BENDS


def test_a_chain_of_thousands_of_boxes_is_laid_out() -> None:
    layout = lay_out([Size(60, 30)] * 5000, [Link(i, i + 1) for i in range(4999)])
    assert len({round(box.x) for box in layout.boxes}) == 1


def test_ten_thousand_boxes_are_laid_out() -> None:
    layout = lay_out([Size(60, 30)] * 10_000, [Link((i * 7919) % i, i) for i in range(1, 10_000)])
    rows: dict[float, list[Box]] = {}
    for box in layout.boxes:
        rows.setdefault(box.y, []).append(box)
    for row in rows.values():
        row.sort()
        assert all(one.x + one.width <= other.x for one, other in itertools.pairwise(row))


# What is drawn


def test_boxes_and_arrows_follow_the_definition() -> None:
    with Flow("etl") as flow:
        n = Parameter("n", default=4)
        start = numbers(n)
        end = total(start)
        numbers(upstream_tasks=[end])
    drawing = draw(flow)
    assert [(node.name, node.kind) for node in drawing.nodes] == [
        ("n", Kind.PARAMETER),
        ("numbers", Kind.TASK),
        ("total", Kind.TASK),
        ("numbers", Kind.TASK),
    ]
    assert drawing.arrows == (Arrow(0, 1, "n"), Arrow(1, 2, "values"), Arrow(2, 3))


def test_a_mapped_task_is_named_so_and_its_arrows_are_mapped() -> None:
    flow, *_ = mapped_flow()
    assert edges_of(draw(flow)) == [
        ("numbers", "double <map>", "x", True),
        ("double <map>", "total", "values", False),
    ]


def test_each_child_of_a_run_is_a_box_and_a_reduce_takes_all_in() -> None:
    flow, *_ = mapped_flow()
    drawing = draw(flow, finished(flow, double=Mapped(map_states=[Success(), Failed("boom"), Success()])))
    assert [(n.name + n.suffix, n.color, n.note) for n in drawing.nodes] == [
        ("numbers", Success.color, "Success"),
        ("double[0]", Success.color, "Success"),
        ("double[1]", Failed.color, "Failed"),
        ("double[2]", Success.color, "Success"),
        ("total", Success.color, "Success"),
    ]
    assert edges_of(drawing) == [
        ("numbers", "double[0]", None, True),
        ("numbers", "double[1]", "x", True),
        ("numbers", "double[2]", None, True),
        ("double[0]", "total", None, False),
        ("double[1]", "total", "values", False),
        ("double[2]", "total", None, False),
    ]


def mapped_twice(wrap: type | None) -> Drawing:
    with Flow("twice") as flow:
        start = numbers()
        first = double.map(start)
        second = double.map(start, by=wrap(first) if wrap else first)
        second.name = "second"
    children = Mapped(map_states=[Success(), Success()])
    return draw(flow, finished(flow, double=children, second=children))


def between_children(drawing: Drawing) -> list[tuple[str, str]]:
    return [(up, down) for up, down, _, _ in edges_of(drawing) if up.startswith("double[")]


def test_children_that_map_over_children_go_one_by_one() -> None:
    assert between_children(mapped_twice(None)) == [("double[0]", "second[0]"), ("double[1]", "second[1]")]


@pytest.mark.parametrize("wrap", [unmapped, flatten])
def test_children_that_need_all_children_get_all(wrap: type) -> None:
    assert between_children(mapped_twice(wrap)) == [
        ("double[0]", "second[0]"),
        ("double[0]", "second[1]"),
        ("double[1]", "second[0]"),
        ("double[1]", "second[1]"),
    ]


def test_many_children_are_one_box_that_counts_them() -> None:
    flow, *_ = mapped_flow()
    children = [Success()] * MOST_CHILDREN + [Failed("boom")] * 2 + [Cached()]
    node = draw(flow, finished(flow, double=Mapped(map_states=children))).nodes[1]
    assert node.name + node.suffix == "double <map>"
    assert node.note == f"{MOST_CHILDREN} Success, 2 Failed, 1 Cached"
    assert node.shares == ((Success.color, MOST_CHILDREN), (Failed.color, 2), (Cached.color, 1))


def test_the_most_children_that_are_shown_are_shown() -> None:
    flow, *_ = mapped_flow()
    states = finished(flow, double=Mapped(map_states=[Success()] * MOST_CHILDREN))
    assert len(draw(flow, states).nodes) == MOST_CHILDREN + 2


@pytest.mark.parametrize("state", [TriggerFailed("no"), Mapped(map_states=[])])
def test_a_mapped_task_without_children_is_one_box(state: State) -> None:
    flow, *_ = mapped_flow()
    node = draw(flow, finished(flow, double=state)).nodes[1]
    assert (node.name + node.suffix, node.color, node.note) == ("double <map>", state.color, state.name)


def test_a_task_without_a_state_has_no_color() -> None:
    flow, start, *_ = mapped_flow()
    assert [node.color for node in draw(flow, Success(result={start: Success()})).nodes] == [Success.color, None, None]


def test_details_tell_slug_tags_and_message() -> None:
    with Flow("etl") as flow:
        start = numbers()
        start.tags = {"b", "a"}
    (node,) = draw(flow, finished(flow, numbers=Failed("boom"))).nodes
    assert node.details == f"numbers\nslug: {flow.slugs[start]}\ntags: a, b\nFailed: boom"


def test_a_cycle_is_refused() -> None:
    flow, start, _, end = mapped_flow()
    flow.add_edge(end, start)
    with pytest.raises(CycleError):
        visualize(flow)


def test_what_is_no_flow_is_refused() -> None:
    with pytest.raises(TypeError, match="it is no flow"):
        draw("etl")  # type: ignore[arg-type]


def test_what_is_no_state_of_a_run_of_the_flow_is_refused() -> None:
    flow, *_ = mapped_flow()
    other, *_ = mapped_flow()
    with pytest.raises(TypeError, match="give the state that run"):
        visualize(flow, "flow.svg")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="holds no states of tasks"):
        draw(flow, Running())
    with pytest.raises(ValueError, match="of another flow"):
        draw(flow, finished(other))


# SVG


def test_an_svg_says_what_it_is() -> None:
    flow, *_ = mapped_flow()
    svg = root(to_svg(flow))
    assert svg.tag == f"{SVG}svg"
    assert svg.get("role") == "img"
    assert svg[0].tag == f"{SVG}title"
    assert svg[0].text == "etl"
    style = svg.findtext(f"{SVG}style") or ""
    assert "prefers-color-scheme:dark" in style
    assert style.count("{") == style.count("}")


def test_nothing_in_an_svg_reaches_out_of_it() -> None:
    """Neither ids, of which two drawings on a page would have the same, nor rules for the whole page."""
    flow, *_ = mapped_flow()
    svg = to_svg(flow)
    assert not [element for element in root(svg).iter() if element.get("id")]
    for rule in re.findall(r"([^{}]*)\{[^{}]*\}", root(svg).findtext(f"{SVG}style") or ""):
        assert rule.strip().split("{")[-1].startswith(".headwater-flow")


def test_parameters_are_round_and_mapped_tasks_are_not() -> None:
    with Flow("etl") as flow:
        double.map(numbers(Parameter("n")))
    rectangles = {name: group.findall(f"{SVG}rect") for name, group in boxes_of(to_svg(flow)).items()}
    assert {name: float(found[-1].get("rx", 0)) for name, found in rectangles.items()} == {
        "n": float(rectangles["n"][0].get("height", 0)) / 2,
        "numbers": 6,
        "double <map>": 0,
    }
    assert len(rectangles["double <map>"]) == 2


def test_mapped_arrows_are_dashed_and_arguments_are_labels() -> None:
    flow, *_ = mapped_flow()
    svg = root(to_svg(flow))
    kinds = [path.get("class") for path in svg.iter(f"{SVG}path")]
    assert kinds == ["arrow dashed", "head", "arrow", "head"]
    assert [text.text for text in svg.iter(f"{SVG}text") if text.get("class") == "label"] == ["x", "values"]


def test_all_that_is_drawn_is_in_view_and_arrows_end_at_their_boxes() -> None:
    flow, *_ = mapped_flow()
    for horizontal in (False, True):
        svg = root(to_svg(flow, horizontal=horizontal))
        width, height = float(svg.get("width", 0)), float(svg.get("height", 0))
        for r in svg.iter(f"{SVG}rect"):
            assert 0 <= float(r.get("x", 0)) <= width - float(r.get("width", 0))
            assert 0 <= float(r.get("y", 0)) <= height - float(r.get("height", 0))
        paths = [(path.get("class", ""), path.get("d", "")) for path in svg.iter(f"{SVG}path")]
        for kind, path in paths:
            numbers = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", path.split("l")[0])]
            assert all(0 <= x <= width and 0 <= y <= height for x, y in zip(numbers[::2], numbers[1::2], strict=True))
            if kind == "head":
                edges = [(r.get("x"), r.get("y")) for r in svg.iter(f"{SVG}rect") if r.get("class") == "box"]
                assert f"{numbers[0 if horizontal else 1]:g}" in {x if horizontal else y for x, y in edges}


def test_states_color_their_boxes_and_the_text_can_be_read() -> None:
    flow, *_ = mapped_flow()
    groups = boxes_of(to_svg(flow, finished(flow, double=Failed("<boom>"), total=Cached())))
    for name, state in {"numbers": Success, "double <map>": Failed, "total": Cached}.items():
        group = groups[name]
        assert {r.get("style") for r in group.iter(f"{SVG}rect")} == {f"fill:{state.color}"}
        assert {t.get("style") for t in group.iter(f"{SVG}text")} == {f"fill:{fill_and_ink(state.color)[1]}"}
        assert [t.text for t in group.iter(f"{SVG}text")] == [name, state.__name__]
    assert (groups["double <map>"].findtext(f"{SVG}title") or "").endswith("Failed: <boom>")


def test_a_box_that_counts_children_is_shared_out_to_their_states() -> None:
    flow, *_ = mapped_flow()
    children = [Success()] * 999 + [Failed("boom")]
    svg = to_svg(flow, finished(flow, double=Mapped(map_states=children)))
    *_, good, bad = boxes_of(svg)["double <map>"].findall(f"{SVG}rect")
    assert (good.get("style"), bad.get("style")) == (f"fill:{Success.color}", f"fill:{Failed.color}")
    assert float(bad.get("width", 0)) >= 4


@pytest.mark.parametrize("name", NASTY)
def test_any_name_makes_a_well_formed_svg_with_all_of_it_in_the_tooltip(name: str) -> None:
    nodes = (Node(name, Kind.TASK, details=name), Node(name, Kind.MAPPED, " <map>", name, Failed.color, name))
    svg = root(write_svg(Drawing(name, nodes, (Arrow(0, 1, name),))))
    tooltips = [title.text for group in svg.iter(f"{SVG}g") for title in group.iter(f"{SVG}title")]
    shown = re.sub("[\x00-\x08\x1b\ud800]", "\ufffd", name).replace("\r\n", "\n")
    assert tooltips == [shown, shown]
    assert all("\n" not in (text.text or "") and len(text.text or "") < 60 for text in svg.iter(f"{SVG}text"))


@given(st.text(), st.text(), st.text())
@settings(deadline=None)
def test_any_text_at_all_makes_a_well_formed_svg(name: str, key: str, note: str) -> None:
    nodes = (Node(name, Kind.TASK, details=name), Node(name, Kind.PARAMETER, "", note, Success.color, note))
    text = write_svg(Drawing(name, nodes, (Arrow(0, 1, key, True),)))
    assert root(text).tag == f"{SVG}svg"
    text.encode()


def test_text_fits_its_box() -> None:
    names = ["a", "W" * 36, "日本語" * 12, "extract_reference_data"]
    svg = write_svg(Drawing("f", tuple(Node(name, Kind.TASK) for name in names), ()))
    for name, group in boxes_of(svg).items():
        rectangle = group.find(f"{SVG}rect")
        assert rectangle is not None
        assert float(rectangle.get("width", 0)) > text_width(name, 13)


def test_an_empty_flow_is_an_empty_drawing() -> None:
    flow = Flow("nothing")
    assert len(list(root(to_svg(flow, Success(result={}))).iter(f"{SVG}g"))) == 0
    assert to_mermaid(flow) == '---\ntitle: "nothing"\n---\nflowchart TD\n'


def test_a_flow_is_drawn_the_same_each_time() -> None:
    flow, *_ = mapped_flow()
    again, *_ = mapped_flow()
    assert to_svg(flow) == to_svg(again)


# Colours and text


@given(st.from_regex("#[0-9a-fA-F]{6}", fullmatch=True))
def test_text_on_any_color_has_the_contrast_of_wcag_aa(color: str) -> None:
    assert contrast(*fill_and_ink(color)) >= 4.5


def test_contrast_is_that_of_wcag() -> None:
    assert round(contrast("#000000", "#ffffff"), 2) == 21
    assert round(contrast("#777777", "#ffffff"), 2) == 4.48


@pytest.mark.parametrize("color", ["red", "#fff", "#28a745;x", "", None])
def test_a_color_of_another_form_is_not_written(color: str) -> None:
    assert fill_and_ink(color) == (UNKNOWN, "#ffffff")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("extract", "extract"),
        ("extract_all", "extract_…"),
        ("two\n lines", "two line…"),
        ("日本語日本語", "日本語日…"),
        (" \t", "\u00a0"),
        ("e\u0301" * 8, "e\u0301" * 8),
    ],
)
def test_text_is_shortened_by_columns(text: str, shown: str) -> None:
    assert one_line(text, 8) == shown


# Mermaid


def test_a_mermaid_text_says_all() -> None:
    with Flow('the "etl"') as flow:
        total(double.map(numbers(Parameter("n"))))
    states = finished(flow, double=Mapped(map_states=[Success(), Failed("boom")]))
    assert to_mermaid(flow, horizontal=True) == (
        '---\ntitle: "the \\"etl\\""\n---\nflowchart LR\n'
        '    n0(["n"])\n'
        '    n1["numbers"]\n'
        '    n2[["double #lt;map#gt;"]]\n'
        '    n3["total"]\n'
        '    n0 -->|"n"| n1\n'
        '    n1 -.->|"x"| n2\n'
        '    n2 -->|"values"| n3\n'
    )
    assert to_mermaid(flow, states).splitlines()[4:] == [
        '    n0(["n<br/>Success"]):::state0',
        '    n1["numbers<br/>Success"]:::state0',
        '    n2[["double#91;0#93;<br/>Success"]]:::state0',
        '    n3[["double#91;1#93;<br/>Failed"]]:::state1',
        '    n4["total<br/>Success"]:::state0',
        '    n0 -->|"n"| n1',
        "    n1 -.-> n2",
        '    n1 -.->|"x"| n3',
        "    n2 --> n4",
        '    n3 -->|"values"| n4',
        "    classDef state0 fill:#28a745,color:#000000",
        "    classDef state1 fill:#eb0000,color:#ffffff",
    ]


@pytest.mark.parametrize("name", NASTY)
def test_any_name_is_a_mermaid_label_and_nothing_else(name: str) -> None:
    nodes = (Node(name, Kind.TASK), Node(name, Kind.MAPPED))
    head, *lines = write_mermaid(Drawing(name, nodes, (Arrow(0, 1, name),))).partition("flowchart TD\n")[::2]
    assert head.count("\n") == 3
    label = r"(?:[\w \u0080-\U0010ffff]|(?<=\w)[.-](?=\w)|#(?:\d+|quot|lt|gt|amp);)+"
    assert re.fullmatch(rf'    n0\["{label}"\]\n    n1\[\["{label}"\]\]\n    n0 -->\|"{label}"\| n1\n', lines[0])


def test_what_mermaid_and_markdown_read_as_marks_is_escaped() -> None:
    names = ["__init__", "load_all.csv-2", "`a`", "#35;", "1. x"]
    text = write_mermaid(Drawing("f", tuple(Node(name, Kind.TASK) for name in names), ()))
    assert re.findall(r'\["(.*)"\]', text) == [
        "#95;#95;init#95;#95;",
        "load_all.csv-2",
        "#96;a#96;",
        "#35;35#59;",
        "1#46; x",
    ]


# Pictures and files


def test_a_picture_shows_itself_in_a_notebook_and_is_its_text() -> None:
    flow, *_ = mapped_flow()
    picture = visualize(flow)
    assert isinstance(picture, Picture)
    assert picture._repr_svg_() == picture.svg == str(picture) == to_svg(flow)
    assert str(visualize(flow, format="mermaid")) == picture.mermaid == to_mermaid(flow)
    assert repr(picture) == '<Picture of flow "etl": 3 boxes, 2 arrows>'


def test_horizontal_is_wide() -> None:
    flow, *_ = mapped_flow()
    tall, wide = root(visualize(flow).svg), root(visualize(flow, horizontal=True).svg)
    assert float(tall.get("width", 0)) < float(tall.get("height", 0))
    assert float(wide.get("width", 0)) > float(wide.get("height", 0))


@pytest.mark.parametrize(
    ("filename", "format", "written", "begin"),
    [
        ("flow.svg", None, "flow.svg", "<svg"),
        ("flow.mmd", None, "flow.mmd", "---"),
        ("FLOW.SVG", None, "FLOW.SVG", "<svg"),
        ("flow", None, "flow.svg", "<svg"),
        ("flow", "mermaid", "flow.mmd", "---"),
        ("flow.md", "mermaid", "flow.md", "---"),
    ],
)
def test_the_name_of_a_file_decides_the_format(
    tmp_path: Path, filename: str, format: str | None, written: str, begin: str
) -> None:
    flow, *_ = mapped_flow()
    picture = visualize(flow, filename=tmp_path / filename, format=format)
    text = (tmp_path / written).read_text(encoding="utf-8")
    assert text == str(picture)
    assert text.startswith(begin)


@pytest.mark.parametrize(
    ("filename", "format", "message"),
    [
        (None, "png", "cannot be drawn in the format 'png'"),
        ("flow.png", None, "is of no format that flows are drawn in"),
        ("flow.svg", "mermaid", "is that of svg but format is"),
        ("", None, "give the name of a file"),
    ],
)
def test_another_format_is_refused(filename: str | None, format: str | None, message: str) -> None:
    flow, *_ = mapped_flow()
    with pytest.raises(ValueError, match=message):
        visualize(flow, filename=filename, format=format)


def test_a_file_that_cannot_be_is_refused(tmp_path: Path) -> None:
    flow, *_ = mapped_flow()
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        visualize(flow, filename=tmp_path / "none" / "flow.svg")
    with pytest.raises(TypeError, match="give the name of a file"):
        visualize(flow, filename=3)  # type: ignore[arg-type]
