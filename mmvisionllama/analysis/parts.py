"""Parts of a model: each block by itself, and what stands before, between and after the blocks."""

from collections.abc import Collection

from torch import nn

_BRANCHES = ("attn", "ffn")  # what a block of ours, of mmpretrain's ViT, Swin and Twins has


def blocks_in(model: nn.Module) -> set[str]:
    """Return the paths of all transformer blocks."""
    return {name for name, x in model.named_modules() if all(hasattr(x, branch) for branch in _BRANCHES)}


def part_of(name: str, blocks: Collection[str]) -> tuple[str, str]:
    """Return the part that a module or parameter belongs to, and the child of a block, "" outside of blocks.

    A part is a block, or else the first module on the path that holds no blocks.

    Args:
        name: Path in the model.
    """
    path = name.split(".")
    for i in range(1, len(path) + 1):
        if (block := ".".join(path[:i])) in blocks:
            return block, path[i] if i < len(path) else ""
    depth = 1
    while depth < len(path) and _is_container(".".join(path[:depth]), blocks):
        depth += 1
    return ".".join(path[:depth]) or "(model)", ""


def _is_container(name: str, blocks: Collection[str]) -> bool:
    """Whether a module is shown by its parts: it holds blocks, or several heads."""
    return any(x.startswith(f"{name}.") for x in blocks) or name.rpartition(".")[2] == "roi_head"
