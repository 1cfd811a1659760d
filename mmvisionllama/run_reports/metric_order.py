"""Order of the values of a metric: greater or smaller ones are better, by its name."""

import re

# Words of the hosts' metrics and of ours, in lower case; a number may follow.
_LESS = re.compile(r"\w*(loss|fid|error|mse|mae|nll)")
_MORE = re.compile(
    r"(top|acc|[am]acc|accuracy|m?iou|m?dice|m?fscore|f|score|m?precision|m?recall|m?ap|ar|auc|is|psnr|ssim)\d*"
)
_WORDS = re.compile(r"[a-z]+\d*")


def is_greater_better(metric: str) -> bool | None:
    """Whether a greater value is better; None for a name that tells nothing."""
    words = _WORDS.findall(metric.lower())
    if any(map(_LESS.fullmatch, words)):
        return False
    return True if any(map(_MORE.fullmatch, words)) else None
