"""General tasks in one flow, on every executor: they travel, and come to the same everywhere."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from headwater import Flow, task
from headwater.executors import DaskExecutor, LocalDaskExecutor, LocalExecutor
from headwater.tasks.control_flow import merge, switch
from headwater.tasks.core import Add, Constant, FunctionTask, List
from headwater.tasks.database import SQLiteQuery, SQLiteScript
from headwater.tasks.files import Glob, Unzip, Zip
from headwater.tasks.http import HttpRequest
from headwater.tasks.secrets import SecretTask
from headwater.tasks.shell import ShellTask
from headwater.tasks.templates import JinjaTemplate, StringFormatter

EXECUTORS: dict[str, Callable[[], Any]] = {
    "local": LocalExecutor,
    "processes": lambda: LocalDaskExecutor("processes", num_workers=2),
    "dask": lambda: DaskExecutor(cluster_kwargs={"n_workers": 2, "threads_per_worker": 1}),
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"airport": "ZRH"}')

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("executor", EXECUTORS)
def test_they_come_to_the_same_on_every_executor(
    executor: str, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HEADWATER_SECRET_KEY", "hunter2")
    (tmp_path / "in").mkdir()
    database, packed, out = tmp_path / "rows.db", tmp_path / "in.zip", tmp_path / "out"

    @task
    def airport(answer: Any) -> str:
        return str(answer.json()["airport"])

    @task
    def length(secret: str) -> int:
        return len(secret)

    with Flow("general") as flow:
        place = airport(HttpRequest()(address))
        listed = ShellTask(return_all=True)(
            command=StringFormatter("for i in 1 2 3; do echo {place}-$i | tee in/$i.txt; done")(place=place),
            env={"PWD_": "x"},
            helper_script=f"cd {tmp_path}",
        )
        page = JinjaTemplate("{% for line in lines %}{{ line }};{% endfor %}")(lines=listed)
        zipped = Zip(tmp_path / "in", packed)(upstream_tasks=[listed])
        unzipped = Unzip(packed, out)(upstream_tasks=[zipped])
        files = Glob(out, "**/*.txt")(upstream_tasks=[unzipped])
        made = SQLiteScript(database, "CREATE TABLE t (n); INSERT INTO t VALUES (1), (2);")()
        rows = SQLiteQuery(database, "SELECT n FROM t WHERE n > ?", data=[1])(upstream_tasks=[made])
        known = length(SecretTask("KEY")())
        switch(place, {"ZRH": Constant("here", name="here"), "GVA": Constant("there", name="there")})
        where = merge(*flow.get_tasks(name="here"), *flow.get_tasks(name="there"))
        total = Add()(known, 1)
    state = flow.run(executor=EXECUTORS[executor]())
    assert state.is_successful(), {name.name: found for name, found in state.result.items() if found.is_failed()}
    results = {it: state.result[it].result for it in (listed, page, rows, known, where, total)}
    assert results == {
        listed: ["ZRH-1", "ZRH-2", "ZRH-3"],
        page: "ZRH-1;ZRH-2;ZRH-3;",
        rows: [(2,)],
        known: 7,
        where: "here",
        total: 8,
    }
    assert sorted(Path(path).name for path in state.result[files].result) == ["1.txt", "2.txt", "3.txt"]


def test_the_tasks_of_collections_and_functions_are_those_that_flows_make() -> None:
    @task
    def two(values: list[int]) -> int:
        return sum(values)

    with Flow("made") as flow:
        one = two([1])
        both = two([one, 2])
    assert isinstance(both, FunctionTask)
    assert [type(it) for it in flow.tasks if isinstance(it, List)] == [List]
