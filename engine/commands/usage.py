"""What `python -m engine run` says of itself, and the keys that its tree begins with."""

from __future__ import annotations

from engine.config.tree import page

RUN = page(
    "live",
    """usage: python -m engine run [key=value ...] [--config-dir DIR] [--cfg job]

  key=value         any key below, and all keys of the groups; group=NAME chooses one of its files
  --config-dir DIR  a folder of your own, searched besides the packaged tree
  --cfg job         show the whole configuration instead of running
  --hydra-help      what Hydra itself can do
""",
)
