"""Convert weights that the authors of VisionLLaMA, or of its kin, published into models of this package."""

import argparse

from mmengine.config import Config
from rich.console import Console

from mmvisionllama.cli.common import KeyValues, command


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="file or http(s) address of the published weights")
    parser.add_argument("target", help="file to write, *.safetensors; a *.json of that name goes beside it")
    parser.add_argument("--family", help="kind of checkpoint, if its names do not tell, e.g. dit or sit")
    parser.add_argument(
        "--part", metavar="KEY", help="key of the file that holds the weights (default: ema, else the usual)"
    )
    parser.add_argument(
        "--set",
        nargs="+",
        action=KeyValues,
        default={},
        metavar="KEY=VALUE",
        help="what weights do not tell, by the names of the model's arguments, e.g. num_heads=4 "
        "rope.type=AS2DRoPE, or head=None to leave a part out",
    )
    parser.add_argument(
        "--accept-license",
        metavar="NAME",
        help="licence of the weights that you accept, e.g. dinov3; without it, its terms are shown",
    )
    parser.add_argument("--force", action="store_true", help="overwrite the target")
    return parser


@command(build_parser)
def main(args: argparse.Namespace) -> None:
    """Convert, and say what came out and what was left out."""
    from mmvisionllama.checkpoint import convert_file

    known = Config()
    known.merge_from_dict(args.set)
    options = dict(family=args.family, part=args.part, force=args.force, known=known.to_dict())
    converted = convert_file(args.source, args.target, accept_license=args.accept_license, **options)
    console = Console(highlight=False, soft_wrap=True, markup=False)
    count = sum(x.numel() for x in converted.state_dict.values())
    console.print(f"{converted.family}: {converted.model['type']}, {count / 1e6:.2f} M values")
    for name, reason in converted.report.items():
        console.print(f"left out: {name} ({reason})")
    console.print(args.target)
