#!/usr/bin/env bash
# Usage: tools/cache_latents.sh CONFIG [options]
#
# Encodes the training images of a config on all visible GPUs, or in one process on the CPU.
set -euo pipefail
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/_launch.sh"
run_here cache-latents "$@"
