#!/usr/bin/env bash
# The batch script of a job that tools/slurm_train.sh submits, which describes the variables:
#   _slurm_job.sh TOOLS WORK_DIR CONFIG [options]
#
# It passes a signal to stop on to the tasks, kills them GRACE seconds later, and requeues the job that was stopped.
set -euo pipefail
source "$1/_launch.sh"
work_dir=$2
shift 2
unset PARTITION ACCOUNT TIME # the allocation has them

job=$SLURM_JOB_ID  # as scontrol calls it
restarts=${SLURM_RESTART_COUNT:-0}
asked=             # the first signal to stop
step=              # process id of srun

say() { echo "job $job, start $((restarts + 1)) of at most $((MAX_REQUEUES + 1)): $*"; }

note_signal() { # note_signal NAME
    [ -z "$asked" ] || return 0
    asked=$1
    say "SIG$asked: the tasks have $GRACE s to save and to end"
    [ -z "$step" ] || end_step
}

end_step() {
    kill -USR1 "$step" 2>/dev/null || return 0 # srun passes it on to the tasks
    trap '' USR1 TERM INT # what SLURM sends to every process of this job would end the sleep
    {
        sleep "$GRACE"
        say "not ended within $GRACE s: killing the tasks"
        kill -TERM "$step" # srun kills the tasks
        sleep 10
        kill -KILL "$step"
    } &
}

train() { # train CONFIG [options]; leaves the exit status in `status`
    run_by_srun train.py "$@" &
    step=$!
    [ -z "$asked" ] || end_step
    wait "$step" || true
    while kill -0 "$step" 2>/dev/null; do wait "$step" || true; done # a signal ends a wait
    status=0
    wait "$step" || status=$?
}

for name in USR1 TERM INT; do
    # shellcheck disable=SC2064
    trap "note_signal $name" "$name"
done
stopped=$("$PYTHON" -c 'from mmvisionllama.errors import ExitStatus; print(int(ExitStatus.STOPPED))')

# Array tasks neither share a work directory nor requeue each other.
if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then
    job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
    [[ $work_dir == *%a* ]] || work_dir+=/%a
    work_dir=${work_dir//%a/$SLURM_ARRAY_TASK_ID}
    set -- "${@//%a/$SLURM_ARRAY_TASK_ID}"
fi
[ -n "${MASTER_PORT:-}" ] || reserve_port $((SLURM_JOB_ID * 16))

say "training in $work_dir on $SLURM_JOB_NODELIST, port $MASTER_PORT"
# The training notes this number in its folder, so that a restart goes on with nothing but its own.
export MMVISIONLLAMA_JOB=$SLURM_JOB_ID
if [ "$restarts" -gt 0 ]; then
    mkdir -p "$work_dir"
    saved=$("$PYTHON" -m mmvisionllama.checkpoint newest "$work_dir" --job "$SLURM_JOB_ID") ||
        { status=$? && say "failed with status $status: not requeued" && exit "$status"; }
    if [ -n "$saved" ]; then
        say "going on from $saved"
        set -- "$@" --resume "$saved"
    else
        say "nothing was saved, so it begins as it was submitted"
    fi
fi
train "$@" --work-dir "$work_dir"

case $status in
    0) say "finished" && exit ;;
    "$stopped") say "stopped, and everything is saved" ;;
    130 | 138 | 143) say "stopped by a signal before it could save" ;;
    *)
        # 137: killed, by this script or by an srun that was told to end.
        [ "$status" -eq 137 ] && [ -n "$asked" ] || { say "failed with status $status: not requeued" && exit "$status"; }
        say "killed before it could save"
        ;;
esac
state=$(squeue --noheader --jobs "$job" --format %T)
if [ "$state" != RUNNING ]; then # it was cancelled, or an operator has requeued it
    say "not requeued from here, since SLURM is ending it ($state)"
elif [ "$restarts" -ge "$MAX_REQUEUES" ]; then
    say "not requeued: MAX_REQUEUES=$MAX_REQUEUES; submit it again with --resume"
else
    say "requeueing"
    trap '' USR1 TERM INT # SLURM ends this script now
    scontrol requeue "$job" && exit
fi
exit "$stopped"
