"""The command ``mmvisionllama`` of this checkout; the shell scripts here start it."""

from mmvisionllama.cli.commands import main

if __name__ == "__main__":
    raise SystemExit(main())
