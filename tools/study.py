"""Train what a study compares, every run with several seeds, and report them side by side."""

from mmvisionllama.cli.study import main

if __name__ == "__main__":
    raise SystemExit(main())
