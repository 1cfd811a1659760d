#!/usr/bin/env bash
# Usage: tools/finetune.sh DATA --task cls|seg|det|pretrain [options]
#
# Finds your data, writes a config for them, and trains by it on all visible GPUs, or in one process on the CPU.
set -euo pipefail
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/_launch.sh"
run_here finetune "$@"
