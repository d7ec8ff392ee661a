"""`python -m engine kubernetes`: what the engine needs in a cluster, and what it sees there.

    rbac    the roles that it needs and no more, to be applied by whoever may
    check   whether a run would find all that its configuration names, with these rights
    show    one look: counts, zones, ages, and what is amiss

With infrastructure.options.mode=keda besides:

    scaledobjects   what KEDA needs to know of each workload, to be applied by whoever may
    scaler          the scaler that KEDA asks, until it is told to end

All take the overrides of `python -m engine run`.  Exit codes: 0 done, 1 it cannot be seen now,
2 bad input.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.commands.failing import failed
from engine.commands.of_infrastructure import composed_with, parser_of

COMMANDS = ("rbac", "check", "show", "scaledobjects", "scaler")


def run(arguments: Sequence[str]) -> int:
    """Do what the first argument says; returns the exit code."""
    parser = parser_of("kubernetes", __doc__, COMMANDS)
    parser.add_argument(
        "--account", default="wedtwin/wedtwin", metavar="NAMESPACE/NAME",
        help="rbac: the service account that the engine runs as (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--recommend", action="store_true", help="rbac: for an engine that only recommends"
    )
    parser.add_argument(
        "--scaler", action="store_true", help="rbac: for the scaler (account NAME-scaler)"
    )
    given = parser.parse_intermixed_args(arguments)
    account = tuple(given.account.split("/"))
    if len(account) != 2 or not all(account):
        return failed(f'--account: "{given.account}" is not allowed (NAMESPACE/NAME)')

    from engine.commands import kubernetes_cluster as cluster

    try:
        settings = composed_with("kubernetes", given.overrides, given.config_dir)
        return cluster.done(
            given.command, settings, (account[0], account[1]), recommends=given.recommend,
            scaler=given.scaler,
        )  # fmt: skip
    except ValueError as error:
        return failed(error)
