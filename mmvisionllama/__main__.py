"""Entry point of ``python -m mmvisionllama``, which is the command ``mmvisionllama``."""

from mmvisionllama.cli.commands import main

if __name__ == "__main__":
    raise SystemExit(main())
