"""Evaluate one classifier at many image sizes, with positions of several kinds."""

from mmvisionllama.cli.resolution_sweep import main

if __name__ == "__main__":
    raise SystemExit(main())
