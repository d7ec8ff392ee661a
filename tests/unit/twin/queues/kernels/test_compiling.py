"""What was compiled before is kept only as long as all that it was made of stays as it is."""

from pathlib import Path

from engine.record import response_times
from twin.queues.kernels import compiling
from twin.queues.kernels.fluid.advancing import advance
from twin.queues.kernels.requests.looping import run


def test_the_digest_changes_with_each_of_the_sources(tmp_path: Path) -> None:
    sources = [tmp_path / name for name in ("one.py", "two.py")]
    for source in sources:
        source.write_text("before")
    seen = {compiling.digest(sources), compiling.digest(reversed(sources))}
    assert len(seen) == 1
    for source in sources:
        source.write_text("after")
        seen.add(compiling.digest(sources))
    assert len(seen) == 3


def test_kernels_are_kept_by_the_digest_of_all_that_is_compiled_into_them() -> None:
    folder = Path(compiling.__file__).parent
    assert {*folder.glob("*/*.py"), *folder.glob("*.py")} <= {*compiling.SOURCES}
    assert Path(response_times.__file__) in compiling.SOURCES
    for kernel in (advance, run):
        assert kernel.py_func.__qualname__.endswith(compiling.digest(compiling.SOURCES))
