"""The command line: one file a command, which declares its options and prints what the library returns."""
