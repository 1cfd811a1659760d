#!/usr/bin/env bash
# Build, complete or update the virtual environment .venv of this repository; does nothing when it is up to date.
#
#   PYTHON=python3.11 tools/make_env.sh [--again]
#
# --again runs every step over a finished environment too. PIP_FIND_LINKS may name folders with ready-made wheels.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
base=${PYTHON:-python3}
venv=$root/.venv
python=$venv/bin/python
stamp=$venv/.complete
log=$venv/setup.log
version=  # of $base; set by check_python
watcher=  # process id, while a step runs

exec 3>&2  # an interrupt may strike while a step's output goes to the log
say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: error: %s\n' "$*" >&3; exit 1; }
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }
supported() { case $1 in 3.10 | 3.11 | 3.12) ;; *) false ;; esac }
pin() { sed -n "s/^\($1==[^; ]*\).*/\1/p" "$root/requirements.txt"; }
cores() { echo "${MAX_JOBS:-$(nproc)}"; }
have_nvcc() { command -v nvcc >/dev/null || [[ -x ${CUDA_HOME:-/usr/local/cuda}/bin/nvcc ]]; }

# --- what must be true before any long work ---------------------------------------------------------------------

check_python() {
    local candidate fix="install Python 3.11, then PYTHON=python3.11 make setup"
    version=$(version_of "$base") || version="missing or does not run"
    supported "$version" && return
    for candidate in python3.12 python3.11 python3.10; do
        supported "$(version_of "$candidate")" && fix="PYTHON=$candidate make setup" && break
    done
    die "Python 3.10, 3.11 or 3.12 is needed; '$base' is $version. Fix: $fix"
}

check_venv_module() {
    "$base" -c 'import venv, ensurepip' 2>/dev/null ||
        die "'$base' has no venv or no pip of its own. Fix: sudo apt-get install python$version-venv"
}

check_disk() {
    local free_mb
    free_mb=$(df -Pm "$root" | awk 'NR == 2 { print $4 }')
    ((free_mb >= 3000)) ||
        die "$root has $free_mb MB free; 3000 MB are needed (10000 with CUDA). Fix: free some space there"
}

# One tiny program answers for the compiler, its standard library and Python's headers.
check_compiler() {
    local cxx=${CXX:-c++} include
    include=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
    command -v "${cxx%% *}" >/dev/null ||
        die "no working wheel of $(pin onedl-mmcv), and no C++ compiler ('$cxx') to build it with." \
            "Fix: sudo apt-get install g++, or name a folder with the wheel in PIP_FIND_LINKS"
    printf '#include <Python.h>\n#include <vector>\n' | $cxx -x c++ -fsyntax-only -I"$include" - 2>/dev/null ||
        die "'$cxx' cannot compile against Python's headers in $include." \
            "Fix: sudo apt-get install g++ python$version-dev"
}

# --- steps ------------------------------------------------------------------------------------------------------

# Every half minute (every second on a terminal): time gone by, and how far the compiler is or pip's last line.
watch_log() {
    local began=$SECONDS pause=30 start=$'      ' end=$'\n' latest
    [[ -t 1 ]] && pause=1 start=$'\r\033[K      ' end=''
    while sleep "$pause" >/dev/null 2>&1 3>&- && kill -0 $$ 2>/dev/null; do
        latest=$(tail -n 60 "$log" | grep -o '^ *\[[0-9]*/[0-9]*\]' | tail -n 1) || latest=$(tail -n 1 "$log")
        printf '%s%d:%02d  %.80s%s' "$start" $(((SECONDS - began) / 60)) $(((SECONDS - began) % 60)) "$latest" "$end"
    done
}

stop_watcher() {
    [[ -z $watcher ]] && return
    kill "$watcher" 2>/dev/null || true
    wait "$watcher" 2>/dev/null || true
    watcher=
}

# step TITLE COMMAND...: the command's output goes to the log; a failure shows the end of it.
step() {
    local title=$1 status=0
    shift
    say "$title"
    printf '\n== %s\n$ %s\n' "$title" "$*" >>"$log"
    watch_log 3>&- &
    watcher=$!
    # bash itself may complain of children that end while it handles an interrupt: into the log with that.
    exec 2>>"$log"
    "$@" >>"$log" 2>&1 </dev/null || status=$?
    stop_watcher
    exec 2>&3
    [[ -t 1 ]] && printf '\r\033[K'
    ((status == 0)) && return
    tail -n 15 "$log" >&2
    die "'$title' failed (status $status); all output is in $log. Fix the cause above, then make setup: it continues"
}

pip_install() { "$python" -m pip install --no-build-isolation -c "$root/constraints.txt" "$@"; }

create_venv() {
    check_venv_module
    check_disk
    "$base" -m venv --clear "$venv" || die "'$base -m venv $venv' failed. Fix the cause above, then make setup"
}

# Where mmcv and its compiled operators come from: "installed", "wheel" or "source". Only a wheel that an index or
# a folder offers counts as one: pip's own cache may hold one that was built without operators.
mmcv_origin() {
    if "$python" -m pip list --format=freeze 2>/dev/null | grep -x "$(pin onedl-mmcv)" >/dev/null &&
        mmcv_operators_load; then
        echo installed
    elif "$python" -m pip download --no-deps --only-binary=:all: --dest "$venv/wheels" "$(pin onedl-mmcv)" >>"$log" 2>&1
    then
        echo wheel
    else
        echo source
    fi
}

mmcv_operators_load() { "$python" -c 'import torch, mmcv._ext' >>"$log" 2>&1; }

compile_mmcv() {
    # -g0 halves the time. Without nvcc only the operators for the CPU can be built, and only if torch sees no GPU.
    have_nvcc || export CUDA_VISIBLE_DEVICES=''
    CFLAGS="-g0 ${CFLAGS:-}" MAX_JOBS=$(cores) pip_install --verbose --no-deps "$@" "$(pin onedl-mmcv)"
}

build() {
    local origin title="3/5 mmcv" compiling
    : >>"$log"
    compiling="compiling its operators takes about $((20 / $(cores) + 1)) min on $(cores) cores"
    origin=$(mmcv_origin)
    if [[ $origin == source ]]; then
        check_compiler
        title+=": $compiling (seconds if pip kept them)"
        [[ -n $(command -v nvidia-smi) ]] && ! have_nvcc &&
            say "no nvcc: mmcv's operators will run on the CPU only. Fix: install the CUDA toolkit, then make setup"
    fi
    say "all output goes to .venv/setup.log"
    step "1/5 build tools" pip_install --upgrade pip setuptools wheel ninja
    step "2/5 torch (200 MB for CPU, 3 GB with CUDA)" pip_install "$(pin torch)"
    [[ $origin == wheel ]] && step "$title, ready-made" pip_install --no-deps --no-index --find-links "$venv/wheels" "$(pin onedl-mmcv)"
    [[ $origin == source ]] && step "$title" compile_mmcv
    step "4/5 libraries (about a minute)" pip_install -r "$root/requirements.txt"
    if ! mmcv_operators_load; then
        check_compiler
        step "4/5 mmcv's operators do not load; $compiling" \
            compile_mmcv --force-reinstall --no-cache-dir --no-binary onedl-mmcv
        mmcv_operators_load || die "mmcv was compiled, but its operators do not load; see the end of $log"
    fi
    step "5/5 this package, editable" pip_install --no-deps -e "$root"
    rm -rf "$venv/wheels"
}

main() {
    local key again=${1:-}
    [[ -z $again || $again == --again ]] || die "unknown argument '$again'; allowed: --again"
    trap stop_watcher EXIT
    trap 'die "interrupted; make setup continues where it stopped"' INT TERM
    check_python
    # The path is in the key because scripts and the editable install name it: a moved checkout is set up again.
    key="$version $root $(cd "$root" && cat requirements.txt constraints.txt setup.py tools/make_env.sh | cksum)"
    [[ -z $again && -f $stamp && $(<"$stamp") == "$key" ]] && return

    if [[ ! -e $venv ]]; then
        say "building .venv with Python $version"
        create_venv
    elif [[ $(version_of "$python") != "$version" ]] || ! "$python" -m pip --version >/dev/null 2>&1; then
        say ".venv does not run with Python $version: starting it afresh"
        create_venv
    elif [[ ! -f $stamp ]]; then
        say ".venv is half-built (set-up did not finish): continuing"
    elif [[ -n $again ]]; then
        say "running every step again"
    else
        say "requirements changed: updating .venv"
    fi
    rm -f "$stamp"
    build
    printf '%s\n' "$key" >"$stamp.part"
    mv "$stamp.part" "$stamp"
    say ".venv is ready"
}

main "$@"
