"""Build a real Kubernetes and a real KEDA for the tests: `make kube-tools`.

    python tools/kube/build.py [kubernetes|keda]           build what is not there; ends with the
                                                           folder
    python tools/kube/build.py [kubernetes|keda] --where   the folder that belongs to these
                                                           sources, built or not

Without a name both are built, and `--where` says where Kubernetes is.

Of Kubernetes come `kube` (etcd, API server, controller manager, scheduler, kubectl, and an oracle
of the HorizontalPodAutoscaler) and `kwok`, which plays nodes and pods; of KEDA `keda-operator`,
`keda-adapter` and the definitions of its kinds.  Each goes into a cache under a hash of all that
it is made of, so a machine that is kept builds it once, and a change of one leaves the other; a
folder is there whole or not at all.  If KEDA cannot be built, Kubernetes is there all the same.
Nothing but Go and its modules is needed.
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
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
DAY_S = 86_400.0
USUAL = Path("/usr/local/go/bin/go")
COMMANDS = "github.com/kedacore/keda/v2/cmd"


@dataclass(frozen=True, slots=True)
class Set:
    """Programs that are built and kept together, out of one Go module."""

    module: Path
    keyed: tuple[str, ...]
    programs: Mapping[str, str]
    cache: str
    versioned: str
    """The module whose version the programs are to give."""
    version_places: tuple[str, ...]
    definitions: str = ""
    """The folder of the versioned module whose YAML is kept beside the programs, as crds/."""
    stamps: Mapping[str, str] = field(default_factory=dict)

    def folder(self) -> Path:
        """Where the programs of these sources are, or will be."""
        digest = hashlib.sha256()
        for name in self.keyed:
            text = (self.module / name).read_bytes()
            digest.update(f"{name} {len(text)}\n".encode() + text)
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cache / self.cache / digest.hexdigest()[:16]

    def link_flags(self) -> str:
        """What the linker is told, so that the programs give their version, not that of a draft."""
        text = (self.module / "go.mod").read_text()
        version = re.search(rf"{re.escape(self.versioned)} v(\d+)\.(\d+)\.(\d+)", text)
        assert version is not None, f"go.mod does not say which {self.versioned}"
        major, minor, patch = version.groups()
        parts = {"major": major, "minor": minor, "patch": patch}
        said = {key: value.format(**parts) for key, value in self.stamps.items()}
        return " ".join(
            ["-s -w", *(f"-X {p}.{k}={v}" for p in self.version_places for k, v in said.items())]
        )


SETS = {
    "kubernetes": Set(
        HERE, ("go.mod", "go.sum", "main.go", "oracle.go"),
        {"kwok": "sigs.k8s.io/kwok/cmd/kwok", "kube": "."}, "wedtwin-kube", "k8s.io/kubernetes",
        ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"),
        stamps={
            "gitVersion": "v{major}.{minor}.{patch}", "gitMajor": "{major}", "gitMinor": "{minor}",
            "gitTreeState": "clean",
        },
    ),
    "keda": Set(
        HERE / "keda", ("go.mod", "go.sum"),
        {"keda-operator": f"{COMMANDS}/operator", "keda-adapter": f"{COMMANDS}/adapter"},
        "wedtwin-keda", "github.com/kedacore/keda/v2", ("github.com/kedacore/keda/v2/version",),
        definitions="config/crd/bases", stamps={"Version": "{major}.{minor}.{patch}"},
    ),
}  # fmt: skip


def compiler() -> str | None:
    """Go's command, if it is on this machine."""
    return shutil.which("go") or (str(USUAL) if USUAL.exists() else None)


def build(made: Set, there: Path, go: str) -> None:
    """Build into a folder beside, and put that in its place when it is whole."""
    there.parent.mkdir(parents=True, exist_ok=True)
    for left in there.parent.glob("building-*"):
        if left.stat().st_mtime < time.time() - DAY_S:  # by one that was killed
            shutil.rmtree(left, ignore_errors=True)
    aside = Path(tempfile.mkdtemp(prefix="building-", dir=there.parent))
    aside.chmod(0o755)
    try:
        for name, package in made.programs.items():
            print(f"building {name} …", file=sys.stderr, flush=True)
            subprocess.run(
                [go, "build", "-mod=readonly", "-ldflags", made.link_flags(),
                 "-o", str(aside / name), package],
                cwd=made.module, check=True,
            )  # fmt: skip
        if made.definitions:
            asked = [go, "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", made.versioned]
            module = subprocess.run(
                asked, cwd=made.module, check=True, stdout=subprocess.PIPE, text=True
            ).stdout.strip()
            (aside / "crds").mkdir()
            for path in sorted((Path(module) / made.definitions).glob("*.yaml")):
                (aside / "crds" / path.name).write_bytes(path.read_bytes())
        try:
            aside.rename(there)
        except OSError:
            if not there.exists():  # else somebody else has built the same meanwhile
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def main(arguments: list[str]) -> int:
    """Returns the exit code."""
    names = [one for one in arguments if one in SETS]
    asks = "--where" in arguments
    if len(names) > 1 or len(arguments) != len(names) + asks:
        print(__doc__, file=sys.stderr)
        return 2
    if asks:
        print(SETS[names[0] if names else "kubernetes"].folder())
        return 0
    failed = 0
    for name in names or SETS:
        failed = max(failed, _built(SETS[name], name))
    return failed


def _built(made: Set, name: str) -> int:
    there = made.folder()
    if not there.exists():
        go = compiler()
        if go is None:
            print("error: Go is not on this machine (go, /usr/local/go/bin/go)", file=sys.stderr)
            return 2
        try:
            build(made, there, go)
        except subprocess.CalledProcessError as error:
            print(f"error: {name}: go ended with {error.returncode}", file=sys.stderr)
            return 1
    print(there)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
