"""Features and logits of InceptionV3 as in the paper's FID, sFID, Inception Score, precision and recall."""

import io
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor

from mmvisionllama.arguments import checked
from mmvisionllama.checkpoint import read_checkpoint, weights_of
from mmvisionllama.errors import CheckpointError
from mmvisionllama.evaluation.features import FeatureExtractor, Features
from mmvisionllama.registry import MODELS

_FILE = "weights-inception-2015-12-05-6726825d.pth"
_SPATIAL_CHANNELS = 7


@MODELS.register_module()
class InceptionFeatures(FeatureExtractor):
    """TensorFlow's InceptionV3 of 2015 as torch-fidelity carries it over, resizing included.

    Features are those of ADM's evaluator: the pooled 2,048; the logits without bias; and for sFID the first 7
    channels of a 1 x 1 convolution on 17 x 17 places (``mixed_6/conv``), 2,023 in all.

    Args:
        weights: File of torch-fidelity's weights. Nothing is downloaded; None: where torch-fidelity puts
            them, ``hub/checkpoints`` in torch's cache.

    Raises:
        CheckpointError: if the file is missing, unsafe or holds other weights; says where it comes from.
    """

    metrics = ("fid", "sfid", "inception_score", "precision", "recall")
    adm_widths = {"fid": 2048, "sfid": 17 * 17 * _SPATIAL_CHANNELS}  # noqa: RUF012  (read alone)

    @checked
    def __init__(self, weights: str | Path | None = None) -> None:
        super().__init__()
        from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3

        path = Path(torch.hub.get_dir(), "checkpoints", _FILE) if weights is None else Path(weights)
        source = f"InceptionV3's weights are the file {URL_INCEPTION_V3}"
        try:
            found = weights_of(read_checkpoint(path), path)
        except CheckpointError as error:
            raise CheckpointError(f"{error}. {source}") from error
        # The library unpickles the file it is given, so it gets one that holds what was read safely.
        safe = io.BytesIO()
        torch.save(found, safe)
        safe.seek(0)
        try:
            self.network = FeatureExtractorInceptionV3("inception", ["2048", "logits_unbiased"], safe)
        except RuntimeError as error:
            difference = str(error).rpartition("\n")[2].strip()[:300]
            raise CheckpointError(f"{path} holds other weights: {difference}. {source}") from error
        self.title = f"InceptionV3 ({path.name})"

    @torch.no_grad()
    def forward(self, img_BCHW: Tensor) -> Features:
        """See the parent; grey images are looked at as RGB."""
        spatial: list[Tensor] = []
        layer = self.network.Mixed_6d.branch1x1
        hook = layer.register_forward_hook(lambda module, inputs, output: spatial.append(output))
        try:
            pooled_BD, logit_BK = self.network(img_BCHW.expand(-1, 3, -1, -1))
        finally:
            hook.remove()
        # TensorFlow's order of axes, as in the moments of ADM's files.
        spatial_BS = rearrange(spatial[0][:, :_SPATIAL_CHANNELS], "B C H W -> B (H W C)")
        return Features(pooled_BD, logit_BK, spatial_BS.float())
