#!/usr/bin/env bash
# Usage: tools/test.sh CONFIG CHECKPOINT [options]
#
# Evaluates a checkpoint on all visible GPUs, or in one process on the CPU.
set -euo pipefail
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/_launch.sh"
run_here test "$@"
