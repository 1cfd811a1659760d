"""Write the DigitScenes data set: real digits on real photographs, without a download."""

import argparse
import sys
from pathlib import Path


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line; the defaults make the data of the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="default: digitscenes below $MMVISIONLLAMA_DATA or data/")
    parser.add_argument("--num-train", type=int, default=6000, help="training images (default: %(default)s)")
    parser.add_argument("--num-val", type=int, default=500, help="validation images (default: %(default)s)")
    parser.add_argument("--size", type=int, help="image side in pixels (default: 64, with --hard 96)")
    parser.add_argument("--hard", action="store_true", help="four to seven small digits in any tint")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument(
        "--layouts",
        nargs="+",
        default=["seg", "cls", "det"],
        metavar="LAYOUT",
        help="any of seg (ADE20K), cls (ImageNet), det (COCO); default: all",
    )
    parser.add_argument("--workers", type=int, help="threads (default: one per core)")
    parser.add_argument("--force", action="store_true", help="replace a data set made with other arguments")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Write the data set and say where it lies; return the exit code."""
    args = vars(build_parser().parse_args(argv))

    from mmvisionllama import compat

    compat.prepare()

    from mmvisionllama.config import data_root_base
    from mmvisionllama.datasets.digitscenes import write_digitscenes

    out = args.pop("out") or data_root_base() / "digitscenes"
    try:
        written = write_digitscenes(out, **args, progress=True)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: nothing was written", file=sys.stderr)
        return 130
    print(f"wrote {out}; see {out / 'contact_sheet.png'}" if written else f"{out} is up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
