"""Regressions to plant: a knob of the engine turned too far, or a line of its code spoiled.

A changed line takes effect in the living function, whoever holds a reference to it, and only while
the block lasts: nothing is written into the checkout.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Annotated, Any

from pydantic import Field

from engine.config.complaints import close
from engine.config.packaged import packaged_mapping
from engine.config.strict import ConfigError, Strict, validated
from engine.settings import EngineSettings

Value = float | str


class LineConfig(Strict):
    """A line of code to be spoiled: `before` stands in `module` exactly once."""

    says: Annotated[str, Field(min_length=1, max_length=200)]
    module: Annotated[str, Field(pattern=r"^engine(\.[a-z_]+)+$")]
    before: Annotated[str, Field(min_length=1)]
    after: str


class PlantsConfig(Strict):
    """`settings`: values of a setting, one at a time; `left_out`: why one has none."""

    settings: dict[str, Annotated[tuple[Value, ...], Field(min_length=1)]]
    left_out: dict[str, str] = Field(default_factory=dict)
    code: dict[str, LineConfig] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plant:
    """One regression; `setting` is a dotted path of the engine's settings, empty for `code`."""

    name: str
    says: str
    setting: str = ""
    value: Value = ""
    code: LineConfig | None = None

    def change(self, settings: dict[str, Any]) -> None:
        """Put the setting into a composed configuration."""
        if not self.setting:
            return
        *sections, last = self.setting.split(".")
        inner = settings["engine"]
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[last] = self.value


def read(path: Path | None = None) -> list[Plant]:
    """The plants of the file `path`, or the packaged ones.

    Raises ConfigError, also for a setting that the engine has not got, for one that is neither
    planted nor left out, and for a line that is not there any more.
    """
    plants = validated(PlantsConfig, packaged_mapping("guard/plants.yaml", path))
    there = paths()
    for setting in (*plants.settings, *plants.left_out):
        if setting not in there:
            raise ConfigError(f'settings: the engine has no "{setting}"{close(setting, there)}')
    if path is None:
        missing = [p for p in there if p not in plants.settings and p not in plants.left_out]
        if missing:
            raise ConfigError(f"settings: nothing is planted for {', '.join(missing)}")
    result = [
        Plant(f"{setting}={_word(value)}", f"{setting} is {_word(value)}", setting, value)
        for setting, values in plants.settings.items()
        for value in values
    ]
    for name, line in plants.code.items():
        changed_functions(line)
        result.append(Plant(name, line.says, code=line))
    return result


def chosen(wanted: tuple[str, ...], plants: list[Plant]) -> list[Plant]:
    """Those asked for by name, or by the name of their setting; raises ConfigError."""
    names = [plant.name for plant in plants] + [plant.setting for plant in plants if plant.setting]
    for name in wanted:
        if name not in names:
            raise ConfigError(f'"{name}" is no plant{close(name, names)}')
    return [p for p in plants if not wanted or p.name in wanted or p.setting in wanted]


def paths(kind: type[Strict] = EngineSettings, under: str = "") -> list[str]:
    """The dotted paths of all settings of the engine."""
    result = []
    for name, field in kind.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Strict):
            result += paths(inner, f"{under}{name}.")
        else:
            result.append(f"{under}{name}")
    return result


@contextmanager
def planted(plant: Plant | None) -> Iterator[None]:
    """The engine with the line of `plant` spoiled, if it has one, until the block ends."""
    if plant is None or plant.code is None:
        yield
        return
    functions = changed_functions(plant.code)
    before = {function: function.__code__ for function in functions}
    try:
        for function, code in functions.items():
            function.__code__ = code
            _forget(function)
        yield
    finally:
        for function, code in before.items():
            function.__code__ = code
            _forget(function)


def changed_functions(line: LineConfig) -> Mapping[FunctionType, CodeType]:
    """The living functions that the changed line is in, with the code that they get.

    Raises ConfigError where the line is not there exactly once, is in no function, or changes
    where others stand.
    """
    try:
        module = importlib.import_module(line.module)
    except ImportError as error:
        raise ConfigError(f"code: {error}") from None
    source = inspect.getsource(module)
    if source.count(line.before) != 1:
        raise ConfigError(
            f"code: {line.module} has {source.count(line.before)} times what is to be spoiled, "
            f"not once: {line.before!r}"
        )
    if line.before.count("\n") != line.after.count("\n"):
        raise ConfigError(f"code: {line.after!r} has not as many lines as {line.before!r}")
    filename = str(module.__file__)
    old = _codes(compile(source, filename, "exec"))
    try:
        new = _codes(compile(source.replace(line.before, line.after), filename, "exec"))
    except SyntaxError as error:
        raise ConfigError(f"code: {line.after!r} is no Python here ({error.msg})") from None
    changed = {name: code for name, code in new.items() if old.get(name) != code}
    if not changed:
        raise ConfigError(f"code: {line.before!r} is in no function of {line.module}")
    return {_living(module, name): code for name, code in changed.items()}


def _codes(code: CodeType, within: str = "") -> dict[str, CodeType]:
    """The code of each function and method of a module, by qualified name."""
    result = {}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            name = f"{within}{constant.co_name}"
            if constant.co_flags & inspect.CO_OPTIMIZED:
                result[name] = constant
            else:
                result |= _codes(constant, f"{name}.")
    return result


def _living(module: ModuleType, name: str) -> FunctionType:
    thing: Any = module
    for part in name.split("."):
        thing = inspect.getattr_static(thing, part)
    thing = getattr(thing, "fget", thing)
    function = inspect.unwrap(thing)
    if not isinstance(function, FunctionType):
        raise ConfigError(f"code: {module.__name__}.{name} cannot be spoiled")
    return function


def _forget(function: FunctionType) -> None:
    """Drop what a cache around the function remembers."""
    thing = inspect.getmodule(function)
    held = getattr(thing, function.__name__, None)
    clear = getattr(held, "cache_clear", None)
    if clear is not None:
        clear()


def _word(value: Value) -> str:
    return value if isinstance(value, str) else f"{value:g}"
