"""`python -m twin.reference keys|metrics`: the tables of `docs/reference/`, of the code."""

from __future__ import annotations

import argparse

from engine.api.routes import exposition
from twin.reference import keys

PAGES = {"keys": keys.markdown, "metrics": exposition.markdown}

parser = argparse.ArgumentParser(prog="python -m twin.reference", description=__doc__)
parser.add_argument("page", choices=PAGES)
print(PAGES[parser.parse_args().page](), end="")
