"""Trainings on own images: find the data, choose a recipe, write a config that its owner edits."""
