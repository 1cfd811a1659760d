"""Check the data sets of a config, for every task, and report all that is wrong at once."""

from mmvisionllama.cli.check_data import main

if __name__ == "__main__":
    raise SystemExit(main())
