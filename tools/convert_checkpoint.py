"""Convert weights that the authors of VisionLLaMA published, so that every config can load them."""

from mmvisionllama.cli.convert_checkpoint import main

if __name__ == "__main__":
    raise SystemExit(main())
