"""Record what a terminal shows of a training: PYTHONPATH=. python docs/figures/record_run.py [--steps N]."""

import argparse
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "first_run.md"
COLUMNS, ROWS = 100, 40
_PIECES = re.compile(r"\x1b\[([0-9;?]*)([a-zA-Z])|\r|\n|[^\x1b\r\n]+")


class Terminal:
    """The lines that a terminal shows, of the few control sequences that a bar needs."""

    def __init__(self) -> None:
        self.lines, self.row, self.column = [""], 0, 0

    def take(self, text: str) -> None:
        """Change the lines as what is written says."""
        for piece in _PIECES.finditer(text):
            count, letter = piece[1], piece[2]
            if letter == "A":
                self.row = max(self.row - int(count or 1), 0)
            elif letter == "K":
                self.lines[self.row] = ""
            elif letter is not None:
                continue  # colours, and the cursor's looks
            elif piece[0] == "\r":
                self.column = 0
            elif piece[0] == "\n":
                self.row += 1
                self.lines += [""] * (self.row + 1 - len(self.lines))
            else:
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + piece[0] + line[self.column + len(piece[0]) :]
                self.column += len(piece[0])

    def text(self) -> str:
        """Return what is to be seen, whole: a terminal would show its last lines."""
        return "\n".join(line.rstrip() for line in self.lines).strip("\n")


def record(command: list[str], moments: dict[str, re.Pattern[str]]) -> dict[str, str]:
    """Run a command on a terminal; return what that shows when each pattern is first seen, and at the end."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environ = {**os.environ, "TERM": "xterm-256color", "NO_COLOR": "1"}
    process = subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, env=environ, cwd=ROOT
    )
    os.close(follower)
    terminal, seen = Terminal(), {}
    while True:
        try:
            chunk = os.read(leader, 1 << 16)
        except OSError:  # Linux: the other end is closed
            break
        if not chunk:
            break
        terminal.take(chunk.decode(errors="replace"))
        for name, pattern in moments.items():
            if name not in seen and pattern.search(terminal.text()):
                seen[name] = terminal.text()
    if process.wait() != 0:
        sys.exit(f"the command failed:\n{terminal.text()}")
    return {**seen, "end": terminal.text()}


def main() -> None:
    """Record, and put the screens between the marks of the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, help="a short trial instead of the whole recipe")
    args = parser.parse_args()
    name = "visionllama_tiny_upernet_digitscenes"
    command = ["tools/train.sh", f"configs/toy/{name}.py"]
    command += ["--steps", str(args.steps)] if args.steps else []
    total = args.steps or 1450
    middle = "|".join(f"{x:,}/" for x in range(total // 2 + 1, total // 2 + 40))
    moments = {"start": re.compile(r"step .* 1/"), "middle": re.compile(f"step .* ({middle})")}
    started = time.monotonic()
    screens = record(command, moments)
    minutes = (time.monotonic() - started) / 60
    text = PAGE.read_text()
    for moment, screen in {**screens, "command": " ".join(command)}.items():
        mark = f"<!-- {moment} -->"
        text = re.sub(
            rf"{mark}\n```.*?```", lambda _, m=mark, s=screen: f"{m}\n```text\n{s}\n```", text, flags=re.S
        )
    text = re.sub(r"It took [\d.]+ minutes", f"It took {minutes:.1f} minutes", text)
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
