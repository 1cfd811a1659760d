"""Data sets, transforms and data checks that the hosts do not have.

Nothing is imported here: composing DigitScenes needs no host. The registries name the modules they need.
"""
