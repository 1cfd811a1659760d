"""Write the DigitScenes data set: real digits on real photographs, without a download."""

import argparse
from pathlib import Path

from mmvisionllama.cli.common import command
from mmvisionllama.cli.numbers import SEED, whole


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line; the defaults make the data of the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="default: digitscenes below $MMVISIONLLAMA_DATA or data/")
    parser.add_argument(
        "--num-train", type=whole(1, 999_999), default=6000, help="training images (default: %(default)s)"
    )
    parser.add_argument(
        "--num-val", type=whole(1, 999_999), default=500, help="validation images (default: %(default)s)"
    )
    parser.add_argument(
        "--size", type=whole(1, 1024), help="image side in pixels (default: 64, with --hard 96)"
    )
    parser.add_argument("--hard", action="store_true", help="four to seven small digits in any tint")
    parser.add_argument("--seed", type=SEED, default=0, help="default: %(default)s")
    parser.add_argument(
        "--layouts",
        nargs="+",
        default=["seg", "cls", "det"],
        metavar="LAYOUT",
        help="any of seg (ADE20K), cls (ImageNet), det (COCO); default: all",
    )
    parser.add_argument("--workers", type=whole(1, 256), help="threads (default: one per core)")
    parser.add_argument("--force", action="store_true", help="replace a data set made with other arguments")
    return parser


@command(build_parser, interrupted="nothing was written", also=(OSError,))
def main(args: argparse.Namespace) -> None:
    """Write the data set and say where it lies."""
    from mmvisionllama.config import data_root_base
    from mmvisionllama.datasets.digitscenes import write_digitscenes

    out = args.out or data_root_base() / "digitscenes"
    written = write_digitscenes(**{**vars(args), "out": out}, progress=True)
    print(f"wrote {out}; see {out / 'contact_sheet.png'}" if written else f"{out} is up to date")
