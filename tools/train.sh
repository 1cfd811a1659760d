#!/usr/bin/env bash
# Usage: tools/train.sh CONFIG [options]
#
# Trains on all visible GPUs, or in one process on the CPU.
set -euo pipefail
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/_launch.sh"
run_here train "$@"
