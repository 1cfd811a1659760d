"""Find a port that is free on this machine, print it, and hold it for a job until standard input ends.

An abstract Unix socket holds it: the kernel ends that with this process, and there is no file that anybody
could have put something else in the place of. It does not take the port itself, which the job listens at.
"""

import signal
import socket
import sys

_HIGHEST = 32768  # from here on Linux hands out ports by itself


def hold(first: int) -> tuple[int, socket.socket]:
    """Return the lowest port from ``first`` on that nobody uses or holds, and what holds it."""
    for port in range(first, _HIGHEST):
        holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            holder.bind(f"\0mmvisionllama-port-{port}")
            with socket.socket() as probe:
                probe.bind(("", port))
        except OSError:
            holder.close()
        else:
            return port, holder
    raise SystemExit(f"error: no free port from {first} on; set MASTER_PORT")


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)  # the job has them as well, and needs its port to the end
    port, holder = hold(int(sys.argv[1]))
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    sys.stdin.buffer.read()
