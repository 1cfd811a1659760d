"""Draw samples of a trained generator; tools/sample.sh starts one process of this for every GPU."""

from mmvisionllama.cli.sample import main

if __name__ == "__main__":
    raise SystemExit(main())
