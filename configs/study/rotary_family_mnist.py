"""Components of the rotary family on MNIST: 0.47 M parameters, trained at 32 px, tested at five sizes.

.venv/bin/python tools/study.py configs/study/rotary_family_mnist.py
"""

_base_ = "../_base_/studies/rotary_family.py"
runs = {
    name: dict(config="configs/toy/rotary_tiny_mnist.py", **run) for name, run in _base_._variants.items()
}
