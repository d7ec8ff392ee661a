"""`python -m mutation`: try the mutants, and say which live."""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mutation import survivors
from mutation.mutants import Mutant, mutants_of
from mutation.surgery import Fate, Runner

TARGETS = (
    "engine/autoscaler.py", "engine/memory.py", "engine/memory_json.py", "engine/decide",
    "engine/runtime",
)  # fmt: skip
TESTS = (
    "tests/unit/engine/decide",
    "tests/unit/engine/runtime",
    "tests/unit/engine/test_memory.py",
    "tests/unit/engine/test_memory_in_full.py",
    "tests/unit/engine/test_step.py",
    "tests/property/test_cycle.py",
    "tests/property/test_platform_invariants.py",
    "tests/property/test_step_invariants.py",
)
PAGE = Path("docs/background/mutation-survivors.md")
SEED = 12
"""Fixes which mutants are tried first where the time is short."""
LEAST_SHARE = 0.90


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 0: all is well, 1: a mutant lives that is not listed, or too many do, 2: bad input."""
    asked = _parser().parse_args(arguments)
    began_s = time.monotonic()
    root = Path.cwd()
    try:
        targets = _files(root, asked.targets or TARGETS)
        touched = None if asked.since is None else _touched(root, asked.since)
        mutants = [
            mutant
            for path in targets
            for mutant in mutants_of(_module(path), path, (root / path).read_text("utf-8"))
            if touched is None or _is_touched(mutant, touched)
        ]
        reasons = survivors.read(root / asked.page)
        if not mutants:
            print("no mutants: nothing was changed in", ", ".join(asked.targets or TARGETS))
            return 0
        if asked.seconds is not None:
            random.Random(SEED).shuffle(mutants)
        until_s = began_s + asked.seconds if asked.seconds is not None else float("inf")
        bench = Runner(
            tests=tuple(asked.tests or TESTS),
            least_s=asked.limit,
            processes=asked.processes,
            until_s=until_s,
            tried=_Progress(len(mutants)),
        )
        fates = bench.try_all(mutants).fates
    except (ValueError, OSError) as error:
        print(f"python -m mutation: {error}", file=sys.stderr)
        return 2
    return _verdict(asked, fates, mutants, reasons, took_s=time.monotonic() - began_s)


def _verdict(
    asked: argparse.Namespace,
    fates: Mapping[Mutant, Fate],
    mutants: Sequence[Mutant],
    reasons: Mapping[survivors.Key, str],
    *,
    took_s: float,
) -> int:
    """Print what became of the mutants, renew the page if asked to, and judge."""
    order = {mutant: place for place, mutant in enumerate(sorted(mutants, key=_place))}
    alive = sorted((m for m, fate in fates.items() if _lives(fate)), key=order.__getitem__)
    unlisted = [mutant for mutant in alive if not reasons.get(mutant.key)]
    whole = asked.since is None and asked.seconds is None
    _print_table(fates)
    for mutant in alive if asked.all else unlisted:
        how = "  (no test reaches it)" if fates[mutant] is Fate.UNREACHED else ""
        print(f"{mutant.path}:{mutant.lines[0]}: {mutant.function}: "
              f"{mutant.before}  →  {mutant.after or 'nothing'}{how}")  # fmt: skip
    print(f"{len(fates)} of {len(mutants)} mutants tried in {took_s:.0f} s, "
          f"{took_s / max(len(fates), 1):.2f} s each")  # fmt: skip
    if asked.update:
        page = Path(asked.page)
        tried = {mutant.key for mutant in fates}
        modules = {mutant.module for mutant in mutants}
        kept = [k for k in reasons if k not in tried and not (whole and k[0] in modules)]
        survivors.write(page, [m.key for m in alive] + kept, reasons)
        print(f"renewed: {page}")
    good = 0
    if unlisted:
        print(f"{len(unlisted)} live without a reason in {asked.page}")
        good = 1
    share = 1.0 - len(alive) / max(len(fates), 1)
    if whole and share < asked.least:
        print(f"{share:.1%} were noticed, less than {asked.least:.0%}")
        good = 1
    gone = set(reasons) - {mutant.key for mutant in alive}
    if whole and not asked.targets and gone and not asked.update:
        print(f"{len(gone)} listed in {asked.page} live no more: --update takes them away")
    return good


def _lives(fate: Fate) -> bool:
    return fate in (Fate.SURVIVED, Fate.UNREACHED)


def _place(mutant: Mutant) -> tuple[str, int, int]:
    return (mutant.path, mutant.site, mutant.variant)


def _print_table(fates: Mapping[Mutant, Fate]) -> None:
    by_module: dict[str, Counter[Fate]] = defaultdict(Counter)
    for mutant, fate in fates.items():
        by_module[mutant.path][fate] += 1
        by_module["all"][fate] += 1
    print(f"{'':44}{'mutants':>8}{'killed':>8}{'timed out':>11}{'alive':>7}{'noticed':>9}")
    for path in sorted(by_module, key=lambda path: (path == "all", path)):
        counts = by_module[path]
        alive = counts[Fate.SURVIVED] + counts[Fate.UNREACHED]
        print(f"{path:44}{counts.total():8}{counts[Fate.KILLED]:8}{counts[Fate.TIMED_OUT]:11}"
              f"{alive:7}{1.0 - alive / counts.total():9.1%}")  # fmt: skip


class _Progress:
    """One line on a terminal, nothing in a pipe."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.tried = self.alive = 0

    def __call__(self, _mutant: Mutant, fate: Fate) -> None:
        self.tried += 1
        self.alive += _lives(fate)
        if sys.stderr.isatty():
            print(f"\r{self.tried} of {self.total}, {self.alive} alive ", end="", file=sys.stderr)


def _files(root: Path, targets: Iterable[str]) -> list[str]:
    """The Python files at or below the targets; raises ValueError for one that is not there."""
    files: list[str] = []
    for target in targets:
        path = root / target
        if not path.exists():
            raise ValueError(f"{target}: no such file or folder")
        below = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        files += [file.relative_to(root).as_posix() for file in below]
    return list(dict.fromkeys(files))


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _touched(root: Path, revision: str) -> dict[str, set[int]]:
    """The lines of each file that differ from `revision`; raises ValueError if git cannot tell."""
    asked = subprocess.run(
        ["git", "diff", "--unified=0", "--no-color", "--no-ext-diff", revision, "--", "*.py"],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if asked.returncode:
        raise ValueError(f"--since {revision}: {asked.stderr.strip()}")
    touched: dict[str, set[int]] = defaultdict(set)
    path = ""
    for line in asked.stdout.splitlines():
        if line.startswith("+++ "):
            path = line.removeprefix("+++ ").removeprefix("b/")
        elif line.startswith("@@ "):
            start, _, count = line.split()[2].removeprefix("+").partition(",")
            touched[path].update(range(int(start), int(start) + int(count or 1)))
    return touched


def _is_touched(mutant: Mutant, touched: Mapping[str, set[int]]) -> bool:
    first, last = mutant.lines
    return not touched.get(mutant.path, set()).isdisjoint(range(first, last + 1))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mutation",
        description="Spoil the decision code in one place after the other; do the tests notice?",
    )
    parser.add_argument(
        "targets", nargs="*", help=f"files or folders; default: {' '.join(TARGETS)}"
    )
    parser.add_argument("--tests", nargs="*", help=f"default: {' '.join(TESTS)}")
    parser.add_argument("--since", metavar="REVISION", help="only what was changed since then")
    parser.add_argument("--seconds", type=float, help="stop after so long; a fixed sample is tried")
    parser.add_argument(
        "--limit", type=float, default=1.0, help="least processor time of a mutant's tests, seconds"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--least", type=float, default=LEAST_SHARE, help="share that must be noticed"
    )
    parser.add_argument("--all", action="store_true", help="show the listed survivors too")
    parser.add_argument("--update", action="store_true", help="renew the page, keep the reasons")
    parser.add_argument("--page", default=str(PAGE), help="the page with the survivors")
    return parser


if __name__ == "__main__":
    sys.exit(main())
