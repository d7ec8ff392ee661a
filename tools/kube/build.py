"""Build a real Kubernetes for the tests: `make kube-tools`.

    python tools/kube/build.py            build what is not there; ends with the folder
    python tools/kube/build.py --where    the folder that belongs to these sources, built or not

Two programs come of it: `kube` (etcd, API server, controller manager, scheduler, kubectl, and an
oracle of the HorizontalPodAutoscaler) and `kwok`, which plays nodes and pods.  They go into a cache
under a hash of all that they are made of, so a machine that is kept builds them once; a folder is
there whole or not at all.  Nothing but Go and its modules is needed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
KEYED = ("go.mod", "go.sum", "main.go", "oracle.go")
PROGRAMS = {"kwok": "sigs.k8s.io/kwok/cmd/kwok", "kube": "."}
DAY_S = 86_400.0
USUAL = Path("/usr/local/go/bin/go")


def folder() -> Path:
    """Where the programs of these sources are, or will be."""
    digest = hashlib.sha256()
    for name in KEYED:
        text = (HERE / name).read_bytes()
        digest.update(f"{name} {len(text)}\n".encode() + text)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "wedtwin-kube" / digest.hexdigest()[:16]


def compiler() -> str | None:
    """Go's command, if it is on this machine."""
    return shutil.which("go") or (str(USUAL) if USUAL.exists() else None)


def stamp() -> str:
    """What the linker is told, so that the servers give their version and not that of a draft."""
    version = re.search(r"k8s\.io/kubernetes v(\d+)\.(\d+)\.(\d+)", (HERE / "go.mod").read_text())
    assert version is not None, "go.mod does not say which Kubernetes"
    major, minor, patch = version.groups()
    said = {
        "gitVersion": f"v{major}.{minor}.{patch}", "gitMajor": major, "gitMinor": minor,
        "gitTreeState": "clean",
    }  # fmt: skip
    places = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return " ".join(["-s -w", *(f"-X {p}.{k}={v}" for p in places for k, v in said.items())])


def build(there: Path, go: str) -> None:
    """Build into a folder beside, and put that in its place when it is whole."""
    there.parent.mkdir(parents=True, exist_ok=True)
    for left in there.parent.glob("building-*"):
        if left.stat().st_mtime < time.time() - DAY_S:  # by one that was killed
            shutil.rmtree(left, ignore_errors=True)
    aside = Path(tempfile.mkdtemp(prefix="building-", dir=there.parent))
    aside.chmod(0o755)
    try:
        for name, package in PROGRAMS.items():
            print(f"building {name} …", file=sys.stderr, flush=True)
            subprocess.run(
                [go, "build", "-mod=readonly", "-ldflags", stamp(),
                 "-o", str(aside / name), package],
                cwd=HERE, check=True,
            )  # fmt: skip
        try:
            aside.rename(there)
        except OSError:
            if not there.exists():  # else somebody else has built the same meanwhile
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def main(arguments: list[str]) -> int:
    """Returns the exit code."""
    if arguments not in ([], ["--where"]):
        print(__doc__, file=sys.stderr)
        return 2
    there = folder()
    if not arguments and not there.exists():
        go = compiler()
        if go is None:
            print("error: Go is not on this machine (go, /usr/local/go/bin/go)", file=sys.stderr)
            return 2
        try:
            build(there, go)
        except subprocess.CalledProcessError as error:
            print(f"error: go build ended with {error.returncode}", file=sys.stderr)
            return 1
    print(there)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
