"""Check the command line and the config of a training, and print the config's name and the work directory."""

from mmvisionllama.cli.read_config import main

if __name__ == "__main__":
    raise SystemExit(main())
