"""Evaluate a checkpoint by the test section of a config; tools/test.sh starts one process for every GPU."""

from mmvisionllama.cli.test import main

if __name__ == "__main__":
    raise SystemExit(main())
