"""Checks before a run starts: model, checkpoint, schedules, and the data of each task."""
