"""Addresses of stored results: what one run wrote, another reads."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from headwater.core.errors import FlowError
from headwater.results import (
    Address,
    CompressedSerializer,
    DateTimeSerializer,
    FsspecResult,
    InlineResult,
    JSONSerializer,
    LocalResult,
    MissingError,
    PickleSerializer,
    Result,
    Serializer,
    address_of,
    read_address,
)

MOMENT = datetime(2026, 11, 23, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("serializer", "value", "name"),
    [
        (PickleSerializer(), {1, 2}, "pickle"),
        (JSONSerializer(), {"a": [1]}, "json"),
        (DateTimeSerializer(), MOMENT, "datetime"),
        (CompressedSerializer(PickleSerializer(), "bz2"), (1, "ü"), "pickle+bz2"),
        (CompressedSerializer(CompressedSerializer(JSONSerializer())), [1], "json+gzip+gzip"),
    ],
)
def test_a_stored_result_is_read_by_its_address(tmp_path: Path, serializer: Serializer, value: Any, name: str) -> None:
    folder = tmp_path / "rows of ürich, 100 %"
    written = LocalResult(folder, location="{n}/part #{n}?.bin", serializer=serializer).write(value, n=1)
    address = address_of(written)
    assert address is not None
    assert address.url.startswith("file:///")
    assert address.serializer == name
    assert read_address(address) == value


def test_a_url_is_the_stores_with_the_location() -> None:
    written = FsspecResult("memory://etl/", location="a/{n}.bin").write([1], n=2)
    address = address_of(written)
    assert address == Address("memory://etl/a/2.bin", "pickle")
    assert read_address(address) == [1]


def test_a_small_result_is_its_own_address() -> None:
    address = address_of(InlineResult().write({"a": "100 % ü #"}))
    assert address is not None
    assert address.url.startswith("data:application/json,")
    assert address.url.isascii()
    assert read_address(address) == {"a": "100 % ü #"}


def test_what_only_the_flows_own_code_can_read_has_no_address(tmp_path: Path) -> None:
    class Own(JSONSerializer): ...

    assert address_of(LocalResult(tmp_path, serializer=Own()).write(1)) is None
    assert address_of(Result(1).format()) is None


def test_what_is_gone_or_unknown_is_said(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="Nothing is stored"):
        read_address(Address((tmp_path / "a.bin").as_uri(), "pickle"))
    with pytest.raises(FlowError, match='serializer "yaml", which is not known here'):
        read_address(Address("data:application/json,1", "yaml"))
