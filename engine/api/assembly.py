"""The API, put together: beside the shell of a live run, or of one in the twin's world."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from engine.adapters import cabinet_files
from engine.adapters.store.aside import Aside
from engine.api.board import Board
from engine.api.context import ApiContext
from engine.api.events import EventRing
from engine.api.predictions import NOT_SHARED, Predictor
from engine.api.receiving import KeptSamples, Receiving, SampleSink
from engine.api.records import Records
from engine.api.serving import serving
from engine.api.shared_cache import RedisCache, SharedCache
from engine.api.what_if import Trials
from engine.config.api import ApiConfig, BesideConfig
from engine.config.load import is_installed
from engine.config.secrets import revealed
from engine.config.security import SecurityConfig
from engine.config.strict import ConfigError
from engine.model import ServiceSpec
from engine.ports.cabinet import CabinetError
from engine.ports.credentials import Credentials
from engine.ports.desk import Desk
from engine.record.folders import OutputError
from engine.runtime.shell import Notes
from engine.security import exposure, gate
from engine.security.audit.courier import Courier
from engine.security.break_glass import BreakGlass
from engine.security.four_eyes import Approvals
from engine.security.tokens import Tokens
from engine.settings import EngineSettings


class Office(NamedTuple):
    """Where it is kept who may what, what was asked for, and what was done."""

    state: Path
    desk: Desk
    courier: Courier
    credentials: Credentials
    security: SecurityConfig


class Offered(NamedTuple):
    """What not every engine has.

    `receiver` takes samples in, `kept` has those of before, `aside` takes what emergency access
    asks for while the store takes nothing; `records` are those of earlier runs.
    """

    receiver: SampleSink | None = None
    kept: KeptSamples | None = None
    aside: Aside | None = None
    records: Records | None = None


NOTHING_MORE = Offered()


def assembled(
    notes: Notes,
    specs: Sequence[ServiceSpec],
    settings: EngineSettings,
    config: ApiConfig,
    *,
    office: Office,
    tree: Mapping[str, Any],
    offered: Offered = NOTHING_MORE,
    clock_s: Callable[[], float] = time.time,
) -> ApiContext:
    """The API of an engine; its `board` is to be the shell's notes, which passes them to `notes`.

    `clock_s` is the shell's time (epoch seconds), `tree` the configuration as it was composed, of
    which predictions are handed the keys that `api.predictions.keys` names.  Raises ConfigError
    where it would be reached by others without TLS or without knowing them.
    """
    state, desk, courier = office.state, office.desk, office.courier
    try:
        loopback = exposure.is_loopback(config.address)
        cabinet = cabinet_files.opened(state)
        tokens = Tokens(office.credentials, cabinet, loopback=loopback)
        identity = gate.opened(office.security, tokens, cabinet)
        others = loopback or identity.has_others(time.time())
        exposure.check(config.address, tls=config.tls is not None, identity=others)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    except OSError as error:
        raise OutputError(f"{error.filename or state}: {error.strerror}") from error
    events = EventRing(config.limits.events, secrets.token_hex(4))
    return ApiContext(
        board=Board(notes, specs, settings, config.limits, events=events),
        desk=desk,
        approvals=Approvals(desk, cabinet),
        audit=courier.audit,
        courier=courier,
        identity=identity,
        predictor=_predictor(config, tree),
        trials=_trials(config, tree),
        config=config,
        emergency=BreakGlass(cabinet_files.FileCabinet(state / cabinet_files.FOLDER)),
        acts=settings.mode == "act",
        aside=offered.aside,
        records=offered.records,
        kept=offered.kept,
        receiving=None if offered.receiver is None else Receiving(offered.receiver),
        clock_s=clock_s,
        bootstrap=tokens.bootstrap if loopback else _no_token,
    )


def _predictor(config: ApiConfig, tree: Mapping[str, Any]) -> Predictor:
    predictions = config.predictions
    if predictions is None:
        return Predictor("", {}, config.limits.prediction_s)
    options = _handed(predictions, tree, "api.predictions")
    shared: SharedCache = NOT_SHARED
    if config.cache is not None:
        shared = RedisCache(config.cache.url.get_secret_value())
    return Predictor(predictions.factory, options, config.limits.prediction_s, shared)


def _trials(config: ApiConfig, tree: Mapping[str, Any]) -> Trials:
    """None where what is named by default is not installed beside the engine."""
    limits, what_if = config.limits, config.what_if
    if what_if is None or not is_installed(what_if.factory):
        return Trials("", {}, limits.what_if_s, limits.what_ifs)
    options = _handed(what_if, tree, "api.what_if")
    return Trials(what_if.factory, options, limits.what_if_s, limits.what_ifs)


def _handed(config: BesideConfig, tree: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The options, and what `keys` names of the tree; raises ConfigError for what is in both."""
    options = dict(revealed(config.options))
    for name in config.keys:
        if name in options:
            raise ConfigError(f"{key}.keys: {name} is among {key}.options already")
        if name in tree:
            options[name] = tree[name]
    return options


@contextlib.contextmanager
def served(context: ApiContext, tell: Callable[[str, str], None]) -> Iterator[None]:
    """Serve it until the block ends; `tell` is told the URL and a token that was made, "" if none.

    Raises ConfigError, OutputError.
    """
    try:
        token = context.bootstrap(time.time())
    except (OSError, CabinetError) as error:
        raise OutputError(f"no token can be made: {error}") from error
    with serving(context) as url:
        tell(url, token)
        yield


def _no_token(_: float) -> str:
    return ""
