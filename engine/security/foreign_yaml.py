"""YAML that somebody else wrote: a value, or one error that says what is wrong with it.

`yaml.safe_load` raises errors of three kinds for text that it cannot read: YAMLError, a plain
ValueError for a day such as 2024-99-99, and RecursionError for what is nested too deep.
"""

from __future__ import annotations

from typing import Any

import yaml


class ForeignYamlError(ValueError):
    """What was read is no YAML."""


def parsed_yaml(content: str | bytes) -> Any:
    """The value; raises ForeignYamlError with one line of words."""
    try:
        return yaml.safe_load(content)
    except RecursionError:
        raise ForeignYamlError("no YAML that can be read (it is nested too deep)") from None
    except (yaml.YAMLError, ValueError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise ForeignYamlError(f"no YAML ({first[:200]})") from None
