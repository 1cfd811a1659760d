# Start the Python tools with the right interpreter, here or through SLURM; sourced by the scripts here.

tools=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
repository=$(dirname "$tools")

fail() {
    echo "error: $*" >&2
    exit 2
}

# The interpreter: $PYTHON, else the repository's environment, else `python`.
if [ -z "${PYTHON:-}" ]; then
    PYTHON=python
    [ ! -x "$repository/.venv/bin/python" ] || PYTHON=$repository/.venv/bin/python
fi
command -v "$PYTHON" >/dev/null || fail "no interpreter $PYTHON; run 'make setup' in $repository, or set PYTHON"
export PYTHONPATH=$repository${PYTHONPATH:+:$PYTHONPATH}

require_count() { # require_count NAME VALUE LEAST
    [[ $2 =~ ^[0-9]+$ ]] && [ "$2" -ge "$3" ] || fail "$1=$2 must be a whole number of at least $3"
}

# Print the comment block at the top of the running script, its variables, and the options of its Python tool.
help_if_asked() { # help_if_asked VARIABLES TOOL [ARGUMENT ...]
    local variables=$1 tool=$2 argument
    shift 2
    for argument in "$@"; do
        if [ "$argument" = -h ] || [ "$argument" = --help ]; then
            sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$(readlink -f "$0")"
            printf '\n%s\n  PYTHON       %s\n\n' "$variables" "interpreter (the repository's .venv, else python)"
            exec "$PYTHON" "$tools/$tool" "$@"
        fi
    done
}

# Run a command on this machine, in as many processes as it finds right (mmvisionllama/cli/launch.py).
run_here() { # run_here COMMAND [ARGUMENT ...]
    help_if_asked Variables: _command.py "$@"
    exec "$PYTHON" "$tools/_command.py" "$@"
}

# Turn the variables into options that srun and sbatch share, in the array `request`.
REQUEST='Variables:
  NODES        machines (those of the allocation, else 1)
  GPUS         GPUs of every machine (those of the allocation, else 1; 0 means CPUs)
  NPROC        tasks on every machine without GPUs (1)
  CPUS_PER_TASK  cores of every task, data loading included (8)
  PARTITION, ACCOUNT, TIME, JOB_NAME, SRUN_ARGS   handed to SLURM
  MASTER_ADDR, MASTER_PORT   where tasks meet (first node, a free port)'
request_from_slurm() { # request_from_slurm TOOL
    local tasks
    command -v srun >/dev/null || fail "srun not found: this machine is no part of a SLURM cluster; use tools/${1%.py}.sh"
    # Exported, so that the batch script of a job asks for what the job was given.
    export NODES=${NODES:-${SLURM_NNODES:-1}} GPUS=${GPUS:-${SLURM_GPUS_ON_NODE:-1}}
    export CPUS_PER_TASK=${CPUS_PER_TASK:-${SLURM_CPUS_PER_TASK:-8}}
    require_count NODES "$NODES" 1
    require_count GPUS "$GPUS" 0
    require_count NPROC "${NPROC:-1}" 1
    require_count CPUS_PER_TASK "$CPUS_PER_TASK" 1
    [ "$GPUS" -eq 0 ] || [ -z "${NPROC:-}" ] || fail "NPROC=$NPROC counts tasks on CPUs, so it needs GPUS=0"
    tasks=$((GPUS > 0 ? GPUS : ${NPROC:-1}))
    request=(--job-name "${JOB_NAME:-mmvisionllama}" --nodes "$NODES" --ntasks $((NODES * tasks))
        --ntasks-per-node "$tasks" --cpus-per-task "$CPUS_PER_TASK")
    [ "$GPUS" -eq 0 ] || request+=(--gres "gpu:$GPUS")
    [ -z "${PARTITION:-}" ] || request+=(--partition "$PARTITION")
    [ -z "${ACCOUNT:-}" ] || request+=(--account "$ACCOUNT")
    [ -z "${TIME:-}" ] || request+=(--time "$TIME")
}

# Run a tool through srun, in the allocation around this shell or in one of its own.
run_by_srun() { # run_by_srun TOOL [ARGUMENT ...]
    local tool=$1 request
    shift
    request_from_slurm "$tool"
    # Not every cluster binds a task to its cores: unbound, each would start a thread for every core of the machine.
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$CPUS_PER_TASK}
    export MKL_NUM_THREADS=${MKL_NUM_THREADS:-$OMP_NUM_THREADS}
    # Tasks that were stopped end by a status of their own, one a little before the other: killing the others at
    # once would hide it. So they have a minute. An interrupt of the terminal goes to the tasks.
    # SRUN_ARGS is split into words on purpose.
    # shellcheck disable=SC2086
    exec srun "${request[@]}" --kill-on-bad-exit=0 --wait=60 --disable-status ${SRUN_ARGS:-} \
        "$PYTHON" -u "$tools/$tool" "$@" --launcher slurm
}

# Choose a port that is free on this machine and hold it against other jobs while this shell lives.
reserve_port() { # reserve_port NUMBER; leaves it in MASTER_PORT
    coproc PORT_HOLDER { exec "$PYTHON" "$tools/_hold_port.py" $((10000 + $1 % 20000)); }
    read -r MASTER_PORT <&"${PORT_HOLDER[0]}" || exit 2 # it has said why
    export MASTER_PORT
}
