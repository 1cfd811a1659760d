"""Data sets and transforms that the hosts do not have, and DigitScenes.

Nothing is imported here: composing DigitScenes needs no host. The registries name the modules they need.
"""
