"""Check the model, its checkpoints and its data before a run leaves a trace."""

from mmengine.config import Config
from mmengine.registry import METRICS, MODELS, init_default_scope
from torch import nn

from mmvisionllama.checks.batch_norm import require_enough_for_batch_norm
from mmvisionllama.checks.checkpoint import (
    check_exact,
    check_pretrained,
    check_resume,
    check_start,
    classes_in,
)
from mmvisionllama.checks.data import classes_of_data, require_sound_data
from mmvisionllama.checks.evaluators import metrics_of
from mmvisionllama.checks.head_classes import require_one_number_of_classes
from mmvisionllama.checks.left_behind import remark_on_left_behind
from mmvisionllama.checks.sample_loading import SizeCheck
from mmvisionllama.checks.schedules import check_schedules
from mmvisionllama.checks.watched_metric import require_watched_metric
from mmvisionllama.config.custom_keys import require_known_custom_keys
from mmvisionllama.config.global_batch import remark_on_accumulation
from mmvisionllama.errors import CheckpointError, ConfigError
from mmvisionllama.registry import SCOPE


def check_training(cfg: Config, processes: int = 1) -> list[str]:
    """Check everything that ``cfg`` needs for a training by so many processes.

    Returns: Remarks for the log.
    Raises:
        ConfigError: if the model cannot be built, its parts disagree, a schedule does not end with the
            training, a custom key is part of no parameter's name, or the data do not fit.
        CheckpointError: if ``load_from`` or an ``init_cfg`` does not fit the model.
    """
    check_schedules(cfg)
    model = build_model(cfg)
    require_one_number_of_classes(cfg, model, "val_evaluator")
    require_known_custom_keys(cfg.optim_wrapper.get("paramwise_cfg"), model, "optim_wrapper.paramwise_cfg")
    require_sound_metrics(cfg, "val_evaluator")
    require_watched_metric(cfg)
    notes = remark_on_accumulation(cfg) + remark_on_left_behind(cfg)
    if cfg.get("resume"):
        notes += check_resume(model, cfg.load_from, cfg, processes)
    elif cfg.get("load_from"):
        notes += check_start(model, cfg.load_from, cfg, classes_of_data(cfg.train_dataloader.dataset))
    notes += check_pretrained(model, cfg)
    loaders = ("train_dataloader", "val_dataloader")
    trained = classes_in(cfg.load_from) if cfg.get("resume") else None
    notes += require_sound_data(
        cfg, *loaders, size_check=size_check_of(model), processes=processes, trained=trained
    )
    require_enough_for_batch_norm(cfg, model, processes)
    if hasattr(model, "check_data"):
        try:
            model.check_data(cfg.train_dataloader.dataset)
        except ValueError as error:
            raise ConfigError(f"train_dataloader.dataset: {error}") from error
    return notes


def check_testing(cfg: Config) -> list[str]:
    """Check everything that ``cfg`` needs for a test of its ``load_from``; see ``check_training``."""
    model = build_model(cfg)
    require_one_number_of_classes(cfg, model, "test_evaluator")
    require_sound_metrics(cfg, "test_evaluator")
    notes = check_exact(model, cfg.load_from, cfg) + remark_on_left_behind(cfg)
    trained = classes_in(cfg.load_from)
    return notes + require_sound_data(
        cfg, "test_dataloader", size_check=size_check_of(model), trained=trained
    )


def build_model(cfg: Config) -> nn.Module:
    """Build the model of a config as the Runner will; raise a ConfigError if it cannot be."""
    init_default_scope(cfg.get("default_scope", "mmengine"))
    model_cfg = {**cfg.model}
    if (
        cfg.get("data_preprocessor") is not None
    ):  # where classification keeps it; the Runner merges it likewise
        model_cfg.setdefault("data_preprocessor", cfg.data_preprocessor)
    try:
        return MODELS.build(model_cfg)
    except ValueError as error:
        raise ConfigError(f"{cfg.filename}: the model cannot be built: {error}") from error


def require_sound_metrics(cfg: Config, evaluator: str) -> None:
    """Require that the metrics of this package can be built, with all that they read.

    Raises:
        ConfigError: if an argument of one is wrong.
        CheckpointError: if the network that one looks through has no weights.
    """
    for metric in metrics_of(cfg, evaluator):
        if str(metric["type"]).startswith(f"{SCOPE}."):  # the hosts' may read annotations for minutes
            try:
                METRICS.build({**metric})
            except ValueError as error:
                if isinstance(error, (ConfigError, CheckpointError)):
                    raise
                raise ConfigError(f"{evaluator}: {error}") from error


def size_check_of(model: nn.Module) -> SizeCheck | None:
    """Return what says why images of a size do not suit ``model``, or None if any size does."""
    convolutions = (x for x in getattr(model, "backbone", model).modules() if isinstance(x, nn.Conv2d))
    first, only = next(convolutions, None), getattr(model, "only_hw", None)
    preprocessor = getattr(model, "data_preprocessor", None)
    # mmseg's, the one with a test_cfg, pads in training alone.
    divisor = 1 if hasattr(preprocessor, "test_cfg") else getattr(preprocessor, "pad_size_divisor", 1)

    def check(hw: tuple[int, int]) -> str | None:
        return _misfit(tuple(-(-side // divisor) * divisor for side in hw), first.kernel_size, only)

    return None if first is None else check


def _misfit(hw: tuple[int, int], patch: tuple[int, int], only: tuple[int, int] | None) -> str | None:
    if any(side < least for side, least in zip(hw, patch, strict=True)):
        return f"smaller than a patch of the model ({patch[0]} x {patch[1]} px)"
    if only is not None and tuple(-(-a // b) for a, b in zip(hw, patch, strict=True)) != only:
        wanted = " x ".join(str(a * b) for a, b in zip(only, patch, strict=True))
        return f"the masked model takes {wanted} px alone (model.backbone.img_size)"
    return None
