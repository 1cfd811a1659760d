"""Cached latents that a generator can be trained on, and those that it can't."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmvisionllama.datasets.latents import CachedLatents, read_facts
from mmvisionllama.generation.describing import differences

if TYPE_CHECKING:
    from mmvisionllama.generation.generator import ClassConditionalGenerator


def require_latents_of(model: "ClassConditionalGenerator", dataset: Mapping[str, Any]) -> None:
    """Refuse cached latents of another autoencoder, scale or size than the model's; images pass.

    Args:
        dataset: Config of the data set of a training.

    Raises:
        ValueError: saying what differs.
    """
    while "dataset" in dataset:
        dataset = dataset["dataset"]
    if not str(dataset["type"]).endswith(CachedLatents.__name__):
        return
    root = dataset["data_root"]
    facts = read_facts(root)
    if model.autoencoder is None:
        raise ValueError(f"{root} holds latents, but the model has no autoencoder")
    if found := differences(facts["autoencoder"], model.autoencoder.identity(), ("there", "in the model")):
        raise ValueError(
            f"{root} holds latents of another autoencoder ({facts['source']}): {'; '.join(found)}. Take that "
            "one by model.autoencoder, or encode the images again by tools/cache_latents.sh"
        )
    wanted = [model.network.in_channels, *model.network.input_hw]
    if facts["latent_shape"] != wanted:
        given, needed = (" x ".join(map(str, x)) for x in (facts["latent_shape"], wanted))
        height, width = facts["images"]["size"]
        raise ValueError(
            f"{root} holds latents of {given}, of images of {height} x {width} px; the network takes {needed}"
        )
