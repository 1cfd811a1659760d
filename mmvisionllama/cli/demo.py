"""Show trained models in the browser: drop an image, see the prediction and the attention."""

import argparse
import signal
from contextlib import suppress

from mmvisionllama.cli.common import MODEL, command
from mmvisionllama.cli.numbers import whole


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    parser = argparse.ArgumentParser(
        prog="mmvisionllama demo",
        description="Show trained models in the browser: a tab for each, with prediction, scores and "
        "attention of an image, or generated images of a class and a seed. Serves until Ctrl-C.",
    )
    parser.add_argument("checkpoints", nargs="+", metavar="CHECKPOINT", help=MODEL)
    parser.add_argument("--config", help="where the checkpoints keep no config, as converted weights")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen at (default: 127.0.0.1, this machine alone)"
    )
    parser.add_argument(
        "--port", type=whole(1, 65_535), default=7860, help="port to listen at (default: 7860)"
    )
    parser.add_argument("--device", help="e.g. cpu or cuda:1 (default: a GPU where there is one)")
    return parser


@command(build_parser)
def main(args: argparse.Namespace) -> None:
    """Serve."""
    from mmvisionllama.inference.demo import DemoServer
    from mmvisionllama.inference.trained_model import load

    server = DemoServer(args.host, args.port)
    models = [load(x, config=args.config, device=args.device) for x in args.checkpoints]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was uploaded is removed then, too
    with suppress(KeyboardInterrupt):
        server.run(models, ready=lambda: print(f"Open {server.url}   (Ctrl-C ends it)", flush=True))
