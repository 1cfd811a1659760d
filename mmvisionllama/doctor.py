"""Entry point of ``python -m mmvisionllama.doctor``, the check of the environment."""

from mmvisionllama.cli.doctor import main

if __name__ == "__main__":
    raise SystemExit(main())
