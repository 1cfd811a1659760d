"""Draw samples of a trained generator, on all visible GPUs or the CPU."""

import argparse
from pathlib import Path

from mmvisionllama.cli.common import MODEL, add_amp_option, add_launch_options, command
from mmvisionllama.cli.numbers import SEED, Number, whole


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line, which is frozen: settings belong into the config."""
    parser = argparse.ArgumentParser(
        description="Draw samples of a trained generator. The same command goes on where it was killed."
    )
    parser.add_argument("config", help="config file that the model was trained with")
    parser.add_argument("checkpoint", help=MODEL)
    parser.add_argument(
        "--classes", type=whole(0), nargs="+", metavar="CLASS", help="to draw in turns (default: all)"
    )
    parser.add_argument(
        "--num", type=whole(1, 1_000_000), default=100, help="samples in all (default: %(default)s)"
    )
    parser.add_argument(
        "--cfg-scale", type=Number(float, 0, 10**9), help="of the guidance; 1 is none (default: the config's)"
    )
    parser.add_argument(
        "--sampler",
        nargs="+",
        metavar=("TYPE", "KEY=VALUE"),
        help="ddpm, ddim, ode or sde, and options, e.g. ode method=heun2 (default: the config's)",
    )
    parser.add_argument("--steps", type=whole(), help="of the sampler (default: the config's)")
    parser.add_argument(
        "--raw", action="store_true", help="take the weights as trained, not their moving average"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: work_dirs/<config>/samples")
    parser.add_argument("--npz", action="store_true", help="also write samples.npz for ADM's evaluator")
    parser.add_argument(
        "--batch-size", type=whole(), default=50, help="of each process (default: %(default)s)"
    )
    parser.add_argument("--seed", type=SEED, help="of the noise (default: the config's model.seed)")
    add_amp_option(parser)
    parser.add_argument(
        "--compile", action="store_true", help="torch.compile the network: a minute first, then faster"
    )
    add_launch_options(parser)
    return parser


@command(build_parser, interrupted="the same command goes on")
def main(args: argparse.Namespace) -> None:
    """Draw samples."""
    from mmvisionllama.inference.sampling import sample

    sample(**vars(args))
