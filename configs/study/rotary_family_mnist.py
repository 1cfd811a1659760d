"""Components of the rotary family on MNIST: 0.47 M parameters, trained at 32 px, tested at five sizes.

.venv/bin/python tools/study.py configs/study/rotary_family_mnist.py
"""

_base_ = "../_base_/studies/rotary_family.py"
_plain = {"custom_hooks": [dict(type="mmvisionllama.RunSummaryHook")]}  # no pictures of so many trainings
runs = {
    name: dict(config="configs/toy/rotary_tiny_mnist.py", label=label, options={**options, **_plain})
    for name, (label, options) in _base_._variants.items()
}
