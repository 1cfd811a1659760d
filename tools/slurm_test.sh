#!/usr/bin/env bash
# Usage: tools/slurm_test.sh CONFIG CHECKPOINT [options]
#
# Evaluates a checkpoint through srun, inside an allocation (salloc, sbatch) or in one of its own.
set -euo pipefail
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/_launch.sh"
help_if_asked "$REQUEST" test.py "$@"
run_by_srun test.py "$@"
