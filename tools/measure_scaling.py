"""Measure how much faster several processes train than one, by DDP and by FSDP, on CPUs."""

from mmvisionllama.cli.measure_scaling import main

if __name__ == "__main__":
    raise SystemExit(main())
