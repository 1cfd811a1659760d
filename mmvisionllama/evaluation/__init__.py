"""Metrics that the hosts do not have."""
