# Start one of the Python tools with the right interpreter and number of processes; sourced by the scripts here.

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

# Print the comment block at the top of a script, then the options of its Python tool.
help_if_asked() { # help_if_asked SCRIPT TOOL [ARGUMENT ...]
    local script=$1 tool=$2 argument
    shift 2
    for argument in "$@"; do
        if [ "$argument" = -h ] || [ "$argument" = --help ]; then
            sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$script"
            echo
            exec "$PYTHON" "$tools/$tool" --help
        fi
    done
}

# Share the cores among the processes of a machine, which would otherwise each start a thread for every core.
share_cores() { # share_cores PROCESSES
    local each=$(($(nproc) / $1))
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((each > 0 ? each : 1))}
    export MKL_NUM_THREADS=${MKL_NUM_THREADS:-$OMP_NUM_THREADS}
}

# Run a tool in one process, or through torchrun in several.
run_here() { # run_here TOOL [ARGUMENT ...]
    local tool=$1 visible processes nodes=${NNODES:-1} meeting
    shift
    visible=$("$PYTHON" -c 'import torch; print(torch.cuda.device_count())') ||
        fail "$PYTHON cannot import torch; run 'make setup' in $repository, or set PYTHON"
    require_count NNODES "$nodes" 1
    require_count GPUS "${GPUS:-$visible}" 0
    require_count NPROC "${NPROC:-1}" 1
    [ "${GPUS:-$visible}" -le "$visible" ] ||
        fail "GPUS=$GPUS, but $visible are visible; for several processes on CPUs set NPROC"
    if [ "${GPUS:-$visible}" -gt 0 ]; then
        [ -z "${NPROC:-}" ] || fail "NPROC=$NPROC counts processes on CPUs: choose GPUs by GPUS=n, or CPUs by GPUS=0"
        processes=${GPUS:-$visible}
    else
        export CUDA_VISIBLE_DEVICES=
        processes=${NPROC:-1}
    fi
    if [ "$nodes" -eq 1 ] && [ "$processes" -eq 1 ]; then
        exec "$PYTHON" "$tools/$tool" "$@" --launcher none
    fi
    if [ "$nodes" -eq 1 ]; then
        meeting=(--standalone) # takes a free port
    else
        [ -n "${NODE_RANK:-}" ] || fail "NNODES=$nodes needs NODE_RANK, 0 to $((nodes - 1)) on the respective machine"
        require_count NODE_RANK "$NODE_RANK" 0
        [ "$NODE_RANK" -lt "$nodes" ] || fail "NODE_RANK=$NODE_RANK must be below NNODES=$nodes"
        [ -n "${MASTER_ADDR:-}" ] || fail "NNODES=$nodes needs MASTER_ADDR, the address of the machine with NODE_RANK=0"
        meeting=(--nnodes "$nodes" --node-rank "$NODE_RANK" --master-addr "$MASTER_ADDR"
            --master-port "${MASTER_PORT:-29500}")
    fi
    share_cores "$processes"
    # After -- torchrun takes no option of the tool, such as --num, for a short form of its own.
    exec "$PYTHON" "$tools/_torchrun.py" "${meeting[@]}" --nproc-per-node "$processes" \
        -- "$tools/$tool" "$@" --launcher pytorch
}

# Turn the variables into options that srun and sbatch share, in the array `request`.
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

# Choose a port that is free on this machine and hold it against other jobs while this shell and its children live.
reserve_port() { # reserve_port NUMBER; leaves it in MASTER_PORT
    local port holder
    for ((port = 10000 + $1 % 20000; port < 32768; port++)); do
        { exec {holder}>"/tmp/mmvisionllama-port-$port"; } 2>/dev/null || continue # another user's
        if flock --nonblock "$holder" &&
            "$PYTHON" -c 'import socket, sys; socket.socket().bind(("", int(sys.argv[1])))' "$port" 2>/dev/null; then
            export MASTER_PORT=$port
            return
        fi
        exec {holder}>&-
    done
    fail "no free port from $((10000 + $1 % 20000)) on; set MASTER_PORT"
}
