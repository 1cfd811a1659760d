"""What is checked before a run leaves a trace: the model, its checkpoints and its data."""

from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from mmvisionllama.checkpoint import check_exact, check_pretrained, check_start
from mmvisionllama.config import ConfigError
from mmvisionllama.datasets.checks import require_sound_data


def check_training(cfg: Config) -> list[str]:
    """Check everything that ``cfg`` needs for a training.

    Returns: Remarks for the log.
    Raises:
        ConfigError: if the model cannot be built or the data do not fit.
        CheckpointError: if ``load_from`` or an ``init_cfg`` does not fit the model.
    """
    model = build_model(cfg)
    notes = []
    if cfg.get("resume"):
        check_exact(model, cfg.load_from)
    elif cfg.get("load_from"):
        notes += check_start(model, cfg.load_from)
    notes += check_pretrained(model)
    return notes + require_sound_data(cfg, "train_dataloader", "val_dataloader")


def check_testing(cfg: Config) -> list[str]:
    """Check everything that ``cfg`` needs for a test of its ``load_from``; see ``check_training``."""
    check_exact(build_model(cfg), cfg.load_from)
    return require_sound_data(cfg, "test_dataloader")


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
