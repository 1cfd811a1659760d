"""Print what every model size sends and holds on 8, 64 and 512 GPUs: the tables of docs/scale.md."""

import argparse

from mmvisionllama import compat


def main(arguments: list[str] | None = None) -> int:
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    compat.prepare()

    from mmvisionllama.benchmark.scale import tables

    print(tables())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
