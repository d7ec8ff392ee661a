"""The client against the OpenAPI document, and against an engine."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from engine import client as client_module
from engine.api.application import openapi
from engine.api.serving import serving
from engine.client import OPERATIONS, ApiProblemError, ApiUnreachableError, EngineClient
from engine.config.api import ApiConfig, ApiLimits
from engine.model import ActionResult, Plan, Status
from engine.security.roles import Role
from tests.unit.engine.api.conftest import Engine, action, engine_in

TEN = (
    "execute_scaling_decision", "analyse_metrics", "predict_capacity_needs",
    "orchestrate_infrastructure_change", "prepare_wedding_day", "execute_wedding_aware_scaling",
    "optimise_season_capacity", "collect_realtime_metrics", "analyse_performance_bottlenecks",
    "generate_capacity_recommendations",
)  # fmt: skip
"""The operations of the product's interface."""


@cache
def operations() -> dict[str, tuple[str, str, dict[str, Any]]]:
    return {
        operation["operationId"]: (method.upper(), path, operation)
        for path, methods in openapi()["paths"].items()
        for method, operation in methods.items()
    }


def sent_by(method: str) -> tuple[str, str]:
    """The HTTP method and the path that a method of the client asks for, as its source says."""
    source = inspect.getsource(getattr(EngineClient, method))
    tree = ast.parse(inspect.cleandoc(source) if source[0] != " " else "class C:\n" + source)
    verb = "GET"
    paths = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in ("_post", "_delete"):
            verb = node.attr[1:].upper()
        if isinstance(node, ast.JoinedStr):
            paths.append("".join(
                part.value if isinstance(part, ast.Constant) else "{}" for part in node.values
            ))  # fmt: skip
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            paths.append(node.value)
    path = next(one for one in paths if re.match(r"(\{\})?/[a-z]", one))
    return verb, path.removeprefix("{}").removesuffix("{}" if path.startswith("{}/ev") else "\0")


def test_each_method_is_an_operation_and_each_operation_a_method() -> None:
    public = {
        name for name, _ in inspect.getmembers(EngineClient, inspect.isfunction)
        if not name.startswith("_") and name != "close"
    }  # fmt: skip
    assert public == set(OPERATIONS)
    # What a Prometheus sends is in a protocol of its own, and no person's to send.
    assert sorted(OPERATIONS.values()) == sorted(set(operations()) - {"write"})


@pytest.mark.parametrize("method", OPERATIONS)
def test_a_method_asks_for_the_path_of_its_operation(method: str) -> None:
    verb, path, _ = operations()[OPERATIONS[method]]
    asked_verb, asked_path = sent_by(method)
    shape = re.sub(r"\{[^}]*\}", "{}", path.removeprefix("/api/scalability"))
    assert (asked_verb, asked_path) == (verb, shape)


@pytest.mark.parametrize("method", OPERATIONS)
def test_a_method_gives_the_answer_that_its_operation_documents(method: str) -> None:
    returned = inspect.signature(getattr(EngineClient, method)).return_annotation
    _, _, operation = operations()[OPERATIONS[method]]
    done = next(code for code in sorted(operation["responses"]) if code.startswith("2"))
    content = operation["responses"][done]["content"]
    if "application/json" in content:
        assert content["application/json"]["schema"]["$ref"].rpartition("/")[2] == returned


def test_the_ten_operations_of_the_product_are_there() -> None:
    assert set(TEN) <= set(OPERATIONS)


def test_the_documentation_has_each_of_the_ten(repository: Path) -> None:
    text = (repository / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    for method in TEN:
        verb, path, _ = operations()[OPERATIONS[method]]
        short = path.removeprefix("/api/scalability/")
        row = next(line for line in text.splitlines() if f"`{method}`" in line)
        assert f"`{verb} {short}`" in row


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    made = engine_in(tmp_path, ApiConfig(port=0, limits=ApiLimits(drain_s=0.0)))
    made.step(Plan(actions=(action("d1"),), awaiting=(action("d2"),)), awaiting=["d2"])
    return made


@pytest.fixture
def asked(engine: Engine) -> Iterator[EngineClient]:
    headers = engine.token("pat", *Role)
    token = headers["authorization"].removeprefix("Bearer ")
    with serving(engine.context) as url, EngineClient(url, token) as client:
        yield client


def test_it_asks_and_reads(engine: Engine, asked: EngineClient) -> None:
    assert asked.collect_realtime_metrics(["api"]).services["api"].ready == 4
    assert asked.analyse_metrics().services["api"].verdict == "ok"
    assert asked.predict_capacity_needs().services["api"].desired == 4
    assert asked.analyse_performance_bottlenecks().services[0].growth == 46.0
    assert asked.generate_capacity_recommendations().horizon == "now"
    assert [one.name for one in asked.services().items] == ["api", "database"]
    assert asked.service("api").max_instances == 100
    assert asked.decision("d1").outcome == "requested"
    engine.context.board.result(ActionResult("d1", Status.COMPLETED, engine.now_s))
    assert asked.decisions(kind="action", limit=5).items[-1].outcome == "completed"
    assert asked.troubles().troubles == {}
    assert asked.health().status == "alive"
    assert asked.readiness().ready
    assert "wedtwin_ready 1.0" in asked.prometheus()


def test_it_lets_things_stand_and_answers(asked: EngineClient) -> None:
    assert asked.keep_floor("api", 5, for_s=60.0).instances == 5
    assert len(asked.floors().items) == 1
    assert asked.drop_floor("api").withdrawn
    assert asked.pause(why="a rehearsal").service == ""
    assert len(asked.pauses().items) == 1
    assert asked.resume().withdrawn
    assert asked.approvals().items[0].decision_id == "d2"
    assert asked.reject("d2", "not today").complete


def test_it_hears_what_happens(engine: Engine, asked: EngineClient) -> None:
    first = next(asked.events())
    assert first.kind == "reset"
    engine.step(Plan(actions=(action("d3"),)))
    kinds = [event.kind for event in asked.events(first.id, once=True)]
    assert kinds == ["decision", "samples"]


def test_what_is_refused_has_its_problem(asked: EngineClient) -> None:
    with pytest.raises(ApiProblemError, match="timeRange") as refused:
        asked.collect_realtime_metrics(time_range="3y")
    assert refused.value.problem.errors[0].field == "timeRange"
    with pytest.raises(ApiProblemError, match="there is no"):
        asked.service("../secret?x=1")
    with pytest.raises(ApiProblemError, match=r"api\.predictions"):
        asked.capacity_plan()


def test_an_engine_that_is_not_there_is_said() -> None:
    with EngineClient("http://127.0.0.1:9", "wt_x") as client, pytest.raises(ApiUnreachableError):
        client.health()


@pytest.mark.parametrize(
    "url",
    ["http://engine.example:8700", "http://10.0.0.7", "http://127.0.0.1.example", "https://a@b"],
)
def test_a_token_is_sent_over_tls_or_to_this_machine_alone(url: str) -> None:
    with pytest.raises(ValueError, match="not allowed with a token"):
        EngineClient(url, "wt_x")


@pytest.mark.parametrize("url", ["https://engine.example", "http://localhost:1", "http://[::1]:1"])
def test_a_token_may_go_to_who_is_known(url: str) -> None:
    EngineClient(url, "wt_x").close()


def test_it_is_typed() -> None:
    for name in OPERATIONS:
        signature = inspect.signature(getattr(client_module.EngineClient, name))
        assert signature.return_annotation is not inspect.Signature.empty
