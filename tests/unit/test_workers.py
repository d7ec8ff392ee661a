from __future__ import annotations

import subprocess
import sys

from tests import workers


def test_without_a_process_that_has_gathered_the_tests_a_worker_begins_from_nothing() -> None:
    program = workers.PYTHON.format(
        program=sys.executable, root=str(workers.warm.ROOT), address="\0wedtwin-tests-nobody"
    ).partition("\n")[2]
    code = "import sys; print(sys.stdin.read(), sys.orig_argv[1], sys.flags.isolated); sys.exit(7)"

    ended = subprocess.run(
        [sys.executable, "-IS", "-c", program, "-u", "-c", code],
        input="told", capture_output=True, text=True,
    )  # fmt: skip

    assert (ended.stdout, ended.returncode) == ("told -u 0\n", 7)
    assert "no process that has gathered the tests" in ended.stderr
