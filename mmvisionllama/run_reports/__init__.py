"""Pages about trainings, read from their work directories: comparison, report of one run, analysis of errors."""
