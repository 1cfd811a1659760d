"""Entry point of ``python -m mmvisionllama.checkpoint verify|merge|list|newest``."""

from mmvisionllama.cli.checkpoint import main

if __name__ == "__main__":
    raise SystemExit(main())
