"""Analyses of models, recipes and data as pictures with numbers; none of them trains anything."""
