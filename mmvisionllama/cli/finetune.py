"""Train on your own images: find the data, write a config, train by it."""

import argparse
import shlex
from pathlib import Path

from mmvisionllama.cli.common import add_track_option, command
from mmvisionllama.cli.numbers import SEED, SIDE, Number, OrWord, whole
from mmvisionllama.errors import ExitStatus

_DATA = """layouts of DATA:
  cls       a folder for each class, or a CSV table of file and label
  seg       images and masks of equal names, or a tree like ADE20K's or Cityscapes'
  det       COCO JSON, Pascal VOC XML, YOLO txt or LabelMe JSON
  pretrain  any folder of images
docs/own_data.md shows each. The config that is written is an ordinary one: edit it, and train by it again."""


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    parser = argparse.ArgumentParser(
        prog="mmvisionllama finetune",
        description="Find the data in a folder, write a config for a training on them, and train.",
        epilog=_DATA,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "data", metavar="DATA", type=Path, help="folder of your images, or file of annotations"
    )
    parser.add_argument("--task", required=True, choices=["cls", "seg", "det", "pretrain"])
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="e.g. visionllama_small, pyramid_visionllama_tiny (default: that of --init)",
    )
    parser.add_argument(
        "--init",
        metavar="CHECKPOINT",
        help="start from a trained model, also of other classes: a checkpoint, a work directory or a name",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=whole(), help="passes over the images (default: by their number)")
    length.add_argument(
        "--minutes", type=Number(float, 0, 100_000, above=True), help="train about so long on this machine"
    )
    parser.add_argument(
        "--batch",
        type=OrWord(whole(), "auto"),
        metavar="N|auto",
        help="images of a step; auto: what memory and speed allow",
    )
    parser.add_argument("--size", type=SIDE, help="side of training images in px (default: by the images)")
    parser.add_argument(
        "--no-flips", action="store_true", help="a mirrored image is another one, as with digits"
    )
    parser.add_argument("--seed", type=SEED, default=0, help="of the split and of the training (default: 0)")
    parser.add_argument(
        "--classes", type=Path, metavar="FILE", help="seg: lines of NAME, NAME,VALUE or NAME,R,G,B for masks"
    )
    parser.add_argument(
        "--ignore-label", type=whole(0, 255), metavar="N", help="seg: value of masks that counts for nothing"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of config and results (default: work_dirs/<model>_<task>_<data>)",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="move config and results in --out aside, into overwritten_<time> there",
    )
    add_track_option(parser)
    parser.add_argument("--no-train", action="store_true", help="write the config, and train later")
    return parser


@command(build_parser)
def main(args: argparse.Namespace) -> int | None:
    """Prepare, train, evaluate, and say how to go on."""
    from mmvisionllama.cli import commands
    from mmvisionllama.finetuning.neighbours import NEIGHBOURS, probe
    from mmvisionllama.finetuning.preparation import prepare, train_command
    from mmvisionllama.inference.trained_model import load
    from mmvisionllama.reports.tracking import trackers_with
    from mmvisionllama.training.launch import measure

    options = {**vars(args)}
    data, task, no_train, track = (options.pop(x) for x in ("data", "task", "no_train", "track"))
    trackers_with(None, track or ())  # a wrong name ends here
    options["flips"] = not options.pop("no_flips")
    prepared = prepare(data, task, measure=measure, **options)
    for line in prepared.told:
        print(line)
    print(f"config: {prepared.config}")
    if no_train:
        print(f"next: {train_command(prepared.config)}")
        return None
    # As typed: on all GPUs, if there are several.
    overwrite, tracked = ["--overwrite"] if args.overwrite else [], [f"--track={x}" for x in track or ()]
    if status := commands.main(["train", str(prepared.config), *overwrite, *tracked]):
        if status in (ExitStatus.STOPPED, ExitStatus.STALLED):
            print(" ".join(["to go on:", train_command(prepared.config), "--resume", *tracked]))
        return status
    best = str(prepared.best_checkpoint())
    if "test" in prepared.found.parts and (status := commands.main(["test", str(prepared.config), best])):
        return status
    accuracy = probe(load(best), prepared.found) if task == "pretrain" else None
    if accuracy is not None:
        print(
            f"classes of the {NEIGHBOURS} nearest neighbours: {accuracy:.1f} % of held-out images are right"
        )
    for name, rest in prepared.next_commands().items():
        print(f"{name:9} {shlex.join(rest)}")
    return None
