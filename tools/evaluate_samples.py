"""Hold generated images against real ones: FID, sFID, Inception Score, precision, recall, class accuracy."""

from mmvisionllama.cli.evaluate_samples import main

if __name__ == "__main__":
    raise SystemExit(main())
