# As denoising_loss.py, and the scores of drawn digits over a classifier's features, which is trained before:
# tools/train.sh configs/cls/visionllama_tiny_digits.py
val_evaluator = [
    dict(type="mmvisionllama.DenoisingLoss"),
    dict(
        type="mmvisionllama.GenerationMetric",
        features=dict(
            type="mmvisionllama.ClassifierFeatures",
            config="configs/cls/visionllama_tiny_digits.py",
            checkpoint="work_dirs/visionllama_tiny_digits/iter_1500.pth",
        ),
    ),
]
test_evaluator = val_evaluator
