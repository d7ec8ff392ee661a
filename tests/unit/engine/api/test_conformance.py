"""Whatever is asked, the answer is one that the OpenAPI document has: some cases of each path.

`benchmarks/api_conformance.py` asks ten thousand times, in sequences.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from engine.api.application import application, openapi
from engine.config.api import ApiConfig, ApiLimits, PredictionsConfig, RateLimit
from engine.model import Plan
from engine.security.roles import Role
from tests.unit.engine.api.conftest import QUICK, Engine, action, engine_in, recommendation

CHECKS = (
    not_a_server_error, status_code_conformance, content_type_conformance,
    response_schema_conformance,
)  # fmt: skip
PLENTY = RateLimit(per_s=1e6, burst=1_000_000)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, factories_on_path: None) -> Iterator[Engine]:
    limits = ApiLimits(reads=PLENTY, writes=PLENTY, predictions=PLENTY)
    predictions = PredictionsConfig(factory=QUICK)
    config = ApiConfig(limits=limits, predictions=predictions)
    made = engine_in(tmp_path_factory.mktemp("engine"), config)
    made.step(Plan(taken=(recommendation(),), actions=(action("d1"),), awaiting=(action("d2"),)),
              awaiting=["d2"])  # fmt: skip
    yield made
    made.context.predictor.close()


@pytest.fixture(scope="module")
def schema(engine: Engine) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return schemathesis.openapi.from_asgi("/openapi.json", application(engine.context))


@pytest.fixture(scope="module")
def headers(engine: Engine) -> dict[str, str]:
    return engine.token("pat", *Role)


def operations() -> list[str]:
    return sorted(
        f"{method.upper()} {path}"
        for path, methods in openapi()["paths"].items()
        for method in methods
        if path != "/api/scalability/events"
    )


@pytest.mark.parametrize("operation", operations())
def test_each_answer_is_documented(schema: Any, headers: dict[str, str], operation: str) -> None:
    method, _, path = operation.partition(" ")

    @given(case=schema[path][method].as_strategy())
    @settings(max_examples=4, suppress_health_check=list(HealthCheck), database=None)
    def asked(case: Any) -> None:
        case.call_and_validate(headers=headers, checks=CHECKS)

    asked()


def test_each_operation_that_can_say_what_it_would_do_documents_that_answer() -> None:
    document = openapi()
    schemas = document["components"]["schemas"]
    tried = {}
    for methods in document["paths"].values():
        for operation in methods.values():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            name = body.get("schema", {}).get("$ref", "").rpartition("/")[2]
            if "dry_run" in schemas.get(name, {}).get("properties", {}):
                tried[operation["operationId"]] = "200" in operation["responses"]
    assert tried == dict.fromkeys(
        ("scale", "orchestrate", "weddingAware", "prepareWeddingDay", "proposeOccasion"), True
    )
