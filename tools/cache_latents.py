"""Encode the training images of a config once; tools/cache_latents.sh starts one process for every GPU."""

from mmvisionllama.cli.cache_latents import main

if __name__ == "__main__":
    raise SystemExit(main())
