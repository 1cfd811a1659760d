from tests.shards.trees import shards, tree  # noqa: F401
