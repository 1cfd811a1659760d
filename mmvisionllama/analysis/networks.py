"""A network by a config, a checkpoint or a name, without values: as much as its shape tells."""

import os
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from torch import nn

from mmvisionllama.checkpoint.names import is_name, named_config, tiny_models
from mmvisionllama.checkpoint.released.names import RELEASED
from mmvisionllama.checks.run import build_model, size_check_of
from mmvisionllama.config import load_config
from mmvisionllama.config.config_files import find_config
from mmvisionllama.errors import ConfigError, InputError
from mmvisionllama.inference.model_factory import create_model, list_models
from mmvisionllama.inference.trained_model import load
from mmvisionllama.models.backbone import RotaryBackbone
from mmvisionllama.models.grids import Grid
from mmvisionllama.suggestions import did_you_mean


@dataclass(frozen=True, eq=False)
class Network:
    """A network on the meta device.

    Attributes:
        name: What it was asked for by.
        module: Of a host or of this package; its parameters have shapes and no values.
        generates: Whether it turns noise into images.
    """

    name: str
    module: nn.Module
    generates: bool

    @property
    def body(self) -> nn.Module:
        """The backbone, or the network of a generator."""
        return self.module.network if self.generates else getattr(self.module, "backbone", self.module)

    @property
    def channels(self) -> int:
        """Channels of an input."""
        if hasattr(self.body, "in_channels") and isinstance(self.body.in_channels, int):
            return self.body.in_channels
        return next(x.in_channels for x in self.body.modules() if isinstance(x, nn.Conv2d))

    @property
    def train_hw(self) -> Grid:
        """Height and width of the training's images or latents, as the network was built for."""
        if self.generates:
            return self.body.input_hw
        if isinstance(self.body, RotaryBackbone):
            return self.body.img_hw
        size = getattr(self.body, "img_size", 224)
        return (size, size) if isinstance(size, int) else tuple(size)

    def require_size(self, hw: Grid) -> None:
        """Raise an InputError if images of this height and width do not suit the network."""
        problem = None
        if self.generates:
            side = self.body.patch_size
            if any(x % side for x in hw):
                problem = f"no whole number of patches of {side}"
        elif (check := size_check_of(self.module)) is not None:
            problem = check(hw)
        if problem:
            raise InputError(f"--size {hw[0]}x{hw[1]}: {problem}")


def network_of(
    source: str, *, config: str | None = None, cfg_options: dict[str, Any] | None = None
) -> Network:
    """Return the network of a config, of what ``load`` takes, or of ``list_models()``.

    A file or folder comes before a name.

    Args:
        source: A config ends in ``.py``, or is one of the shipped ones without that.
        config: Of a checkpoint that keeps none.
        cfg_options: Override keys of a config.
    Raises:
        ConfigError, CheckpointError: if there is no such thing, or it cannot be built.
        InputError: for options of a config that is none.
    """
    given = named_config(source) if is_name(source) and config is None else None
    if given is None and _is_config(source):
        given = source
    if given is not None:
        return _network(source, meta_model(load_config(given, cfg_options)))
    if cfg_options:
        raise InputError(f"--cfg-options change a config, and {source} is none")
    if is_name(source) and source in list_models():
        with torch.device("meta"):
            return _network(source, create_model(source))
    if is_name(source) and source not in (known := (*tiny_models(), *RELEASED)):
        names = (*list_models(), *known)
        raise ConfigError(
            f"{source} is no config, checkpoint or name of a model.{did_you_mean(source, names)} Names are "
            f"{', '.join(names)}"
        )
    return _network(source, load(source, config=config, device="cpu").module.to("meta"))


def meta_model(cfg: Config) -> nn.Module:
    """Build the model of a config on the meta device, in the mode of a test, without an autoencoder."""
    written = Config(deepcopy({key: cfg[key] for key in cfg}), filename=cfg.filename)
    written.model.pop("autoencoder", None)
    # Swin and Twins read values while they are built, which the meta device has not.
    reads_values = str(written.model.get("backbone", {}).get("type")).endswith(("SwinTransformer", "SVT"))
    with torch.device("cpu" if reads_values else "meta"):
        model = build_model(written)
    return revert_sync_batchnorm(model).to("meta").eval()


def _is_config(source: str) -> bool:
    if str(source).endswith(".py"):
        return True
    if os.path.lexists(Path(source).expanduser()) or ":" in str(source):
        return str(source).startswith("mmvisionllama::")
    try:
        find_config(source)
    except ConfigError:
        return False
    return True


def _network(name: str, module: nn.Module) -> Network:
    return Network(str(name), module, generates=hasattr(module, "network"))
