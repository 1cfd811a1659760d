"""Components of the rotary family on DigitScenes: 0.47 M parameters, trained at 32 px, tested at five sizes.

.venv/bin/python tools/study.py configs/study/rotary_family_digitscenes.py

Three seeds, means of top-1 at 32 px, as trained, and at 64 px: mixed 49.9, 28.1; QK-norm 49.1, 30.1;
normalised 46.2, 25.7; RMSNorm 44.3, 22.4; AS2DRoPE, the base, 42.9, 24.3; axial 42.9, 23.0; normalised with
jitter 42.0, 23.9; AS2DRoPE with a table 40.8, 23.1; 4 registers 37.9, 18.5; table alone 37.3, 20.5; GELU
27.6, 21.5. docs/beyond.md has all sizes and the spread.
"""

_base_ = "../_base_/studies/rotary_family.py"
_plain = {"custom_hooks": [dict(type="mmvisionllama.RunSummaryHook")]}  # no pictures of so many trainings
runs = {
    name: dict(config="configs/toy/rotary_tiny_digitscenes.py", label=label, options={**options, **_plain})
    for name, (label, options) in _base_._variants.items()
}
