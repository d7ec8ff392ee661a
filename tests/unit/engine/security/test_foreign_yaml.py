"""YAML of others is a value or one error, whoever reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.adapters.kubernetes.access import AccessError, access_of
from engine.adapters.kubernetes.settings import KubernetesConfig
from engine.config.strict import ConfigError
from engine.importing import prices
from engine.ingest.scraping import scraped
from engine.security.foreign_yaml import ForeignYamlError, parsed_yaml
from tests.unit.engine.conftest import make_spec
from tests.unit.engine.ingest.test_ranges import FIGURES

NO_YAML = {
    "brackets without end": b"[" * 20_000,
    "a day that there is not": b"a: 2024-99-99",
    "a number of 5,000 digits": b"a: " + b"9" * 5000,
    "a truncated text": b"a: [",
    "bytes that are no text": b"a: \xff",
    "an object of Python": b"!!python/object:os.system {}",
}

spoilt = pytest.mark.parametrize("content", NO_YAML.values(), ids=NO_YAML)


@spoilt
def test_what_is_no_yaml_is_one_error_of_one_line(content: bytes) -> None:
    with pytest.raises(ForeignYamlError, match=r"^no YAML[^\n]*$"):
        parsed_yaml(content)


@spoilt
def test_a_file_that_somebody_changed_is_refused_in_words(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_bytes(content)
    kubeconfig = KubernetesConfig.of({"kubeconfig": str(path)})
    readers: list[tuple[Callable[[], object], type[Exception]]] = [
        (lambda: access_of(kubeconfig), AccessError),
        (lambda: prices.table(path), ConfigError),
    ]
    for read, promised in readers:
        with pytest.raises(promised, match=r"own\.yaml") as raised:
            read()
        str(raised.value).encode()


@spoilt
def test_a_broken_file_of_targets_changes_nothing_and_is_a_trouble(
    content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "targets.yaml"
    path.write_text("[{urls: ['http://127.0.0.1:9/metrics'], labels: {service: api}}]")
    source = scraped((make_spec("api"),), 5.0, figures=FIGURES, targets_file=str(path))
    source._read_file()
    before = source._of_file
    assert before
    path.write_bytes(content)
    source._read_file()
    assert source._of_file == before
    assert "targets.yaml" in source._file_trouble
