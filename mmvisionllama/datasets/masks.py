"""Objects whose annotation has no mask."""

from typing import Any

from mmcv.transforms import BaseTransform

from mmvisionllama.registry import TRANSFORMS


@TRANSFORMS.register_module()
class MarkMissingMasks(BaseTransform):
    """Let the loader of annotations ignore objects without a mask, as it does those with an unusable one.

    mmdet's ends with a KeyError on them; it ignores an object whose list of polygons is empty.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Give an empty list of polygons to every object that has no mask."""
        for instance in results.get("instances", []):
            instance.setdefault("mask", [])
        return results
