#!/usr/bin/env bash
# Usage: tools/cache_latents.sh CONFIG [options]
#
# Encodes the training images of a config on all visible GPUs, or in one process on the CPU. Variables:
#   GPUS         GPUs of this machine (all visible ones; 0 means the CPU)
#   NPROC        processes on a CPU (1)
#   NNODES       machines (1); then also NODE_RANK, MASTER_ADDR and MASTER_PORT (29500), and this
#                command once on every machine
#   PYTHON       interpreter (the repository's .venv, else python)
set -euo pipefail
here=$(readlink -f "${BASH_SOURCE[0]}")
source "$(dirname "$here")/_launch.sh"
help_if_asked "$here" cache_latents.py "$@"
run_here cache_latents.py "$@"
