"""Hooks, constructors and launching code that the hosts do not have."""
