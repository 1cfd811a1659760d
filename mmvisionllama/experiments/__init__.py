"""Studies: several trainings with several seeds, compared in one report."""
