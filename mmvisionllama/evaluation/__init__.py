"""Generated images held against real ones: FID, sFID, Inception Score, precision and recall, class accuracy.

Letters in tensor names beside those of :mod:`mmvisionllama.models`: N images, D pooled features, S spatial
features, K classes that a network predicts.
"""

from mmvisionllama.evaluation.classifier import ClassifierFeatures
from mmvisionllama.evaluation.errors import EvaluationError
from mmvisionllama.evaluation.evaluating import Evaluation, as_facts, evaluate, parse_features
from mmvisionllama.evaluation.features import FeatureExtractor, Features
from mmvisionllama.evaluation.generation_metric import GenerationMetric
from mmvisionllama.evaluation.images import (
    GRID,
    ImageArray,
    ImageSet,
    open_images,
    png_name,
    write_npz,
    write_png,
)
from mmvisionllama.evaluation.inception import InceptionFeatures
from mmvisionllama.evaluation.reference import Reference, dataset_name, open_reference
from mmvisionllama.evaluation.sample_info import SampleInfo, read_info, write_info

__all__ = [
    "GRID",
    "ClassifierFeatures",
    "Evaluation",
    "EvaluationError",
    "FeatureExtractor",
    "Features",
    "GenerationMetric",
    "ImageArray",
    "ImageSet",
    "InceptionFeatures",
    "Reference",
    "SampleInfo",
    "as_facts",
    "dataset_name",
    "evaluate",
    "open_images",
    "open_reference",
    "parse_features",
    "png_name",
    "read_info",
    "write_info",
    "write_npz",
    "write_png",
]
