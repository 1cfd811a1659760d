"""An interpreter for the scripts of ``tools`` that forks this process instead of importing torch anew.

A start of a command spends most of its time on imports, some 4 CPU seconds, which a fork has behind it. What
a script says, its arguments, environment and folder, its processes and their statuses are as ever. A process
in a group that signals of a terminal strike, and what a first import does, need a fresh interpreter.
"""

import json
import logging
import os
import runpy
import select
import signal
import socket
import stat
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import RawIOBase
from pathlib import Path
from types import FrameType

from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope

from mmvisionllama.fault_tolerance.launcher_death import LAUNCHER_VARIABLE
from tests.processes import import_ahead

# Runs for as long as the forked process, hands it signals, and ends as it does.
_CLIENT = """#!{python} -IS
import json, os, signal, socket, sys
place = socket.socket(socket.AF_UNIX)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
    if signal.getsignal(number) != signal.SIG_IGN:
        signal.signal(number, lambda number, frame: place.send(bytes([number])))
place.connect({address!r})
socket.send_fds(place, [b"\\0"], [0, 1, 2])
request = json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]).encode()
place.sendall(len(request).to_bytes(4, "big") + request)
status = int.from_bytes(place.recv(2), "big", signed=True)
if status < 0:
    signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
sys.exit(status)
"""


@contextmanager
def warm_interpreter() -> Iterator[dict[str, str]]:
    """Yield environment variables that let scripts and torchrun start Python from a fork of this process."""
    from mmvisionllama.training import launch  # noqa: F401  what every command would import

    import_ahead()
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listening:
        address, client = str(Path(folder, "socket")), Path(folder, "python")
        client.write_text(_CLIENT.format(python=sys.executable, address=address))
        client.chmod(client.stat().st_mode | stat.S_IXUSR)
        listening.bind(address)
        listening.listen(16)
        server = os.fork()
        if server == 0:
            _serve(listening)
        try:
            yield {"PYTHON": str(client), "PYTHON_EXEC": str(client)}
        finally:
            os.kill(server, signal.SIGKILL)
            os.waitpid(server, 0)


def _serve(listening: socket.socket) -> None:
    """Fork at every request, until the process of the tests ends."""
    tests = os.pidfd_open(os.getppid())
    signal.signal(signal.SIGCHLD, _reap)
    logging.getLogger().handlers.clear()  # of pytest
    for of_earlier_runs in (MMLogger, MessageHub, DefaultScope):
        of_earlier_runs._instance_dict.clear()
    while tests not in select.select([listening, tests], [], [])[0]:
        connection, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            _watch(connection)
        connection.close()
    os._exit(0)


def _reap(number: int, frame: FrameType | None) -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _watch(connection: socket.socket) -> None:
    """Start the process that a client asks for, hand it signals, and tell the client how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    with connection.makefile("rb", buffering=0) as file:
        request = json.loads(_exactly(file, int.from_bytes(_exactly(file, 4), "big")))
    child = os.fork()
    if child == 0:
        connection.close()
        _be(streams, *request)
    for stream in streams:
        os.close(stream)
    with open(os.pidfd_open(child)) as ending:
        while ending not in select.select([connection, ending], [], [])[0]:
            signals = connection.recv(16)
            for number in signals or [signal.SIGKILL]:  # a client that was killed
                os.kill(child, number)
            if not signals:
                break
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with suppress(OSError):  # a client that was killed
        connection.send(status.to_bytes(2, "big", signed=True))
    os._exit(0)


def _exactly(file: RawIOBase, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += file.read(count - len(data))
    return data


def _be(streams: list[int], arguments: list[str], environment: dict[str, str], folder: str) -> None:
    """Be the process: run a script as a fresh interpreter would, and end with it."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    status = 1
    try:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        if LAUNCHER_VARIABLE in environment:  # it started the client, and the parent stands for that
            os.environ[LAUNCHER_VARIABLE] = str(os.getppid())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        sys.stdin = open(0)  # noqa: SIM115
        sys.stdout, sys.stderr = (open(number, "w", buffering=1) for number in (1, 2))  # noqa: SIM115
        try:
            _run([x for x in arguments if x != "-u"])
            status = 0
        except SystemExit as end:
            status = end.code or 0
            if isinstance(status, str):
                sys.stderr.write(f"{status}\n")
                status = 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _run(arguments: list[str]) -> None:
    """Run a script, a module (``-m``) or a text (``-c``)."""
    if arguments[0] not in ("-m", "-c"):
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")
    elif arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments[2:]
        exec(arguments[1], {"__name__": "__main__"})
