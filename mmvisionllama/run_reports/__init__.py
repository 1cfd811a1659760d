"""Pages about trainings, from what they leave: comparison of runs, report of one, analysis of errors."""
