#!/usr/bin/env bash
# Usage: tools/slurm_train.sh CONFIG [options]
#
# Submits a training that stops in time, requeues itself and goes on until it is finished (docs/slurm.md).
# Inside an allocation (salloc, sbatch) it trains there at once, through srun.
set -euo pipefail
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/_launch.sh"
help_if_asked "$REQUEST
  OUTPUT       file of the job's output (work_dirs/slurm/%x-%j.out: name and number of the job)
  GRACE        seconds from the signal to stop until the tasks are killed (120)
  MAX_REQUEUES how often the job may start again (30)
  ARRAY        job array, e.g. 0-3%2; task N trains in DIR/N, and %a in the options becomes N
  SBATCH_ARGS  more options for sbatch" train.py "$@"
[ -z "${SLURM_JOB_ID:-}" ] || run_by_srun train.py "$@"

request_from_slurm train.py
export GRACE=${GRACE:-120} MAX_REQUEUES=${MAX_REQUEUES:-30}
require_count GRACE "$GRACE" 1
require_count MAX_REQUEUES "$MAX_REQUEUES" 0

# A mistake in the config is worth knowing before the queue, and only the config knows its work directory.
arguments=("$@")
stand_in=90909 # for the number of an array task
[ -z "${ARRAY:-}" ] || arguments=("${@//%a/$stand_in}")
facts=$("$PYTHON" "$tools/_read_config.py" "${arguments[@]}")
{ read -r name && read -r work_dir; } <<<"$facts"

export JOB_NAME=${JOB_NAME:-$name}
OUTPUT=${OUTPUT:-work_dirs/slurm/%x-$([ -z "${ARRAY:-}" ] && echo %j || echo %A_%a).out}
mkdir -p "$(dirname "$OUTPUT")"
request+=(--job-name "$JOB_NAME" --output "$OUTPUT" --open-mode append --requeue --export ALL
    --signal "B:USR1@$((GRACE + 30))")
[ -z "${ARRAY:-}" ] || request+=(--array "$ARRAY")
# SBATCH_ARGS is split into words on purpose.
# shellcheck disable=SC2086
job=$(sbatch --parsable "${request[@]}" ${SBATCH_ARGS:-} "$tools/_slurm_job.sh" "$tools" \
    "${work_dir//$stand_in/%a}" "$@")
job=${job%%;*}
[ -n "${ARRAY:-}" ] || OUTPUT=${OUTPUT//%j/$job}
echo "Submitted job $job, which trains in ${work_dir//$stand_in/%a}; its output: ${OUTPUT//%x/$JOB_NAME}"
