"""What `python -m engine run`, `serve`, `learn` and `import` say of themselves, and their keys."""

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

SERVE = page(
    "live",
    """usage: python -m engine serve [key=value ...] [--config-dir DIR] [--cfg job]

  As `python -m engine run`, with the API beside it, at api.address and api.port.

  key=value         any key below, and all keys of the groups; group=NAME chooses one of its files
  --config-dir DIR  a folder of your own, searched besides the packaged tree
  --cfg job         show the whole configuration instead of running
  --hydra-help      what Hydra itself can do
""",
)

LEARN = page(
    "live",
    """usage: python -m engine learn load=FILE|prometheus out=FILE [key=value ...]

  load=FILE         CSV or Parquet: a column time, and one of requests/s for each service
  load=prometheus   ask the configured metrics instead; days=N goes back so far (365)
  out=FILE          the model, which bookings.options.model names
  holdout=SHARE     of the history, at its end, that the model is judged on (0.25)
  key=value         any key below, and all keys of the groups; bookings=NAME chooses the source
""",
)

IMPORT = page(
    "import",
    """usage: python -m engine import kubernetes|prometheus [key=value ...] [--config-dir DIR]

  kubernetes   workloads, autoscalers, requests, zones and node prices, as a platform file, an
               infrastructure file, and the team's own autoscalers as a controller of the twin
  prometheus   load, service times, boots, calls and instances of the last weeks: the figures of
               that platform anew, and the load as a scenario for twin run, compare and hindcast

  key=value         any key below; history=NAME chooses whose names the metrics have
  --config-dir DIR  a folder of your own, searched besides the packaged tree
""",
)
