#!/usr/bin/env bash
# Usage: tools/slurm_test.sh CONFIG CHECKPOINT [options]
#
# Evaluates a checkpoint through srun, inside an allocation (salloc, sbatch) or in one of its own. Variables:
#   NODES          machines (those of the allocation, else 1)
#   GPUS           GPUs of every machine (those of the allocation, else 1; 0 means CPUs)
#   NPROC          tasks on every machine without GPUs (1)
#   CPUS_PER_TASK  cores of every task, data loading included (8)
#   PARTITION, ACCOUNT, TIME, JOB_NAME, SRUN_ARGS   handed to srun
#   MASTER_ADDR, MASTER_PORT   where tasks meet (first node, a port that follows from the job)
#   PYTHON         interpreter (the repository's .venv, else python)
set -euo pipefail
here=$(readlink -f "${BASH_SOURCE[0]}")
source "$(dirname "$here")/_launch.sh"
help_if_asked "$here" test.py "$@"
run_by_srun test.py "$@"
