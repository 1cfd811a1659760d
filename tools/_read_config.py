"""Check the command line and the config of a training, and print the config's name and the work directory."""

import contextlib
import sys
from pathlib import Path

from train import build_parser


def main(arguments: list[str] | None = None) -> int:
    """Print both and return 0, or print what is wrong and return 2."""
    args = build_parser().parse_args(arguments)
    with contextlib.redirect_stdout(sys.stderr):  # what the hosts print while they are imported is no answer
        from mmvisionllama import compat

        compat.prepare()

        from mmvisionllama.config import ConfigError, load_config

        try:
            cfg = load_config(args.config, args.cfg_options)
        except ConfigError as error:
            print(f"error: {error}")
            return 2
    print(Path(cfg.filename).stem)
    print(args.work_dir or cfg.work_dir)
    return 0


if __name__ == "__main__":
    sys.exit(main())
