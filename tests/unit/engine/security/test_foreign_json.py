"""Whatever another program answers, each reader says what is wrong and none of them ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest

from engine.adapters import lease_place, load_prometheus, prometheus
from engine.adapters.kubernetes.api import Api, ApiError
from engine.adapters.kubernetes.reflector import Reflector
from engine.adapters.pool.place import Place, PlaceError, raw_stack
from engine.adapters.prometheus_history import HistoryError, HistoryGrid, PastMetrics
from engine.client import ApiProblemError, ApiUnreachableError, EngineClient
from engine.config.strict import ConfigError
from engine.importing import files
from engine.prediction import artefact
from engine.record.schema import events, summary
from engine.record.schema.summary import SEALED, SchemaError
from engine.record.sealed import read_part
from engine.security.foreign_json import ForeignJsonError, parsed, parsed_object, words
from engine.security.sealing import Sealer, keys_in, made

SEALER = Sealer(lambda: keys_in(made(), "here"))
NO_JSON = {
    "nothing": b"", "a truncated text": b'{"items": [', "bytes after the end": b"{} x",
    "brackets without end": b"[" * 200_000, "objects without end": b'{"a":' * 200_000,
    "a number of 5,000 digits": b"9" * 5000, "bytes that are no text": b'{"a": "\xff"}',
    "a page of a proxy": b"<html>",
}  # fmt: skip
NO_OBJECT = {
    "null": b"null", "a number": b"1", "a text": b'"x"', "a list": b"[1, null, {}]",
    "not a number": b"NaN",
}  # fmt: skip
HALF = b'{"status": "error", "error": "\\ud800", "message": "\\ud800", "reason": "\\udfff"}'
ODD_OBJECTS = {
    "an empty object": b"{}", "a mark of the byte order": b"\xef\xbb\xbf{}",
    "UTF-16": "{}".encode("utf-16"), "halves of characters": HALF,
    "a message that is none": b'{"status": "error", "error": [1], "message": {"a": 1}}',
    "the same key twice": b'{"status": "success", "status": "error", "message": 1, "message": 2}',
}  # fmt: skip


def succeeded(content: str) -> bytes:
    return f'{{"status": "success", "data": {content}}}'.encode()


def series(text: str) -> bytes:
    return succeeded(f'{{"resultType": "matrix", "result": [{text}]}}')


ODD_SERIES = {
    "no data": succeeded("null"), "data that is a text": succeeded('"x"'),
    "data that is a list": succeeded("[1]"),
    "a result that is a number": succeeded('{"resultType": "matrix", "result": 3}'),
    "labels that are a list": series('{"metric": [1], "values": [[1, "2"]]}'),
    "values that are a number": series('{"metric": {"service": "api"}, "values": 3}'),
    **{
        f"a value {value}": series(f'{{"metric": {{"service": "api"}}, "values": [{value}]}}')
        for value in (
            "[1]", '[1, "x"]', "[1, null]", '[1e999, "1"]', '[NaN, "1"]', f'[{"9" * 400}, "1"]'
        )
    },
}  # fmt: skip
ALL = NO_JSON | NO_OBJECT | ODD_OBJECTS | ODD_SERIES

given = pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in ALL.items()])
with_status = pytest.mark.parametrize("status", [200, 500])


def answering(body: bytes, status: int) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(status, content=body)


def can_be_written(error: Exception, *begins: str) -> None:
    """Its message is short, is text that a file takes, and begins in one of these ways."""
    str(error).encode("utf-8")
    assert str(error).startswith(begins or "")
    assert len(str(error)) < 2000


@pytest.mark.parametrize("body", NO_JSON.values(), ids=NO_JSON)
def test_what_is_no_json_is_one_error_that_says_so(body: bytes) -> None:
    for read in (parsed, parsed_object):
        with pytest.raises(ForeignJsonError, match=r"^no JSON") as raised:
            read(body)
        can_be_written(raised.value)


@pytest.mark.parametrize("body", NO_OBJECT.values(), ids=NO_OBJECT)
def test_what_is_no_object_is_refused_where_one_is_needed(body: bytes) -> None:
    parsed(body)
    with pytest.raises(ForeignJsonError, match="no object"):
        parsed_object(body)


def test_of_equal_keys_the_last_counts_and_an_odd_number_costs_no_other_row() -> None:
    assert parsed_object(b'{"a": 1, "a": 2}') == {"a": 2}
    assert parsed(b"[NaN, 1e999, 3]")[2] == 3
    assert parsed_object("\ufeff{}".encode()) == parsed_object("{}") == {}


@pytest.mark.parametrize(
    ("value", "shown"),
    [("all well", "all we"), ("é", "é"), ("", ""), (None, ""), ([1], "")],
)
def test_words_are_a_text_of_so_many_characters(value: object, shown: str) -> None:
    assert words(value, 6) == shown


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b'["\\ud800", "\\uDfff x"]', ["?", "? x"]),
        (b'{"\\ud800": {"a": ["\\ud83d"]}}', {"?": {"a": ["?"]}}),
        (b'"\\ud83d\\ude00 \\u00e9"', "\U0001f600 é"),
        ('"\\ud800"'.encode("utf-16"), "?"),
        ('"\\ud800"', "?"),
    ],
)
def test_halves_of_characters_become_question_marks(content: str | bytes, value: object) -> None:
    assert parsed(content) == value


def test_whoever_has_to_refuse_halves_gets_them() -> None:
    assert parsed(b'["\\ud800", "\\udfff"]', mends=False) == ["\ud800", "\udfff"]


def test_bytes_that_are_half_a_character_are_no_text() -> None:
    with pytest.raises(ForeignJsonError, match="no characters"):
        parsed(b'"\xed\xa0\x80"')


ACCESS: Any = SimpleNamespace(url="https://cluster.test", context=True, headers=dict)


@given
@with_status
def test_kubernetes_answers_with_an_object_or_an_error_of_its_api(body: bytes, status: int) -> None:
    async def story() -> None:
        api = Api(ACCESS, 5.0, httpx.MockTransport(answering(body, status)))
        try:
            assert isinstance(await api.get("/apis/x"), dict)
        except ApiError as error:
            can_be_written(error)
        finally:
            await api.close()

    asyncio.run(story())


@given
@with_status
def test_a_watch_goes_on_whatever_was_said(body: bytes, status: int) -> None:
    """The list or the watch is spoilt once; the next list shows what is there."""
    pod = {"metadata": {"uid": "a"}}
    fine = {"metadata": {"resourceVersion": "2"}, "items": [pod]}

    async def story(spoilt: str) -> None:
        asked: list[str] = []

        async def answer(request: httpx.Request) -> httpx.Response:
            what = "watch" if "watch" in request.url.params else "list"
            asked.append(what)
            if what == spoilt and asked.count(what) == 1:
                return httpx.Response(status, content=body + b"\n")
            if what == "list":
                return httpx.Response(200, json=fine)
            await asyncio.sleep(3600.0)
            raise AssertionError

        api = Api(ACCESS, 5.0, httpx.MockTransport(answer))
        reflector = Reflector(api, "/pods", lambda one: str(one["metadata"]["uid"]), 3600.0)
        reflector.start()
        try:
            async with asyncio.timeout(120.0):
                while asked.count("watch") < (2 if spoilt == "watch" else 1):
                    await asyncio.sleep(0.005)
            assert reflector.objects == {"a": "a"}
        finally:
            await reflector.close()
            await api.close()

    for spoilt in ("list", "watch"):
        asyncio.run(story(spoilt))


def client_of(body: bytes, status: int) -> httpx.Client:
    transport = httpx.MockTransport(answering(body, status))
    return httpx.Client(base_url="http://metrics.test/", transport=transport)


@given
@with_status
def test_a_history_is_read_or_refused_with_its_key(body: bytes, status: int) -> None:
    with client_of(body, status) as client:
        past = PastMetrics(client, {})
        for ask in (
            lambda: past.over("queries.cpu", "x", HistoryGrid(0.0, 60.0, 10)),
            lambda: past.at("queries.cpu", "x", 0.0),
        ):
            try:
                ask()
            except HistoryError as error:
                can_be_written(error, "metrics.url: ", "queries.cpu: ")


@given
@with_status
def test_a_past_load_is_read_or_is_an_error_of_the_server(
    body: bytes, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = httpx.MockTransport(answering(body, status))
    monkeypatch.setattr(load_prometheus, "BlockingOutboundTransport", lambda **_: transport)
    options = {"url": "http://metrics.test", "queries": {"request_rate": "x"}}
    try:
        load = load_prometheus.read(options, ("api",), 0.0, 600.0)
    except OSError as error:
        can_be_written(error, "metrics.url: ")
    else:
        assert np.isnan(load.load).all()


@given
@with_status
def test_prometheus_gives_series_or_a_trouble(body: bytes, status: int) -> None:
    try:
        prometheus._result(body, status)
    except prometheus.TroubleError as error:
        can_be_written(error)


@given
@with_status
def test_the_client_says_that_it_is_no_engine(body: bytes, status: int) -> None:
    client = EngineClient("http://127.0.0.1:1", "wt_x")
    client._http = httpx.Client(
        base_url="http://127.0.0.1:1", transport=httpx.MockTransport(answering(body, status))
    )
    with pytest.raises((ApiUnreachableError, ApiProblemError)) as raised:
        client.overview()
    can_be_written(raised.value)


@given
def test_an_event_that_is_no_object_ends_the_stream_in_words(body: bytes) -> None:
    text = body.decode("utf-8", "replace").replace("\n", " ").lstrip("\ufeff")
    stream = f"id: 1\nevent: step\ndata: {text}\n\n".encode()
    client = EngineClient("http://127.0.0.1:1", "wt_x")
    client._http = httpx.Client(
        base_url="http://127.0.0.1:1", transport=httpx.MockTransport(answering(stream, 200))
    )
    try:
        events = list(client.events())
    except ApiUnreachableError as error:
        can_be_written(error)
    else:
        assert [event.content for event in events] == [parsed(text)]


@pytest.mark.parametrize("lines", [b"data: {}", b"id: 1\ndata: {}", b"event: step\ndata: {}"])
def test_an_event_without_a_name_or_a_number_is_one_all_the_same(lines: bytes) -> None:
    client = EngineClient("http://127.0.0.1:1", "wt_x")
    client._http = httpx.Client(
        base_url="http://127.0.0.1:1",
        transport=httpx.MockTransport(answering(lines + b"\n\n", 200)),
    )
    (event,) = client.events()
    assert event.content == {}


@pytest.mark.parametrize("body", [body for body in (NO_JSON | NO_OBJECT).values() if body])
def test_a_file_that_somebody_changed_is_refused_in_words(body: bytes, tmp_path: Path) -> None:
    (tmp_path / "import").mkdir()
    for name in (summary.FILE, SEALED, events.FILE, "stack.json", lease_place.FILE):
        (tmp_path / name).write_bytes(body)
    files.companion(tmp_path, "own").write_bytes(body)
    readers: list[tuple[Callable[[], object], type[Exception]]] = [
        (lambda: summary.from_file(summary.Summary, tmp_path / summary.FILE), SchemaError),
        (lambda: list(events.read(tmp_path)), SchemaError),
        (lambda: read_part(tmp_path, summary.FILE, SEALER), ValueError),
        (lambda: artefact._manifest(body), artefact.ArtefactError),
        (lambda: raw_stack(Place(tmp_path)), PlaceError),
        (lambda: lease_place.lease_place(tmp_path), OSError),
        (lambda: files.earlier(tmp_path, "own"), ConfigError),
    ]
    for read, promised in readers:
        with pytest.raises(promised) as raised:
            read()
        can_be_written(raised.value)
