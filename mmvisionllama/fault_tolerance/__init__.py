"""Stopping, watchdog, process state, exact data order, NaN guard and replay."""
