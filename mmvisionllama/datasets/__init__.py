"""Data sets, transforms and data checks that the hosts do not have."""
