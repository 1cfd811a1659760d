"""Analyze a model, a recipe or its data: cost, attention, saliency, features, positions, rates, samples."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmvisionllama.cli.common import MODEL, add_cfg_options, command
from mmvisionllama.cli.numbers import SEED, Number, whole

_NETWORK = f"config, name of a backbone, or {MODEL}"
_IMAGE = "files, folders, or patterns such as 'photos/*.jpg'"


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    parser = argparse.ArgumentParser(
        prog="mmvisionllama analyze",
        description="Analyze a model, a recipe or its data. Each analysis writes a picture and prints a "
        "short table; nothing is trained.",
    )
    whats = parser.add_subparsers(dest="what", required=True, metavar="WHAT").add_parser

    part = _add(whats, "flops", "parameters and multiply-accumulates of every part", _NETWORK)
    part.add_argument("--size", metavar="HxW", help="image in pixels (default: that of the training)")
    _add_config(part, overridable=True)

    part = _add(whats, "attention", "attention rollout, and what each head of a block attends to", MODEL)
    part.add_argument("image", help="an image file")
    part.add_argument("--block", help="e.g. blocks.3 or stages.2.blocks.1 (default: the last one)")
    part.add_argument(
        "--query",
        help="what attends: class, mean, or ROW,COLUMN of a token (default: the class token, else the token "
        "in the middle)",
    )
    part.add_argument("--rollout", action="store_true", help="require a rollout; some models have none")
    _add_config(part)

    part = _add(whats, "cam", "places that speak for a class, by pytorch-grad-cam", MODEL)
    part.add_argument("images", nargs="+", help=_IMAGE)
    part.add_argument(
        "--method", default="gradcam", help="e.g. gradcam++, layercam or eigencam (default: gradcam)"
    )
    part.add_argument("--class", dest="wanted", help="name or number (default: the predicted one)")
    part.add_argument(
        "--layer", help="module of the backbone, e.g. blocks.5 (default: a norm of the last block)"
    )
    _add_config(part)

    for name, does in (
        ("knn", "accuracy of nearest neighbours in the features of a frozen backbone"),
        ("tsne", "features of a data set in the plane, by t-SNE"),
        ("pca", "features of a data set in the plane, by PCA"),
    ):
        part = _add(whats, name, does, MODEL)
        part.add_argument(
            "--data", required=True, help="folder with a folder for each class, or a config with such data"
        )
        part.add_argument(
            "--batch-size", type=whole(), help="images at once (default: as in the training's test)"
        )
        part.add_argument("--save-features", type=Path, metavar="FILE.npz", help="keep the features")
        if name == "knn":
            part.add_argument("--k", type=whole(), default=20, help="neighbours that vote (default: 20)")
            part.add_argument(
                "--temperature",
                type=Number(float, 0, 100, above=True),
                default=0.07,
                help="of their votes exp(cosine / temperature) (default: 0.07)",
            )
        if name == "tsne":
            part.add_argument("--perplexity", type=Number(float, 1, 10_000), default=30.0, help="default: 30")
            part.add_argument("--seed", type=SEED, default=0, help="default: 0")
        most = None if name == "knn" else 2000
        told = "all" if most is None else f"{most:,}"
        part.add_argument(
            "--most", type=whole(), default=most, help=f"images of each part, evenly spaced (default: {told})"
        )
        _add_config(part)
        add_cfg_options(part)

    part = _add(whats, "rope", "distances that rotary positions tell apart, at several sizes", _NETWORK)
    part.add_argument("--size", nargs="+", default=[], metavar="HxW", help="images beside the training's")
    _add_config(part, overridable=True)

    part = _add(
        whats, "lr", "learning rates of a training over its steps, and by block", "a config", name="config"
    )
    part.add_argument("--steps", type=whole(), help="draw a short trial, as train --steps makes it")
    part.add_argument(
        "--epoch-steps", type=whole(), metavar="N", help="steps of an epoch, if the data are not here"
    )
    part.add_argument("--global-batch", type=whole(), metavar="N", help="as train --global-batch")
    add_cfg_options(part)

    part = _add(
        whats,
        "augment",
        "training samples as the pipeline makes them, with labels",
        "a config",
        name="config",
    )
    part.add_argument("--images", type=whole(1, 32), default=4, help="how many, evenly spaced (default: 4)")
    part.add_argument("--views", type=whole(1, 32), default=4, help="of each image (default: 4)")
    part.add_argument(
        "--index", nargs="+", type=whole(0), help="samples of the training set, instead of --images"
    )
    part.add_argument("--seed", type=SEED, help="random seed (default: the config's)")
    add_cfg_options(part)
    return parser


def _add(
    add_parser: Callable[..., argparse.ArgumentParser], what: str, does: str, told: str, name: str = "model"
) -> argparse.ArgumentParser:
    part = add_parser(what, help=does, description=f"{does[0].upper()}{does[1:]}.")
    part.add_argument(name, help=told)
    picture = Path(f"{what}.png")
    part.add_argument(
        "--out", type=Path, default=picture, metavar="FILE.png", help="the picture (default: %(default)s)"
    )
    part.add_argument("--json", type=Path, metavar="FILE.json", help="write the numbers, too")
    part.add_argument("--overwrite", action="store_true", help="replace files that are there")
    return part


def _add_config(part: argparse.ArgumentParser, *, overridable: bool = False) -> None:
    part.add_argument("--config", help="where the checkpoint keeps no config, as converted weights")
    if overridable:
        add_cfg_options(part)
    else:
        part.add_argument("--device", help="e.g. cpu or cuda:1 (default: a GPU where there is one)")


@command(build_parser, interrupted="nothing was written")
def main(args: argparse.Namespace) -> None:
    """Analyze."""
    from mmvisionllama.analysis.outputs import Outputs

    outputs = Outputs(args.out, args.json, getattr(args, "save_features", None), args.overwrite)
    headings, rows, remarks, figure, numbers = _ANALYSES[args.what](args)
    written = outputs.write(figure, numbers)
    for line in _table(headings, rows):
        print(line)
    for line in filter(None, (*remarks, written)):
        print(line)


Result = tuple[Sequence[str], Sequence[Sequence[str]], Sequence[str], Any, dict[str, Any]]


def _flops(args: argparse.Namespace) -> Result:
    from mmvisionllama.analysis.flops import KINDS, cost_of
    from mmvisionllama.analysis.networks import network_of
    from mmvisionllama.evaluation.resolution import parse_size

    network = network_of(args.model, config=args.config, cfg_options=args.cfg_options)
    cost = cost_of(network, args.size and parse_size(args.size))
    rows = [
        (name, str(count), f"{x.all_parameters:,}", *(f"{x.macs.get(kind, 0) / 1e6:,.2f}" for kind in KINDS))
        for name, count, x in cost.rows()
    ]
    total = (
        f"in all {cost.parameters:,} parameters and {cost.macs / 1e9:.4g} GMACs at {cost.hw[0]}x{cost.hw[1]}"
    )
    headings = ("part", "times", "parameters", *(f"MMACs, {kind}" for kind in KINDS))
    return headings, rows, [total, cost.note], cost.plot(), cost.to_dict()


def _attention(args: argparse.Namespace) -> Result:
    from mmvisionllama.analysis.attention_maps import head_maps, plot, read_query, strongest
    from mmvisionllama.errors import InputError
    from mmvisionllama.inference.attention_rollout import attention_rollout, no_rollout
    from mmvisionllama.inference.trained_model import load

    model = load(args.model, config=args.config, device=args.device)
    why = no_rollout(model)
    if why and args.rollout:
        raise InputError(
            f"{model.source} has no attention rollout: {why}. Leave --rollout out for maps of heads"
        )
    maps = head_maps(model, args.image, block=args.block, query=read_query(args.query))
    rollout = None if why else attention_rollout(model, args.image)
    rows = [(str(i), f"{x:.3f}", f"{row},{column}") for i, x, (row, column) in strongest(maps)]
    numbers = maps.to_dict() | {"rollout": None if rollout is None else rollout.shares.tolist()}
    remarks = [f"{maps.block}: {maps.kind}", f"no rollout: {why}" if why else ""]
    return ("head", "largest weight", "of the key at row,column"), rows, remarks, plot(maps, rollout), numbers


def _cam(args: argparse.Namespace) -> Result:
    from mmvisionllama.analysis.class_maps import class_map, plot, require_few
    from mmvisionllama.inference.input_images import open_images
    from mmvisionllama.inference.trained_model import load
    from mmvisionllama.reports.progress import progress

    images = open_images(args.images)
    require_few(images)
    model = load(args.model, config=args.config, device=args.device)
    options, maps = dict(method=args.method, wanted=args.wanted, layer=args.layer), []
    with progress("images", len(images)) as advance:
        for image in images:
            maps.append(class_map(model, image, **options))
            advance(1)
    rows = [
        (
            x.name,
            x.class_name or "-",
            "-" if x.score is None else f"{x.score:.3f}",
            f"{x.peak[0]},{x.peak[1]}",
        )
        if x.heat.max()
        else (x.name, x.class_name, f"{x.score:.3f}", "nothing there speaks for it")
        for x in maps
    ]
    remarks = [f"{maps[0].method} at {maps[0].layer}"]
    return (
        ("image", "class", "score", "peak at row,column"),
        rows,
        remarks,
        plot(maps),
        {"maps": [x.to_dict() for x in maps]},
    )


def _knn(args: argparse.Namespace) -> Result:
    from mmvisionllama.analysis.features import classify

    found = _features(args, ("train", "val"))
    if args.save_features is not None:
        found[-1].save(args.save_features)
    result = classify(
        found[0], found[1] if len(found) > 1 else None, count=args.k, temperature=args.temperature
    )
    rows = [(str(k), f"{x:.2f}", "<" if k == result.count else "") for k, x in result.by_count.items()]
    how = "each by all others" if result.leave_one_out else f"by {result.among[0]:,} of the training"
    right = f"{result.accuracy:.2f} % of {result.among[1]:,} images are right"
    told = f"{right}, {how}; temperature {args.temperature:g}"
    return (
        ("neighbours", "percent right", ""),
        rows,
        [told],
        result.plot(f"{args.model}: {told}"),
        result.to_dict(),
    )


def _plane(args: argparse.Namespace) -> Result:
    from mmvisionllama.analysis.features import plot_places, projected

    found = _features(args, ("val",))[0]
    options = dict(perplexity=args.perplexity, seed=args.seed) if args.what == "tsne" else {}
    places, told = projected(found, args.what, **options)
    if args.save_features is not None:
        found.save(args.save_features)
    labels = None if found.labels is None else found.labels.tolist()
    counts = {} if labels is None else {x: labels.count(i) for i, x in enumerate(found.classes)}
    numbers = {"places": places.tolist(), "labels": labels, "images": list(found.names), "how": told}
    title = f"{args.model}, {len(found.names):,} images. {told}"
    return (
        ("class", "images"),
        [(k, f"{n:,}") for k, n in counts.items()],
        [told],
        plot_places(found, places, title),
        numbers,
    )


def _features(args: argparse.Namespace, wanted: Sequence[str]) -> list[Any]:
    """Compute the features of those parts of the data that are there, or of the first part."""
    from mmvisionllama.analysis.features import features_of
    from mmvisionllama.analysis.labelled_images import labelled_images
    from mmvisionllama.inference.trained_model import load
    from mmvisionllama.reports.progress import progress

    there = labelled_images(args.data, args.cfg_options)
    parts = [there[x].at_most(args.most) for x in wanted if x in there] or [there["train"].at_most(args.most)]
    model = load(args.model, config=args.config, device=args.device)
    with progress("images", sum(map(len, parts))) as advance:
        return [features_of(model, x, batch_size=args.batch_size, advance=advance) for x in parts]


def _rope(args: argparse.Namespace) -> Result:
    from mmvisionllama.analysis.networks import network_of
    from mmvisionllama.analysis.rotary import plot, rotary_of
    from mmvisionllama.evaluation.resolution import parse_size

    network = network_of(args.model, config=args.config, cfg_options=args.cfg_options)
    found = rotary_of(network, [parse_size(x) for x in args.size])
    rows = []
    for rotary in found:
        for at in rotary.sizes:
            turning, pairs = rotary.seen(at)
            size, tokens = (f"{x[0]}x{x[1]}" for x in (at.pixels, at.hw))
            turns = f"{turning} of {pairs}"
            rows.append((rotary.name, size, tokens, f"{at.scale:.4g}", turns, f"{at.across[-1]:.3f}"))
    headings = ("where", "pixels", "tokens", "scale", "pairs that turn once", "score across")
    numbers = {"model": args.model, "rotary": [x.to_dict() for x in found]}
    return headings, rows, [found[0].kind], plot(args.model, found), numbers


def _lr(args: argparse.Namespace) -> Result:
    from mmvisionllama.analysis.rates import rates_of

    given = {name: getattr(args, name) for name in ("steps", "epoch_steps", "global_batch", "cfg_options")}
    rates = rates_of(args.config, **given)
    rows = [(name, f"{step + 1:,}", f"{rate:.4g}") for name, step, rate in rates.rows()]
    spread = [rates.peak_of(x)[1] for x in rates.parts]
    parts = f"highest rates of {len(rates.parts)} parts: {min(spread):.4g} to {max(spread):.4g}"
    return ("moment", "step", "learning rate"), rows, [*rates.remarks, parts], rates.plot(), rates.to_dict()


def _augment(args: argparse.Namespace) -> Result:
    from mmvisionllama.analysis.augmented_samples import augmented_samples

    given = {name: getattr(args, name) for name in ("images", "views", "seed", "cfg_options")}
    sheet = augmented_samples(args.config, indices=args.index, **given)
    rows = [(str(x.index), x.name, sheet.told(x.views[0]), str(len(x.views))) for x in sheet.rows]
    mixes = f"{len(sheet.mixed)} images of a batch mixed by {', '.join(sheet.mixes)}" if sheet.mixed else ""
    return (
        ("sample", "image", "label of the first view", "views"),
        rows,
        [mixes],
        sheet.plot(),
        sheet.to_dict(),
    )


_ANALYSES: dict[str, Callable[[argparse.Namespace], Result]] = {
    "flops": _flops,
    "attention": _attention,
    "cam": _cam,
    "knn": _knn,
    "tsne": _plane,
    "pca": _plane,
    "rope": _rope,
    "lr": _lr,
    "augment": _augment,
}


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Sequence[str]:
    """Return the lines of a table, the first column to the left, the others to the right."""
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = [
        "  ".join(
            x.ljust(n) if not i else x.rjust(n) for i, (x, n) in enumerate(zip(row, widths, strict=True))
        )
        for row in (headings, *rows)
    ]
    return [x.rstrip() for x in lines]
