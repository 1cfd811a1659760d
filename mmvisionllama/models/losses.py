"""Binary cross-entropy of DeiT III."""

from torch import Tensor, nn
from torch.nn import functional as F

from mmvisionllama.registry import MODELS


@MODELS.register_module()
class BinarizedCrossEntropyLoss(nn.Module):
    """Binary cross-entropy in which every class that a mixed image holds counts as fully present (DeiT III).

    Mixup and CutMix give labels between 0 and 1; whatever is above 0 becomes 1. The mean is over images and
    classes.
    """

    def forward(
        self, cls_score: Tensor, label: Tensor, weight: Tensor | None = None, avg_factor: int | None = None
    ) -> Tensor:
        """Compare logits (B, classes) with indices (B,) or scores (B, classes).

        Args:
            weight: Of each image, (B,).
            avg_factor: Images to average over; None: all.
        """
        if label.ndim == 1:
            label = F.one_hot(label, cls_score.shape[1])
        target = (label > 0).to(cls_score.dtype)
        loss_B = F.binary_cross_entropy_with_logits(cls_score, target, reduction="none").mean(dim=1)
        if weight is not None:
            loss_B = loss_B * weight
        return loss_B.sum() / (avg_factor or len(loss_B))
