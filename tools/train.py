"""Train a model from a config; tools/train.sh starts one process of this for every GPU."""

from mmvisionllama.cli.train import main

if __name__ == "__main__":
    raise SystemExit(main())
