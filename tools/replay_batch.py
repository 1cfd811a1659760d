"""Compute once more with a batch that a training could not use, and say where it goes wrong."""

from mmvisionllama.cli.replay_batch import main

if __name__ == "__main__":
    raise SystemExit(main())
