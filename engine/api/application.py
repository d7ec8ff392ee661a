"""The application: routes, problems, and the OpenAPI document."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.datastructures import State
from starlette.exceptions import HTTPException

from engine.api.context import ApiContext
from engine.api.documents import FieldDocument, ProblemDocument
from engine.api.guard import Application, RequestGuard
from engine.api.problems import FieldProblem, Problem, ProblemError, response, wrong
from engine.api.routes import (
    actions,
    alerting,
    emergency,
    events,
    exposition,
    keeping,
    looking,
    metrics,
    monitoring,
    occasions,
    overview,
    page,
    people,
    predicting,
    records,
    trying,
    write,
)
from engine.config.complaints import close, lines

TITLE = "WedTwin engine"
VERSION = "1"
OPEN = ("health", "readiness", "breakGlass")
"""Operations that do not ask who asks."""


def application(context: ApiContext) -> Application:
    """The whole API over `context`."""
    app = copy.copy(_routed())
    app.state = State({"context": context})
    return RequestGuard(app, context)


@lru_cache(maxsize=1)
def _routed() -> FastAPI:
    """The routes over no context: what they take and answer is worked out once in a process."""
    app = FastAPI(
        title=TITLE,
        version=VERSION,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(_strict_query)],
        openapi_url="/openapi.json",
    )
    for each in (
        overview, metrics, actions, predicting, trying, people, alerting, monitoring, occasions,
        events, looking, records, keeping, emergency, exposition, write, page,
    ):  # fmt: skip
        app.include_router(each.router)
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_failure)  # it goes on to the guard, which logs it
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    return app


def openapi() -> dict[str, Any]:
    """The OpenAPI document, without a running engine."""
    return _described(_routed())


def _described(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(
            title=TITLE,
            version=VERSION,
            openapi_version="3.1.0",
            summary="What the engine sees and does, and what people ask of it",
            description="Times ending in `_s` are epoch seconds (UTC), money is USD, shares are "
            "0-1. What goes wrong is answered as RFC 9457 has it.",
            routes=app.routes,
        )
        parts = schema.setdefault("components", {}).setdefault("schemas", {})
        for model in (ProblemDocument, FieldDocument):
            described = model.model_json_schema(ref_template="#/components/schemas/{model}")
            described.pop("$defs", None)
            parts[model.__name__] = described
        for name in ("HTTPValidationError", "ValidationError"):
            parts.pop(name, None)
        schema["components"]["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer", "description": "docs/guides/security.md"}
        }
        for path in schema["paths"].values():
            for operation in path.values():
                if operation["operationId"] not in OPEN:
                    operation["security"] = [{"token": []}]
                operation["responses"].pop("422", None) if _is_fastapis(operation) else None
        app.openapi_schema = schema
    return app.openapi_schema


def _is_fastapis(operation: dict[str, Any]) -> bool:
    """Whether its 422 is FastAPI's own, which is answered as a 400 here."""
    content = operation["responses"].get("422", {}).get("content", {})
    return "application/json" in content


async def _strict_query(request: Request) -> None:
    """What is not asked for is refused: a typing error must not be taken for the default."""
    route = request.scope.get("route")
    if not isinstance(route, APIRoute):
        return
    allowed = _query_of(route)
    for name in request.query_params:
        if name not in allowed:
            listed = ", ".join(allowed) or "there are none"
            hint = close(name, allowed) or f" (allowed: {listed})"
            detail = f"{name[:100]}: unknown parameter{hint}"
            raise ProblemError(
                Problem.INVALID, detail, fields=[FieldProblem(name[:100], detail, listed)]
            )
        if len(request.query_params.getlist(name)) > 1:
            detail = f"{name}: it is there more than once"
            raise ProblemError(Problem.INVALID, detail, fields=[FieldProblem(name, detail, "once")])


_QUERIES: dict[int, list[str]] = {}


def _query_of(route: APIRoute) -> list[str]:
    """The names of a route's parameters, looked up once."""
    names = _QUERIES.get(id(route))
    if names is None:
        names = [name for name, _ in _parameters(route.dependant, "query")]
        _QUERIES[id(route)] = names
    return names


def _parameters(dependant: Dependant, *places: str) -> Iterator[tuple[str, list[Any]]]:
    """Name and constraints of each parameter of a route, and of what it depends on."""
    for place in places:
        for field in getattr(dependant, f"{place}_params"):
            model = field.field_info.annotation
            if isinstance(model, type) and issubclass(model, BaseModel):
                for name, part in model.model_fields.items():
                    yield part.alias or name, part.metadata
            else:
                yield str(field.alias), field.field_info.metadata
    for other in dependant.dependencies:
        yield from _parameters(other, *places)


async def _on_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return response(error)


async def _on_failure(_: Request, __: Exception) -> Response:
    return response(ProblemError(Problem.INTERNAL, "the engine failed to answer; its log says why"))


async def _on_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kinds = {404: Problem.NOT_THERE, 405: Problem.METHOD, 413: Problem.TOO_LARGE}
    kind = kinds.get(error.status_code, Problem.INVALID)
    detail = "there is no such path" if kind is Problem.NOT_THERE else str(error.detail)
    return response(ProblemError(kind, detail, headers=dict(error.headers or {})))


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    route = request.scope.get("route")
    problems: list[FieldProblem] = []
    for item in error.errors():
        where = item["loc"]
        if item["type"] == "json_invalid":
            problems.append(FieldProblem("body", "body: it is not JSON", "JSON"))
        elif where[0] == "body":
            problems.extend(_of_body(route, error.body))
        else:
            problems.append(_of_parameter(route, item))
    unique = list({problem.detail: problem for problem in problems}.values())
    detail = "; ".join(problem.detail for problem in unique) or "the request cannot be read"
    return response(ProblemError(Problem.INVALID, detail, fields=unique))


def _of_body(route: object, body: object) -> list[FieldProblem]:
    """What is wrong with the body, as the configuration's errors are said."""
    model = _body_model(route)
    if model is None:
        return []
    try:
        model.model_validate(body)
    except ValidationError as error:
        said = lines(error, model)
        return [
            FieldProblem(line.partition(":")[0] or "body", line, _allowed(line)) for line in said
        ]
    return [FieldProblem("body", "body: it cannot be read", "a JSON object")]


def _body_model(route: object) -> type[BaseModel] | None:
    field = route.body_field if isinstance(route, APIRoute) else None
    annotation = None if field is None else field.field_info.annotation
    return (
        annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
    )


def _of_parameter(route: object, item: Any) -> FieldProblem:
    name = str(item["loc"][-1])
    if item["type"] == "missing":
        return FieldProblem(name, f"{name}: is missing")
    allowed = str(item["msg"])
    if isinstance(route, APIRoute):
        for other, constraints in _parameters(route.dependant, "query", "path", "header"):
            if other == name:
                allowed = _range(constraints) or allowed
    error = wrong(name, item.get("input"), allowed)
    return error.fields[0]


def _range(constraints: Any) -> str:
    low = high = longest = ""
    for constraint in constraints:
        low = str(getattr(constraint, "ge", low))
        high = str(getattr(constraint, "le", high))
        longest = str(getattr(constraint, "max_length", longest))
    if low and high:
        return f"{low} … {high}"
    return f"at most {longest} characters" if longest else ""


def _allowed(line: str) -> str:
    """What a complaint says is allowed: the part in its last brackets."""
    _, bracket, rest = line.rpartition(" (")
    return rest.partition(")")[0] if bracket else ""
