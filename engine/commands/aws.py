"""`python -m engine aws`: what the engine needs in an account of AWS, and what it sees there.

    policy  the rights that it needs and no more, as an IAM policy in JSON
    check   whether a run would find all that its configuration names, with these credentials
    show    one look: counts, zones, warm pools, ages, and what is amiss

All take the overrides of `python -m engine run`.  Exit codes: 0 done, 1 it cannot be seen now,
2 bad input.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.commands.failing import failed
from engine.commands.of_infrastructure import composed_with, parser_of

COMMANDS = ("policy", "check", "show")


def run(arguments: Sequence[str]) -> int:
    """Do what the first argument says; returns the exit code."""
    parser = parser_of("aws", __doc__, COMMANDS)
    parser.add_argument(
        "--account", default="*", metavar="NUMBER",
        help="policy: the account's twelve digits (default: whichever the policy is attached in)",
    )  # fmt: skip
    parser.add_argument(
        "--recommend", action="store_true", help="policy: for an engine that only recommends"
    )
    given = parser.parse_intermixed_args(arguments)
    if given.account != "*" and not re.fullmatch(r"\d{12}", given.account, re.ASCII):
        return failed(f'--account: "{given.account}" is not allowed (twelve digits)')

    from engine.commands import aws_account

    try:
        settings = composed_with("aws", given.overrides, given.config_dir)
        return aws_account.done(given.command, settings, given.account, recommends=given.recommend)
    except ValueError as error:
        return failed(error)
