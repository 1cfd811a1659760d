"""What an evaluation that cannot be done is reported as."""


class EvaluationError(ValueError):
    """Images, labels or features that cannot be evaluated as asked."""
