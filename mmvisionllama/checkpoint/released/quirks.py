"""Table of the deviations of the released code from the paper, and our option for each."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mmvisionllama.checkpoint.released.shapes import Shapes

_PLAIN = ("plain", "plain_dense")
_PYRAMID = ("pyramid", "pyramid_dense")
_MAE = ("mae", "mae_classifier", "mae_dense")
_GENERATORS = ("dit", "sit")


@dataclass(frozen=True)
class Quirk:
    """One deviation.

    Attributes:
        families: Whose weights were trained with it.
        option: Arguments of our model that reproduce it.
        line: What it is.
        applies: Whether a checkpoint shows it; a quirk that all weights of its families have needs none.
        sized: The option at other sizes than the published ones; None: it depends on none.
    """

    families: tuple[str, ...]
    option: Mapping[str, Any]
    line: str
    applies: Callable[[Shapes], bool] = lambda shapes: True
    sized: Callable[[Shapes], Mapping[str, Any]] | None = None


def _anchor_of_classifiers(shapes: Shapes) -> Mapping[str, Any]:
    patch = shapes.of("patch_embed.projection.weight", 4)[-1]
    return dict(rope=dict(type="AS2DRoPE", anchor=224 / patch))


QUIRKS = (
    Quirk(
        (*_PLAIN, "pyramid", *_MAE),
        dict(rope=dict(type="RoPE2D")),
        "Coordinates are not scaled to the image size.",
    ),
    Quirk(
        ("plain",),
        dict(rope=dict(type="AS2DRoPE", anchor=14)),
        "Auto-scaled coordinates, where they are asked for, span 224 pixels: 14 tokens at patches of 16.",
        sized=_anchor_of_classifiers,
    ),
    Quirk(
        ("plain_dense",),
        dict(rope=dict(type="AS2DRoPE", anchor=14)),
        "Auto-scaled coordinates, where they are asked for, span 14 tokens at every size of patches.",
    ),
    Quirk(
        _PYRAMID,
        dict(rope=dict(type="AS2DRoPE", anchor=14, scale_side="rows")),
        "Auto-scaled coordinates span 14 tokens in every stage, over the rows of the map.",
    ),
    Quirk(
        (*_PYRAMID, "mae_dense"),
        dict(rope=dict(key_positions="released")),
        "Keys that summarise tokens lie off the centres of what they summarise.",
    ),
    Quirk(
        _PLAIN,
        dict(rope=dict(cls_position="raster")),
        "The class token lies in the last column, one row above the first; ours by default, too.",
    ),
    Quirk(
        (*_PYRAMID, "mae_dense"),
        dict(window=dict(mask_padding=False)),
        "Tokens that pad a window are attended to, as keys that are the bias alone.",
    ),
    Quirk(
        ("mae_dense",),
        dict(window=dict(global_attn=dict(ratio=4, summary="depthwise"))),
        "In an experimental ViTDet, global blocks attend to summaries of 4 x 4 tokens; another one takes the "
        'mean of the tokens, which leaves no trace in its weights: ask for `summary="mean"`.',
        applies=lambda shapes: any(".attn.summary." in name for name in shapes),
    ),
    Quirk(("pyramid",), dict(out_norm="twice"), "The last norm is applied again after pooling."),
    Quirk(
        ("pyramid_dense",),
        dict(out_norm="each_fed_on"),
        "The norm of a stage's output, where there is one, also acts on what enters the next stage.",
        applies=lambda shapes: "norms.0.weight" in shapes,
    ),
    Quirk(
        ("mae_classifier",),
        dict(out_norm="both"),
        "A norm before pooling and another one after it, where the checkpoint has both.",
        applies=lambda shapes: "norms.last.weight" in shapes,
    ),
    Quirk(
        ("mae_dense",),
        dict(out_norm="last"),
        "The one norm acts on the last map alone, where the checkpoint has it.",
        applies=lambda shapes: "norms.all.weight" in shapes,
    ),
    Quirk(
        _MAE,
        dict(ffn=dict(type="SwiGLU", bias=True)),
        "The feed-forward has biases and is four times as wide: `hidden_dims` 8192 (B) or 11008 (L), as with "
        "`expand=16`.",
        applies=lambda shapes: "blocks.0.ffn.w12.bias" in shapes,
    ),
    Quirk(
        _MAE,
        dict(drop_path_schedule="linear", drop_path_branches=("attn",)),
        "Drop-path, if its rate is set, grows over the blocks and skips attention alone.",
    ),
    Quirk(
        ("denoiser", *_GENERATORS),
        dict(block=dict(rope=dict(type="RoPE2D"))),
        "Coordinates are not scaled to the size of the latents.",
        applies=lambda shapes: "blocks.0.ffn.gate.weight" in shapes,
    ),
    Quirk(
        _GENERATORS,
        dict(guidance=dict(channels="first_three")),
        "Guidance acts on three of the four channels of the latents.",
    ),
)


def quirks_of(family: str, shapes: Shapes) -> Iterator[Mapping[str, Any]]:
    """Give the options of a family's quirks that its weights, by our names, show."""
    for quirk in QUIRKS:
        if family in quirk.families and quirk.applies(shapes):
            yield quirk.sized(shapes) if quirk.sized else quirk.option
