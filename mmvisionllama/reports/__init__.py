"""Reports of a run: screen, progress, summary, curves, and pictures of each task."""
