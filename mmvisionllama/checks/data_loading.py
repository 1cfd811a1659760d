"""Check that data loaders give batches: samplers, sizes of batches, images of one size."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from mmvisionllama.checks.data_problems import DataProblem
from mmvisionllama.checks.schedules import counts_epochs

# They never end, so neither does an epoch or an evaluation.
_ENDLESS = {
    "InfiniteSampler",
    "InfiniteBatchSampler",
    "InfiniteGroupBatchSampler",
    "MultiSourceSampler",
    "GroupMultiSourceSampler",
}
_ONE_SIZE = "mmvisionllama.SameSizeBatchSampler"


def check_loading(
    name: str,
    cfg: Mapping[str, Any],
    length: int | None,
    sizes: Collection[tuple[int, int]],
    batch_size: int | None,
    processes: int = 1,
) -> Iterator[DataProblem]:
    """Yield why a loader gives no batches, batches without end, or ones that cannot be stacked.

    Args:
        name: Of the loader, e.g. ``train_dataloader``.
        length: Samples of its data set; None: not known.
        sizes: Heights and widths of some images as they come out of its pipeline.
        batch_size: Of a process; None: the loader's sampler decides.
    """
    loader, training = cfg[name], name.startswith("train")
    yield from _endless(name, loader, cfg.get("train_cfg"), training)
    yield from _padding(name, _preprocessor(cfg), training)
    if batch_size is None:
        return
    if length is not None:
        yield from _batches(name, loader, length, batch_size, processes, training)
    if batch_size > 1 and len({*sizes}) > 1 and not _batches_one_size(loader):
        yield from _stacking(name, loader, cfg, sorted({*sizes}), training)


def _endless(
    name: str, loader: Mapping[str, Any], train_cfg: Mapping[str, Any] | None, training: bool
) -> Iterator[DataProblem]:
    for key in ("sampler", "batch_sampler"):
        kind = _name((loader.get(key) or {}).get("type"))
        if kind in _ENDLESS and (not training or (train_cfg and counts_epochs(train_cfg))):
            what = "an epoch" if training else "an evaluation"
            also = ", or train by iterations (train_cfg.by_epoch=False, max_iters=...)" if training else ""
            yield DataProblem(
                name,
                f"{name}.{key}: {kind} never ends, so {what} would not either; set sampler="
                f"dict(type='DefaultSampler', shuffle={training}){also}",
            )


def _batches(
    name: str, loader: Mapping[str, Any], length: int, batch_size: int, processes: int, training: bool
) -> Iterator[DataProblem]:
    drops = loader.get("drop_last") or (loader.get("batch_sampler") or {}).get("drop_last")
    if not drops or _name((loader.get("sampler") or {}).get("type")) in _ENDLESS:
        return
    share = -(-length // processes)
    of = f" of a process, {length:,} shared by {processes}," if processes > 1 else ""
    if share < batch_size:
        yield DataProblem(
            name,
            f"{share:,} images{of} are fewer than a batch of {batch_size} and drop_last=True, so there would "
            f"be no batch; set {name}.drop_last=False or {name}.batch_size={share}",
        )
    elif not training and share % batch_size:
        yield DataProblem(
            name,
            f"drop_last=True leaves the last {share % batch_size} of {share:,} images{of} out of the "
            f"evaluation; set {name}.drop_last=False",
            fatal=False,
        )


def _batches_one_size(loader: Mapping[str, Any]) -> bool:
    return _name((loader.get("batch_sampler") or {}).get("type")) == _name(_ONE_SIZE)


def _preprocessor(cfg: Mapping[str, Any]) -> Mapping[str, Any]:
    return (cfg.get("model") or {}).get("data_preprocessor") or cfg.get("data_preprocessor") or {}


def _padding(name: str, preprocessor: Mapping[str, Any], training: bool) -> Iterator[DataProblem]:
    """Yield mmseg's preprocessor if it does not know what to pad to, which it asserts at the first step."""
    if _name(preprocessor.get("type")) != "SegDataPreProcessor":
        return
    path, pads = "model.data_preprocessor", preprocessor
    if not training:
        path, pads = f"{path}.test_cfg", preprocessor.get("test_cfg") or {}
        if not pads:
            return
    if (pads.get("size") is None) == (pads.get("size_divisor") is None):
        text = f"{path} needs either size or size_divisor, e.g. size=(512, 512), that of the training's crops"
        yield DataProblem(name, text)


def _stacking(
    name: str,
    loader: Mapping[str, Any],
    cfg: Mapping[str, Any],
    sizes: list[tuple[int, int]],
    training: bool,
) -> Iterator[DataProblem]:
    """Yield images of several sizes that the collation or the preprocessor of the model cannot join."""
    preprocessor = _preprocessor(cfg)
    kind = _name(preprocessor.get("type"))
    collate = _name((loader.get("collate_fn") or {}).get("type"))
    told = ", ".join(f"{height} x {width}" for height, width in sizes)
    gives = f"its pipeline gives images of several sizes ({told} px)"
    also = "" if training else f", or {name}.batch_sampler=dict(type='{_ONE_SIZE}')"
    fix = f"resize or crop them to one size in its pipeline, or set {name}.batch_size=1{also}"
    if collate == "default_collate":
        yield DataProblem(name, f"{gives}, which default_collate cannot join; {fix}")
    elif kind == "SegDataPreProcessor" and not training:
        yield DataProblem(name, f"{gives}, which {kind} cannot join; {fix}")
    elif kind == "ClsDataPreprocessor" or (not kind and cfg.get("default_scope") == "mmpretrain"):
        text = f"{gives}, so each is padded to the largest of its batch, and predictions depend on the others"
        yield DataProblem(name, f"{text}; {fix}", fatal=False)


def _name(type_: Any) -> str:
    return type_.__name__ if isinstance(type_, type) else str(type_ or "").rpartition(".")[2]
