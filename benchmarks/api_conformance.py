"""Ask ten thousand times what nobody thought of: each answer has to be one that is documented.

    python benchmarks/api_conformance.py                 # 10,000 cases, some minutes
    python benchmarks/api_conformance.py --cases 1000 --seed 3

`python -m twin serve` runs a small platform in wall time; Schemathesis (pinned in constraints.txt)
reads its OpenAPI document and asks whatever that allows, and much that it does not, as somebody who
may do everything, and then in sequences, with what earlier answers said.  An answer has to be of a
documented status, media type and schema, and never a 5xx.  Predictions and what would come of a
change are the quick ones of the tests, as the real ones take seconds each.  Two of Schemathesis'
checks are left out: whether enough is *refused* (`negative_data_rejection`,
`positive_data_acceptance`) takes what is right by its schema for right by what the engine knows, as
a service that is not there.  The event stream, which has no end, is tried in the unit tests.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
QUICK = ROOT / "tests" / "unit" / "engine" / "api"
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance",
    "response_schema_conformance", "response_headers_conformance", "use_after_free",
    "unsupported_method",
)  # fmt: skip
CASES_PER_EXAMPLE = 33
"""Cases that one more example of each operation makes, phases together; measured."""
PLENTY = "{per_s: 1000000, burst: 1000000}"
STARTED_S = 300.0


def main() -> None:
    """Ask so often, print what came; exit 1 if an answer was wrong or there were too few cases."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(_served(Path(folder), given.cases, given.seed))


def _served(folder: Path, cases: int, seed: int) -> int:
    said = folder / "stderr"
    paths = os.pathsep.join([str(ROOT), str(QUICK), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [
        sys.executable, "-m", "twin", "serve", "population.simultaneous=3000", "speed=1",
        "begin=600", "api.port=0", f"output={folder / 'out'}",
        "api.predictions.factory=quick_predictions:connect", "api.predictions.keys=[]",
        "api.what_if.factory=quick_trials:connect", "api.what_if.keys=[]",
        f"api.limits.reads={PLENTY}", f"api.limits.writes={PLENTY}",
        f"api.limits.predictions={PLENTY}",
    ]  # fmt: skip
    with said.open("wb") as to, subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=to, cwd=folder,
        env={**os.environ, "PYTHONPATH": paths},
    ) as engine:  # fmt: skip
        try:
            url, token = _started(engine, said)
            return _asked(url, token, cases, seed)
        finally:
            engine.send_signal(signal.SIGINT)


def _started(engine: subprocess.Popen[bytes], said: Path) -> tuple[str, str]:
    until_s = time.monotonic() + STARTED_S
    while time.monotonic() < until_s:
        text = said.read_text(encoding="utf-8")
        url, token = re.search(r"http://[\d.:]+", text), re.search(r"token: (\S+)", text)
        if url and token and _is_ready(url[0]):
            return url[0], token[1]
        if engine.poll() is not None:
            break
        time.sleep(0.2)
    raise SystemExit(f"the engine has not started:\n{said.read_text(encoding='utf-8')}")


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/api/scalability/readiness", timeout=10.0):
            return True
    except OSError:
        return False


def _asked(url: str, token: str, cases: int, seed: int) -> int:
    command = [
        str(Path(sys.executable).with_name("st")), "run", f"{url}/openapi.json",
        "-H", f"Authorization: Bearer {token}", "--checks", ",".join(CHECKS),
        "--phases", "examples,coverage,fuzzing,stateful",
        "--exclude-path", "/api/scalability/events", "--seed", str(seed),
        "-n", str(max(cases // CASES_PER_EXAMPLE, 1)), "--workers", "1", "--no-color",
        "--continue-on-failure", "--request-timeout", "60", "--warnings", "off",
        "--generation-database", "none",
    ]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    print(ended.stdout[-6_000:])
    made = sum(
        int(count.replace(",", ""))
        for count in re.findall(r"([\d,]+) (?:generated|test cases?)", ended.stdout)[:1]
    )
    if ended.returncode == 0 and made < cases:
        print(f"only {made} of {cases} cases were made")
        return 1
    return ended.returncode


if __name__ == "__main__":
    main()
