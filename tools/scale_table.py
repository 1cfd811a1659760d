"""Print what every model size sends and holds on 8, 64 and 512 GPUs: the tables of docs/scale.md."""

from mmvisionllama.cli.scale_table import main

if __name__ == "__main__":
    raise SystemExit(main())
