"""Ranges that the package can live with; `requirements.txt` has the exact versions that are tested."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
VERSION = re.search(r'__version__ = "(.+?)"', (ROOT / "mmvisionllama/__init__.py").read_text()).group(1)
README = ROOT / "README.md"

# An extra has what the configs in the folder of its name need, and what draws and logs their trainings; `toy`
# what the toy data sets need beside the task.
RUNS = ["matplotlib>=3.10,<4", "tensorboard>=2.20,<3", "torchvision>=0.26,<0.29"]
CLASSIFICATION = ["onedl-mmpretrain>=1.3.6,<1.4", *RUNS]
SEGMENTATION = ["onedl-mmsegmentation>=1.4.2,<1.5", *CLASSIFICATION]
DETECTION = [
    "onedl-mmdetection>=3.5.1,<3.6",
    "pycocotools>=2.0.10,<2.1",
    "faster-coco-eval>=1.7,<2",
    *CLASSIFICATION,
]
GENERATION = ["diffusers>=0.41,<0.43", "torchdiffeq>=0.2.5,<0.3", *CLASSIFICATION]
EVALUATION = ["torch-fidelity>=0.4,<0.5", "scipy>=1.15,<2", *CLASSIFICATION]
HUB = ["huggingface_hub>=1.33,<3"]
EXPORT = ["onnx>=1.23,<1.24", "onnxruntime>=1.23,<1.33", "onnxscript>=0.7.2,<0.8"]
TRACK = ["wandb>=0.31,<0.32", "mlflow-skinny>=3.17,<4", *RUNS]
ANALYZE = ["grad-cam>=1.5.7,<1.6", "scikit-learn>=1.7,<2", *CLASSIFICATION]
DEMO = ["gradio>=6.31,<7", *CLASSIFICATION]
TOY = ["scikit-learn>=1.7,<2", "scikit-image>=0.25,<0.27", "pycocotools>=2.0.10,<2.1", *SEGMENTATION]
EXTRAS = {
    "cls": CLASSIFICATION,
    "seg": SEGMENTATION,
    "det": DETECTION,
    "gen": GENERATION,
    "eval": EVALUATION,
    "hub": HUB,
    "export": EXPORT,
    "track": TRACK,
    "analyze": ANALYZE,
    "demo": DEMO,
    "toy": TOY,
}

setup(
    name="mmvisionllama",
    version=VERSION,
    description="VisionLLaMA backbones and recipes for the OpenMMLab libraries",
    long_description=README.read_text() if README.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["mmvisionllama", "mmvisionllama.*"]),
    # .mim/configs is a link to configs/, where mmengine looks for bases called mmvisionllama::...
    package_data={
        "mmvisionllama": [
            ".mim/model-index.yml",
            *(f".mim/configs/**/*.{x}" for x in ("py", "json")),
            "tiny_models/*/*",
            "run_reports/templates/*.html",
        ]
    },
    entry_points={"console_scripts": ["mmvisionllama = mmvisionllama.cli.commands:main"]},
    python_requires=">=3.10,<3.14",
    # What a backbone needs, and what of that has to be of a certain version.
    install_requires=[
        "torch>=2.11,<2.14",
        "onedl-mmengine>=0.10.12,<0.11",
        "onedl-mmcv>=2.3.6,<2.4",
        "einops>=0.8,<0.9",
        "jinja2>=3.1,<4",
        "numpy>=2.1,<2.3",
        "opencv-python>=4.12,<4.13",
        "pillow>=12,<14",
        "rich>=14,<16",
        "safetensors>=0.6,<0.9",
    ],
    extras_require={
        **EXTRAS,
        "all": sorted(set().union(*EXTRAS.values())),
        "docs": [
            "mkdocs-material>=9.7,<10",
            "mkdocstrings>=1.0.6,<2",
            "mkdocstrings-python>=2.0.9,<3",
            "nbclient>=0.11,<0.12",
            "ipykernel>=7.3,<8",
            "jupytext>=1.19,<2",
        ],
        "dev": [
            "pytest>=9,<10",
            "pytest-xdist>=3.8,<4",
            "ruff>=0.17,<0.18",
            "selenium>=4.51,<5",
            "webdataset>=1.0.2,<2",
            "timm>=1.0.31,<1.1",
        ],
    },
)
