"""Commands of ours in processes that need not begin from nothing.

`python -m twin …` spends seconds on imports and compiled kernels before it does anything.  Tests
ask for many commands, so one process has all of that and forks for each: the command runs as
`__main__` in a process of its own, with its own folder, environment, streams and exit code, and
leaves nothing behind in anybody else's.  The processes that a command spreads its work over are
forks too, of a process that nothing but forks.  Whether a command comes to life by itself, and how
soon, is for the tests that start it as a user does.

It is one for all processes that run tests, and the one that compiles the kernels for them.

As a script this file is that process.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import multiprocessing.connection
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[1]
LIMIT_S = 600.0
"""For hangs."""
MOST_SAID = 1 << 20

LIBRARIES = (
    "skops.io", "hydra.main", "jinja2", "matplotlib.backends.backend_svg", "pyarrow.parquet",
    "pyarrow.dataset", "pyarrow.pandas_compat",
)  # fmt: skip
"""The first looks through all that is imported by then."""
OURS = ("engine", "reports", "scenarios", "twin")
NOT_FOR_FORKS = ("twin.staging", "engine.adapters.kubernetes.keda.server")
"""What starts threads or loops, or belongs to processes that tests start as a user does."""


class WarmProcess:
    """One process that forks for whoever knows its address, as long as this one lives."""

    def __init__(self, *arguments: str, script: Path = Path(__file__)) -> None:
        """Start it: the script is told where it is asked, and these arguments."""
        self.address = f"\0wedtwin-tests-{uuid.uuid4()}"
        alive, self._held = os.pipe()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(self.address)
            listener.listen(64)
            descriptors = listener.fileno(), alive
            command = [sys.executable, str(script), *map(str, descriptors), *arguments]
            self._server = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=descriptors)
        os.close(alive)

    def close(self) -> None:
        """End it, when it has ended what was asked for."""
        os.close(self._held)
        self._server.wait()


class Client:
    """Asks a warm process for one command after the other."""

    def __init__(self, address: str) -> None:
        """Wait until it is warm; raises TimeoutError when it never is."""
        self._channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.settimeout(LIMIT_S)
        self._channel.connect(address)
        self._answer()

    def start(
        self, module: str, arguments: tuple[str, ...], cwd: Path, environment: Mapping[str, str],
        *, files: tuple[int, ...],
    ) -> int:  # fmt: skip
        """Let `python -m module arguments` run; returns its pid.

        The files become its stdout, its stderr and, if there is a third, its stdin.
        """
        with tempfile.TemporaryFile("w+") as asked:
            niceness = os.getpriority(os.PRIO_PROCESS, 0)
            json.dump([module, arguments, str(cwd), dict(environment), niceness], asked)
            asked.seek(0)
            socket.send_fds(self._channel, [b"?"], [asked.fileno(), *files])
            return int(self._answer())

    def code(self, timeout_s: float | None = LIMIT_S) -> int:
        """The exit code of what runs, once it has ended; raises TimeoutError when it does not."""
        ready, _, _ = select.select([self._channel], [], [], timeout_s)
        if not ready:
            raise TimeoutError(f"what was started did not end in {timeout_s} s")
        return int(self._answer())

    def _answer(self) -> bytes:
        answer = self._channel.recv(16)
        if not answer:
            raise RuntimeError("the warm process has ended; what it said is above")
        return answer

    def close(self) -> None:
        """End what it runs for this one."""
        self._channel.close()


class Command:
    """A command that runs: what tests need of a `subprocess.Popen` with text in both streams."""

    def __init__(
        self, client: Client, module: str, arguments: tuple[str, ...], cwd: Path,
        *, environment: Mapping[str, str],
    ) -> None:  # fmt: skip
        """Start it; nobody else may ask `client` for anything until it has ended."""
        self.args = ["python", "-m", module, *arguments]
        self.returncode: int | None = None
        self._client = client
        self._streams = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")  # noqa: SIM115
        out, err = (stream.fileno() for stream in self._streams)
        self.pid = client.start(module, arguments, cwd, environment, files=(out, err))

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        with contextlib.suppress(TimeoutError):
            self.wait(0.0)
        return self.returncode

    def wait(self, timeout: float = LIMIT_S) -> int:
        """Its exit code; raises TimeoutError when it runs for longer."""
        if self.returncode is None:
            self.returncode = self._client.code(timeout)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it has ended just now
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def said(self) -> tuple[str, str]:
        """What it has said on stdout and on stderr so far."""
        # Read at a place of one's own: the place in the file is shared with who writes.
        out, err = (os.pread(stream.fileno(), MOST_SAID, 0) for stream in self._streams)
        return out.decode(errors="replace"), err.decode(errors="replace")

    def communicate(self, timeout: float = LIMIT_S) -> tuple[str, str]:
        """What it said on stdout and on stderr, once it has ended."""
        self.wait(timeout)
        for stream in self._streams:
            stream.seek(0)
        out, err = (stream.read() for stream in self._streams)
        return out, err


SHARED = "WEDTWIN_TESTS_WARM"
"""The variable with the address, less its first character, of the one that all processes share."""

_process: WarmProcess | None = None
_client: Client | None = None


def share() -> WarmProcess:
    """Start one for this process and those that it starts; pools step back behind all else."""
    process = WarmProcess("10")
    os.environ[SHARED] = process.address[1:]
    return process


def address() -> str:
    """Where there is a process that is warm, or will be."""
    global _process
    if SHARED in os.environ:
        return f"\0{os.environ[SHARED]}"
    _process = _process or WarmProcess("0")
    return _process.address


def connect() -> Client:
    """The client of this process; waits until there is a process that is warm."""
    global _client
    if _client is None:
        _client = Client(address())
    return _client


def run(
    module: str,
    *arguments: str,
    cwd: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> subprocess.CompletedProcess[str]:
    """`python -m module arguments` in `cwd`; raises TimeoutError after ten minutes."""
    try:
        command = Command(connect(), module, arguments, cwd or Path.cwd(), environment=environment)
        out, err = command.communicate()
    except BaseException:
        close()
        raise
    return subprocess.CompletedProcess(command.args, command.wait(), out, err)


@contextlib.contextmanager
def started(
    module: str,
    *arguments: str,
    cwd: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Iterator[Command]:
    """The same while it runs; it is killed in the end, if it still does."""
    client = Client(address())
    try:
        command = Command(client, module, arguments, cwd or Path.cwd(), environment=environment)
        yield command
        command.kill()
        command.wait()
    finally:
        client.close()


PYTHON = """#!{program} -IS
import sys

sys.path.insert(0, {root!r})
from tests import warm

_, _, module, *arguments = sys.argv
ended = warm.run(module, *arguments)
sys.stdout.write(ended.stdout)
sys.stderr.write(ended.stderr)
sys.exit(ended.returncode)
"""


def write_python(folder: Path) -> dict[str, str]:
    """Write a program `python` that knows `-m MODULE …`; returns what its environment needs."""
    program = folder / "python"
    program.write_text(PYTHON.format(program=sys.executable, root=str(ROOT)))
    program.chmod(0o755)
    return {SHARED: address().removeprefix("\0")}


def close() -> None:
    """End what runs; the next command finds a new way."""
    global _client
    if _client is not None:
        _client.close()
        _client = None


def end() -> None:
    """End the process that this one has started for itself, if it has."""
    global _process
    close()
    if _process is not None:
        _process.close()
        _process = None


def serve(listener: socket.socket, alive: int) -> tuple[str, list[str]] | None:
    """Fork for each client; returns what to run in the child, and None in the others at the end."""
    clients: set[int] = set()
    while True:
        ready, _, _ = select.select([listener, alive], [], [])
        for client in list(clients):
            if os.waitpid(client, os.WNOHANG)[0]:
                clients.remove(client)
        if alive in ready:
            break
        channel, _ = listener.accept()
        client = os.fork()
        if client == 0:
            listener.close()
            os.close(alive)
            return _attend(channel)
        channel.close()
        clients.add(client)
    listener.close()
    for client in clients:
        os.waitpid(client, 0)
    return None


def _attend(channel: socket.socket) -> tuple[str, list[str]] | None:
    """Fork for each command; returns what to run in the child, and None when nobody asks more."""
    channel.sendall(b"warm")
    while True:
        message, files, _, _ = socket.recv_fds(channel, 1, 4)
        if not message:
            return None
        child = os.fork()
        if child == 0:
            channel.close()
            return _become(*files)
        for file in files:
            os.close(file)
        channel.sendall(str(child).encode())
        channel.sendall(str(_ended(child, channel)).encode())


def _ended(child: int, channel: socket.socket) -> int:
    """The exit code of a child; it is killed when nobody waits for it any longer."""
    ending = os.pidfd_open(child)
    try:
        ready, _, _ = select.select([ending, channel], [], [])
        if ending not in ready:
            os.kill(child, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        os.close(ending)


def _become(asked: int, out: int, err: int, *stdin: int) -> tuple[str, list[str]]:
    """Make this process the command's; returns its module and arguments."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with open(asked) as file:
        module, arguments, cwd, environment, niceness = json.load(file)
    os.setpriority(os.PRIO_PROCESS, 0, niceness)
    for file, stream in ((out, 1), (err, 2), *((file, 0) for file in stdin)):
        os.dup2(file, stream)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.path[0] = cwd
    return module, arguments


def _warm_up() -> None:
    for name in LIBRARIES:
        importlib.import_module(name)
    for package in map(importlib.import_module, OURS):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.startswith(NOT_FOR_FORKS) and not module.name.endswith("__main__"):
                with contextlib.suppress(ImportError):  # an extra that is not installed
                    importlib.import_module(module.name)
    from hydra.core.plugins import Plugins

    Plugins.instance()
    load_kernels()


def load_kernels() -> None:
    """Have the kernels at hand, compiled if nobody has yet; what is here so far stays for good."""
    from engine.config.composition import composed
    from twin.config import parse
    from twin.world import world

    for resolution in ("fluid", "request"):
        world.load_kernels(parse(composed([f"resolution={resolution}"])))
    gc.collect()
    gc.freeze()  # a child that looks for garbage would copy all of this


def _lend_workers(niceness: int) -> None:
    """Fork a process that forks for the pools of all commands, until the last of them has ended.

    It is multiprocessing's own, which would begin it from nothing for each command.
    """
    server = forkserver._forkserver  # type: ignore[attr-defined]
    address = multiprocessing.connection.arbitrary_address("AF_UNIX")
    alive, held = os.pipe()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        if os.fork() == 0:
            os.close(held)
            os.nice(niceness)
            with contextlib.suppress(SystemExit):  # its way to end
                forkserver.main(os.dup(listener.fileno()), alive, [])
            os._exit(0)
    os.close(alive)
    server._forkserver_address, server._forkserver_alive_fd = address, held
    server.ensure_running = resource_tracker.ensure_running
    lifetimes = importlib.import_module("twin.runs.lifetimes")
    lifetimes.START_METHOD = "forkserver"


def _run(module: str, arguments: list[str]) -> NoReturn:
    """Run the command."""
    sys.argv = [module, *arguments]
    end_after(lambda: runpy.run_module(module, run_name="__main__", alter_sys=True))


def end_after(work: Callable[[], object]) -> NoReturn:
    """Work, then end as an interpreter does, but for taking apart all that was warm."""
    code = 0
    try:
        work()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started this is asked, and ends it
    os.chdir(ROOT)
    sys.path[0] = str(ROOT)
    listener, alive, niceness = map(int, sys.argv[1:])
    _warm_up()
    _lend_workers(niceness)
    command = serve(socket.socket(fileno=listener), alive)
    if command is not None:
        _run(*command)


if __name__ == "__main__":
    _main()
