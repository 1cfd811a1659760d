"""Write images as tar shards in WebDataset's layout, or index the tar files of others."""

import argparse
import shlex
from pathlib import Path

from rich.console import Console

from mmvisionllama.cli.common import command
from mmvisionllama.cli.numbers import SEED, whole

_LOADERS = {"train_dataloader": "train", "val_dataloader": "val", "test_dataloader": "val"}


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    parser = argparse.ArgumentParser(
        description="Write a tree of images as tar shards with an index, which trainings read by "
        "mmvisionllama.ShardedImages (docs/shards.md). The same command goes on where it was killed."
    )
    parser.add_argument(
        "data",
        type=Path,
        metavar="DATA",
        help="folder with train/, val/, test/, which have class folders or lists meta/PART.txt; or a folder "
        "of class folders, or of images; with --index-only of tar files",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the shards, new or begun by it")
    parser.add_argument(
        "--index-only", action="store_true", help="write the index of tar files that are there already"
    )
    parser.add_argument(
        "--size-mb", type=whole(1, 1_000_000), default=256, help="of a shard at most (default: %(default)s)"
    )
    parser.add_argument(
        "--samples", type=whole(), default=10_000, help="of a shard at most (default: %(default)s)"
    )
    parser.add_argument("--seed", type=SEED, default=0, help="of the order in shards (default: %(default)s)")
    parser.add_argument(
        "--no-labels",
        action="store_true",
        help="folders are no classes: all images are unlabelled",
    )
    parser.add_argument("--classes", type=Path, metavar="FILE", help="names of the classes, one a line")
    parser.add_argument(
        "--max-corrupt",
        type=whole(0),
        default=0,
        help="unreadable images of train/ that may be left out (default: %(default)s)",
    )
    parser.add_argument(
        "--workers", type=whole(1, 256), default=8, help="shards at once (default: %(default)s)"
    )
    return parser


@command(build_parser, interrupted="the same command goes on", also=(OSError,))
def main(args: argparse.Namespace) -> None:
    """Write shards, or an index, and say how a config reads them."""
    from mmvisionllama.datasets.shard_index import read_index
    from mmvisionllama.errors import LaunchError
    from mmvisionllama.shards.indexing import index_shards
    from mmvisionllama.shards.source_images import find_images
    from mmvisionllama.shards.verification import describe_shards
    from mmvisionllama.shards.writing import write_shards

    console = Console(highlight=False, soft_wrap=True)
    classes = _class_names(args.classes)
    if args.index_only == (args.out is not None):
        raise LaunchError("give either --out DIR for new shards or --index-only for those that are there")
    if args.index_only:
        index_shards(args.data, classes=classes, workers=args.workers)
        out = args.data
    else:
        out = args.out
        source = find_images(args.data, labelled=not args.no_labels, classes=classes)
        for note in source.notes:
            console.print(f"note: {note}", style="yellow", markup=False)
        written = write_shards(
            source,
            out,
            shard_bytes=args.size_mb * 1_000_000,
            shard_samples=args.samples,
            seed=args.seed,
            max_corrupt=args.max_corrupt,
            workers=args.workers,
        )
        if written is None:
            console.print(f"{out} holds these shards already", markup=False)
    for line in describe_shards(out):
        console.print(line, markup=False)
    parts = read_index(out).parts
    loaders = [loader for loader, part in _LOADERS.items() if part in parts]
    keys = {"type": "mmvisionllama.ShardedImages", "data_root": out.absolute()}
    options = [f"{loader}.dataset.{key}={value}" for loader in loaders for key, value in keys.items()]
    if options:
        told = " ".join(map(shlex.quote, options))
        console.print(f"Let a config of folders read them by --cfg-options {told}", markup=False)


def _class_names(path: Path | None) -> tuple[str, ...]:
    from mmvisionllama.errors import DataError

    if path is None:
        return ()
    try:
        names = tuple(x.strip() for x in path.read_text().splitlines() if x.strip())
    except (OSError, ValueError) as error:
        raise DataError(f"--classes {path} cannot be read: {error}") from error
    if len({*names}) < len(names):
        raise DataError(f"--classes {path} has a name twice")
    return names
