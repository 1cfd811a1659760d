"""Sharded data sets: writing them, indexing those of others, verifying them."""
