"""Components of the rotary family on MNIST: 0.47 M parameters, trained at 32 px, tested at five sizes.

.venv/bin/python tools/study.py configs/study/rotary_family_mnist.py

Three seeds, means of top-1 at 32 px, as trained, and at 64 px: normalised 76.1, 42.9; AS2DRoPE with a table
71.5, 34.0; AS2DRoPE, the base, 69.4, 33.1; axial 69.4, 23.7; mixed 69.3, 26.3; RMSNorm 68.3, 33.2; QK-norm
68.2, 35.5; normalised with jitter 66.8, 31.1; 4 registers 65.5, 32.1; table alone 57.7, 26.6; GELU 50.1, 20.1
(docs/beyond.md, which has all sizes and the spread).
"""

_base_ = "../_base_/studies/rotary_family.py"
_plain = {"custom_hooks": [dict(type="mmvisionllama.RunSummaryHook")]}  # no pictures of so many trainings
runs = {
    name: dict(config="configs/toy/rotary_tiny_mnist.py", label=label, options={**options, **_plain})
    for name, (label, options) in _base_._variants.items()
}
