"""Compare the speed, memory and size of backbones or detectors in one interleaved run."""

from mmvisionllama.cli.benchmark import main

if __name__ == "__main__":
    raise SystemExit(main())
