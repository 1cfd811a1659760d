# As digits_gen.py, and validations score what they draw, over a classifier's features. Train it first:
# tools/train.sh configs/toy/visionllama_tiny_digits.py
_base_ = "./digits_gen.py"
val_evaluator = [
    _base_.val_evaluator,
    dict(
        type="mmvisionllama.GenerationMetric",
        features=dict(
            type="mmvisionllama.ClassifierFeatures",
            config="configs/toy/visionllama_tiny_digits.py",
            checkpoint="work_dirs/visionllama_tiny_digits/iter_1500.pth",
        ),
    ),
]
test_evaluator = val_evaluator
