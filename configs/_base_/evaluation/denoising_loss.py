# The loss of held-out images under noise that is always the same.
val_evaluator = dict(type="mmvisionllama.DenoisingLoss")
test_evaluator = val_evaluator
