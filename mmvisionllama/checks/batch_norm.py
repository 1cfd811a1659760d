"""Check that no batch norm gets a single value of each channel, which torch refuses in a training."""

from collections.abc import Iterator

from mmengine.config import Config
from mmengine.registry import DATASETS
from torch import nn

from mmvisionllama.config.global_batch import share_batch
from mmvisionllama.errors import ConfigError
from mmvisionllama.host_internals import BATCH_NORM


def require_enough_for_batch_norm(cfg: Config, model: nn.Module, processes: int) -> None:
    """Require two images in every batch of a model whose batch norms see one value of an image.

    These are norms of vectors and norms behind a pooling to 1 x 1. The last batch of an epoch counts too; the
    data set is built to know it.

    Raises: ConfigError: naming the norm.
    """
    found = next(_of_one_value(model, processes), None)
    loader = cfg.train_dataloader
    if found is None or loader.get("batch_size") is None:
        return
    shared = share_batch(cfg, processes)
    batch = shared.per_device if shared else loader.batch_size
    why = f"train_dataloader.batch_size: a batch of a process has {batch} image"
    if batch > 1:
        sampler = str(loader.get("sampler", {}).get("type")).rpartition(".")[2]
        if loader.get("drop_last") or sampler != "DefaultSampler":
            return
        count = -(-len(DATASETS.build(loader.dataset)) // processes)
        if count % batch != 1:
            return
        why = f"train_dataloader: the last batch of {count} images by {batch} has 1 image (drop_last=True)"
    raise ConfigError(
        f"{why}, so {found} would get one value of each channel, which batch norm cannot be trained on; take "
        "another batch size, or another norm, e.g. norm_cfg=dict(type='GN', num_groups=8)"
    )


def _of_one_value(model: nn.Module, processes: int) -> Iterator[str]:
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm1d):
            yield name
        elif isinstance(module, nn.Sequential):
            pooled = False
            for child_name, child in module.named_children():
                if pooled and (norm := _norm_in(child, processes)) is not None:
                    yield ".".join(filter(None, (name, child_name, norm)))
                pools = isinstance(child, nn.AdaptiveAvgPool2d) and child.output_size in (1, (1, 1))
                pooled = pooled or pools


def _norm_in(module: nn.Module, processes: int) -> str | None:
    """Return the name of a norm that works by the batch of one process."""
    return next(
        (
            name
            for name, x in module.named_modules()
            if isinstance(x, BATCH_NORM) and not (processes > 1 and isinstance(x, nn.SyncBatchNorm))
        ),
        None,
    )
