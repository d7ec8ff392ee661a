"""A secret of the configuration reaches its adapter, and nothing that is written."""

from __future__ import annotations

import base64
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hydra import compose, initialize_config_module
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from pydantic import SecretStr

from engine.adapters.prometheus import PrometheusConfig
from engine.config import secrets
from engine.config.live import AdapterConfig, MetricsConfig
from engine.model import ActionResult, Status
from engine.record.journal import Journal, JournalHeading

S = "s3cr3t-Value"
"""What may be seen nowhere."""


@pytest.fixture(autouse=True)
def nothing_learned() -> Iterator[None]:
    secrets.forget()
    yield
    secrets.forget()


@pytest.mark.parametrize(
    "name",
    ["password", "PGPASSWORD", "db_password", "passwd", "token", "access_token", "accessToken",
     "bearer-token", "secret", "client_secret", "SECRET_KEY", "key", "api_key", "apiKey", "apikey",
     "X-Api-Key", "authorization", "Authorization", "proxy-authorization", "cookie", "Set-Cookie",
     "credentials", "sig", "auth", "dsn", "private_key", "passphrase", "secretAccessKey"],
)  # fmt: skip
def test_names_of_secrets(name: str) -> None:
    assert secrets.is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    ["url", "folder", "monkey", "keyboard", "author", "authority", "path", "label", "queries",
     "timeout_s", "signal", "design", "keyspace", "passes", "cookbook", "step", "factory"],
)  # fmt: skip
def test_names_of_what_is_none(name: str) -> None:
    assert not secrets.is_secret_name(name)


@pytest.mark.parametrize("root", ["twin", "live"])
def test_no_key_of_the_packaged_configuration_is_taken_for_a_secret(root: str) -> None:
    with initialize_config_module("conf", version_base="1.3"):
        raw: Any = OmegaConf.to_container(compose(root), resolve=True)
    assert secrets.recordable(raw) == raw


SHAPES: list[dict[str, Any]] = [
    {"metrics": {"url": f"https://scraper:{S}@prom.example"}},
    {"metrics": {"url": f"https://prom.example/api?token={S}&x=1"}},
    {"metrics": {"url": f"https://prom.example/?x=1&api_key={S}#here"}},
    {"metrics": {"headers": {"Authorization": f"Bearer {S}", "X-Scope": S}}},
    {"metrics": {"parameters": {"token": S, "dedup": "true"}}},
    {"metrics": {"proxies": [f"http://me:{S}@a:3128", f"http://me:{S}@b:3128"]}},
    {"infrastructure": {"options": {"dsn": f"postgresql://u:{S}@db/x"}}},
    {"infrastructure": {"options": {"store": f"host=db user=u password='{S}' dbname=x"}}},
    {"infrastructure": {"options": {"cache": f"redis://:{S}@cache:6379/0"}}},
    {"infrastructure": {"options": {"nested": {"aws": {"secretAccessKey": S}}}}},
    {"infrastructure": {"options": {"accounts": [{"name": "a", "password": S}]}}},
    {"controller": {"options": {"cookies": {"session": S}}}},
    {"scenario": {"description": f"see https://u:{S}@wiki.example"}},
    {"password": S},
]


@pytest.mark.parametrize("settings", SHAPES)
def test_what_is_recorded_has_a_mark_in_its_place(settings: dict[str, Any]) -> None:
    text = json.dumps(secrets.recordable(settings))
    assert S not in text
    assert secrets.MARK in text


@pytest.mark.parametrize("settings", SHAPES)
def test_the_adapter_gets_the_plain_value_and_nobody_else(settings: dict[str, Any]) -> None:
    held = secrets.sealed(settings)
    assert S not in repr(held)
    assert S not in str(held)
    assert secrets.revealed(held) == settings


def test_what_is_no_secret_stays_legible() -> None:
    recorded = secrets.recordable(
        {
            "metrics": {"url": f"https://scraper:{S}@prom.example:9090/api", "label": "service"},
            "platform": {"services": {"auth": {"slots": 4}, "token": {"slots": 2, "name": "x"}}},
        }
    )
    assert recorded["metrics"] == {
        "url": f"https://{secrets.MARK}@prom.example:9090/api", "label": "service"
    }  # fmt: skip
    assert recorded["platform"]["services"]["token"] == {"slots": 2, "name": "x"}


def test_a_number_can_be_a_secret_and_keeps_its_type() -> None:
    held = secrets.sealed({"pin": 1, "password": 123456, "token": True, "secret": None})
    assert "123456" not in repr(held)
    assert secrets.revealed(held) == {"pin": 1, "password": 123456, "token": True, "secret": None}
    assert "123456" not in json.dumps(secrets.recordable({"a": {"password": 123456}}))


OVERRIDES = [
    f"metrics.url=https://scraper:{S}@prom.example",
    f"metrics.url='https://scraper:{S}@prom.example'",
    f'metrics.url="https://prom.example?token={S}"',
    f"+metrics.url=https://scraper:{S}@prom.example",
    f"metrics.headers.Authorization={S}",
    f"metrics.headers.Authorization='Bearer {S}'",
    f'+metrics.headers.Authorization="Bearer {S}"',
    f"++metrics.headers.X-Any={S}",
    f"~metrics.headers.Authorization={S}",
    f"metrics.headers={{Authorization: {S}}}",
    f"metrics={{headers: {{Authorization: 'Bearer {S}'}}, label: x}}",
    f"metrics={{url: 'https://u:{S}@h', label: x}}",
    f"+metrics.parameters={{token: {S}}}",
    f"+infrastructure.options.password={S}",
    f"+infrastructure.options={{accounts: [{{name: a, password: {S}}}]}}",
    f"+infrastructure.options.stores=['redis://:{S}@a', 'redis://:{S}@b']",
    f"+infrastructure.options.dsn='host=db password={S}'",
    f"infrastructure.options.api_key='{S}',other",
    f"metrics.headers.Authorization=Bearer [{S}",  # Hydra cannot read it
    f"metrics={{headers: {{Authorization: {S}",
    f"--password={S}",
    f"https://u:{S}@h",
]


@pytest.mark.parametrize("argument", OVERRIDES)
def test_a_typed_secret_is_in_no_command_line(argument: str) -> None:
    line = secrets.command_line(["python", "-m", "engine", "run"], ["seed=1", argument])
    assert S not in line
    assert line.startswith("python -m engine run seed=1 ")
    assert argument.lstrip("+~").partition("=")[0].split(".")[0] in line or "://" in argument


@pytest.mark.parametrize("argument", OVERRIDES)
def test_a_typed_secret_is_in_no_complaint_about_it(argument: str) -> None:
    secrets.learn_arguments([argument])
    assert S not in secrets.redacted(f'"{argument}" cannot be read; write it as key=value')
    assert S not in secrets.redacted(f"no route to {S}")


@pytest.mark.parametrize(
    "argument",
    ["scenario=june_peak", "seed=3", "+thresholds.token='slo.availability >= 0.9'", "--cfg=job",
     "population.simultaneous=2000", "platform.services.auth.slots=4", "~thresholds",
     "metrics.url=http://127.0.0.1:9090", "metrics.queries.cpu='max by (service) (x{a=\"b\"})'"],
)  # fmt: skip
def test_what_is_no_secret_stands_in_the_command_line(argument: str) -> None:
    assert secrets.shown(argument) == argument


SECRET = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_categories=("Cc", "Cs", "Zs")),
    min_size=8, max_size=24,
).map(lambda text: f"Qz{text}")  # fmt: skip


@given(SECRET, st.sampled_from(["password", "headers", "accessToken"]))
def test_a_learned_secret_is_found_in_whatever_form_it_is_written(secret: str, name: str) -> None:
    secrets.forget()
    secrets.learn(secrets.sealed({"a": {name: {"x": secret}}}))
    for form in (
        secret, quote(secret), quote(secret, safe=""), quote_plus(secret), json.dumps(secret),
        repr(secret), json.dumps(secret, ensure_ascii=False),
    ):  # fmt: skip
        line = secrets.redacted(f"error: {form}: refused")
        assert form.strip("'\"") not in line
        assert secrets.MARK in line


@given(SECRET)
def test_the_password_of_a_url_is_found_alone_and_in_a_header(secret: str) -> None:
    secrets.forget()
    typed = quote(secret, safe="")
    secrets.learn(secrets.sealed({"url": f"https://me:{typed}@host/x"}))
    basic = base64.b64encode(f"me:{secret}".encode()).decode()
    for written in (secret, typed, basic, f"https://me:{typed}@host/x"):
        assert written not in secrets.redacted(f"Authorization: {written}")


def test_plain_data_is_redacted_text_by_text() -> None:
    secrets.learn(secrets.sealed({"token": "12345678"}))
    written = {"detail": "12345678 refused", "rows": [[12345678, "ok"]], "n": 12345678, "x": None}
    assert secrets.redacted(written) == {
        "detail": f"{secrets.MARK} refused", "rows": [[12345678, "ok"]], "n": 12345678, "x": None
    }  # fmt: skip


def test_a_log_line_and_a_traceback_show_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    secrets.learn(SecretStr(S))
    root = logging.getLogger()
    others, root.handlers = root.handlers, [logging.StreamHandler()]
    hook = secrets.sys.excepthook  # type: ignore[attr-defined]
    try:
        secrets.guard()
        try:
            raise RuntimeError(f"cannot log in with {S}")
        except RuntimeError as error:
            logging.getLogger("engine.adapter").exception("lost: %s", S)
            secrets.sys.excepthook(type(error), error, error.__traceback__)  # type: ignore[attr-defined]
    finally:
        root.handlers = others
        secrets.sys.excepthook = hook  # type: ignore[attr-defined]
    written = capsys.readouterr().err
    assert S not in written
    assert written.count("cannot log in with (not recorded)") == 2


def test_a_handler_that_fails_shows_no_secret_either(capsys: pytest.CaptureFixture[str]) -> None:
    secrets.learn(SecretStr(S))
    root = logging.getLogger()
    closed = io.StringIO()
    closed.close()
    others, root.handlers = root.handlers, [logging.StreamHandler(closed)]
    hook = secrets.sys.excepthook  # type: ignore[attr-defined]
    try:
        secrets.guard()
        try:
            raise RuntimeError(f"cannot log in with {S}")
        except RuntimeError:
            logging.getLogger("engine.adapter").exception("lost: %s", S)
    finally:
        root.handlers = others
        secrets.sys.excepthook = hook  # type: ignore[attr-defined]
    written = capsys.readouterr().err
    assert "I/O operation on closed file" in written
    assert S not in written


def test_the_parsed_configuration_holds_secrets_sealed_and_hands_them_on_plain() -> None:
    given = {"password": S, "urls": [f"redis://:{S}@a"], "folder": "/tmp"}
    infrastructure = AdapterConfig.model_validate({"factory": "a:b", "options": given})
    metrics = MetricsConfig.model_validate(
        {"factory": "a:b", "url": f"http://u:{S}@h", "headers": {"X-Any": S}, "label": "x"}
    )
    assert S not in repr(infrastructure) + repr(metrics)
    assert infrastructure.options == given
    assert metrics.options == {"url": f"http://u:{S}@h", "headers": {"X-Any": S}, "label": "x"}


def test_the_metrics_adapter_keeps_its_own_secrets_sealed() -> None:
    config = PrometheusConfig.model_validate(
        {
            "url": f"https://u:{S}@h",
            "queries": {"cpu": "c"},
            "headers": {"X": S},
            "parameters": {"token": S},
        }
    )
    assert S not in repr(config)
    assert S not in str(config.model_dump())


def test_the_journal_holds_no_secret(tmp_path: Path) -> None:
    secrets.learn(secrets.sealed({"password": S}))
    journal = Journal(tmp_path, JournalHeading(0.0, ("api",), 5.0, "engine"))
    journal.event(1.0, "trouble_started", "infrastructure", "x", detail=f"cannot log in with {S}")
    journal.result(ActionResult("a", Status.FAILED, 1.0, f"{S} was refused"))
    journal.close()
    assert S not in journal.path.read_text()
    assert journal.path.read_text().count(secrets.MARK) == 2
