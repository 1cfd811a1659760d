"""Nothing may import this file: a test plants its name in a checkpoint."""
