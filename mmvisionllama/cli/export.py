"""Export a trained model to ONNX, PT2 or safetensors, and check the file against the model."""

import argparse
from pathlib import Path

from mmvisionllama.cli.common import MODEL, command


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    parser = argparse.ArgumentParser(
        prog="mmvisionllama export",
        description="Export a trained model to one file. The file is run and compared with the model before "
        "it takes its name; one that differs by more than 1e-4 is not kept, and the status is 1.",
    )
    parser.add_argument("checkpoint", help=MODEL)
    parser.add_argument("--to", required=True, metavar="FORMAT", help="onnx, pt2 or safetensors")
    parser.add_argument(
        "--size", default="dynamic", metavar="HxW", help="height x width in pixels, or dynamic (default)"
    )
    parser.add_argument("--batch", default="dynamic", metavar="N", help="images, or dynamic (default)")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="default: the checkpoint's name in the present folder"
    )
    parser.add_argument("--backbone", action="store_true", help="the backbone's features, without a head")
    parser.add_argument("--config", help="where the checkpoint keeps no config, as converted weights")
    return parser


@command(build_parser, interrupted="no file was written")
def main(args: argparse.Namespace) -> None:
    """Export."""
    from mmvisionllama.inference.export import default_out, export
    from mmvisionllama.inference.trained_model import load

    model = load(args.checkpoint, config=args.config, device="cpu")
    out = args.out or default_out(args.checkpoint, args.to)
    compared = export(model, args.to, out, size=args.size, batch=args.batch, backbone=args.backbone)
    for one in compared:
        print(f"batch {one.batch} of {one.hw[0]}x{one.hw[1]}: largest difference {one.difference:.1e}")
    print(f"{out}: {out.stat().st_size / 2**20:.1f} MiB, {max(x.difference for x in compared):.1e} at most")
