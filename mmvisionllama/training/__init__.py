"""The run: runner, loops, hooks, optimisation, distribution, dry run."""
