"""Ranges that the package can live with; `requirements.txt` has the exact versions that are tested."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
VERSION = re.search(r'__version__ = "(.+?)"', (ROOT / "mmvisionllama/__init__.py").read_text()).group(1)
README = ROOT / "README.md"

setup(
    name="mmvisionllama",
    version=VERSION,
    description="VisionLLaMA backbones and recipes for the OpenMMLab libraries",
    long_description=README.read_text() if README.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["mmvisionllama", "mmvisionllama.*"]),
    python_requires=">=3.10,<3.13",
    install_requires=[
        "torch>=2.11,<2.14",
        "torchvision>=0.26,<0.29",
        "onedl-mmengine>=0.10.12,<0.11",
        "onedl-mmcv>=2.3.6,<2.4",
        "onedl-mmpretrain>=1.3.6,<1.4",
        "onedl-mmsegmentation>=1.4.2,<1.5",
        "einops>=0.8,<0.9",
        "safetensors>=0.6,<0.9",
        "numpy>=2.1,<2.3",
        "opencv-python>=4.12,<4.13",
        "pillow>=12,<14",
        "matplotlib>=3.10,<4",
        "scipy>=1.15,<2",
        "scikit-learn>=1.7,<2",
        "scikit-image>=0.25,<0.27",
        "torchdiffeq>=0.2.5,<0.3",
        "torch-fidelity>=0.4,<0.5",
        "rich>=14,<16",
        "tensorboard>=2.20,<3",
    ],
    extras_require={
        "det": ["onedl-mmdetection>=3.5.1,<3.6", "pycocotools>=2.0.10,<2.1", "faster-coco-eval>=1.7,<2"],
        "gen": ["diffusers>=0.42,<0.43"],
        "dev": ["pytest>=9,<10", "ruff>=0.17,<0.18"],
    },
)
