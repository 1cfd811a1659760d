"""Reproduce a table of the paper: list its rows, run their chains, report ours beside published."""

from mmvisionllama.cli.reproduce import main

if __name__ == "__main__":
    raise SystemExit(main())
