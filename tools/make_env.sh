#!/usr/bin/env bash
# Build, complete or update the virtual environment .venv of this repository; does nothing when it is up to date.
#
#   PYTHON=python3.11 tools/make_env.sh [--again]
#
# --again runs every step over a finished environment too. No compiler is needed: mmcv comes without compiled
# operators (mmvisionllama/ops.py serves), or with them where PIP_FIND_LINKS names a folder with such a wheel.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
base=${PYTHON:-python3}
venv=$root/.venv
python=$venv/bin/python
stamp=$venv/.complete
log=$venv/setup.log
version= # of $base; set by check_python
running= # process id of a step's command

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: error: %s\n' "$*" >&2; exit 1; }
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }
supported() { case $1 in 3.10 | 3.11 | 3.12 | 3.13) ;; *) false ;; esac }

# --- what must be true before any long work ---------------------------------------------------------------------

check_python() {
    local candidate fix="install Python 3.11, then PYTHON=python3.11 make setup"
    version=$(version_of "$base") || version="missing or does not run"
    supported "$version" && return
    for candidate in python3.13 python3.12 python3.11 python3.10; do
        supported "$(version_of "$candidate")" && fix="PYTHON=$candidate make setup" && break
    done
    die "Python 3.10, 3.11, 3.12 or 3.13 is needed; '$base' is $version. Fix: $fix"
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

# --- steps ------------------------------------------------------------------------------------------------------

# step TITLE COMMAND...: the command's output goes to the log, with a sign of life on the terminal (every second)
# or in a log of CI (every half minute); a failure shows the end of it.
step() {
    local title=$1 status=0 began=$SECONDS shown=$SECONDS latest='' ended='' line output
    local pause=30 start='      ' end=$'\n'
    shift
    [[ -t 1 ]] && pause=1 start=$'\r\033[K      ' end=''
    say "$title"
    printf '\n== %s\n$ %s\n' "$title" "$*" >>"$log"
    # Read by this shell itself: another process that watches would have to be stopped, and complains when it is.
    rm -f "$venv/.output"
    mkfifo "$venv/.output"
    "$@" >"$venv/.output" 2>&1 </dev/null &
    running=$!
    exec {output}<"$venv/.output"
    while true; do
        if IFS= read -r -t 1 -u "$output" line; then
            printf '%s\n' "$line" >>"$log"
            latest=$line
        else
            (($? > 128)) || ended=yes # more is the time-out
            printf '%s' "$line" >>"$log"
            [[ -z $ended ]] || break
        fi
        ((SECONDS - shown < pause)) && continue
        shown=$SECONDS
        printf '%s%d:%02d  %.80s%s' "$start" $(((shown - began) / 60)) $(((shown - began) % 60)) "$latest" "$end"
    done
    exec {output}<&-
    wait "$running" || status=$?
    running=
    [[ -t 1 ]] && printf '\r\033[K'
    ((status == 0)) && return
    tail -n 15 "$log" >&2
    die "'$title' failed (status $status); all output is in $log. Fix the cause above, then make setup: it continues"
}

interrupted() {
    if [[ -n $running ]]; then # a Ctrl-C does not reach it
        kill "$running" 2>/dev/null || true
        wait "$running" || true
    fi
    die "interrupted; make setup continues where it stopped"
}

create_venv() {
    check_venv_module
    check_disk
    "$base" -m venv --clear "$venv" || die "'$base -m venv $venv' failed. Fix the cause above, then make setup"
}

build() {
    local pins=(-c "$root/constraints.txt")
    say "all output goes to .venv/setup.log"
    step "1/2 pip" "$python" -m pip install "${pins[@]}" --upgrade pip
    step "2/2 torch (200 MB for CPU, 3 GB with CUDA), libraries, this package" \
        "$python" -m pip install --no-compile "${pins[@]}" --build-constraint "$root/constraints.txt" \
        -r "$root/requirements.txt" -e "$root"
    # Python compiles a module where it is first used and keeps the result. Where the environment forbids that, as
    # images of containers often do, every command would compile all it imports anew: some 20 s.
    [[ -z ${PYTHONDONTWRITEBYTECODE:-} ]] || step "3/3 bytecode, as PYTHONDONTWRITEBYTECODE is set" compile
}

compile() {
    # A file of torch is for later versions of Python, and does not compile here.
    "$python" -m compileall -q -j 0 "$venv/lib" "$root/mmvisionllama" || true
}

main() {
    local key again=${1:-}
    [[ -z $again || $again == --again ]] || die "unknown argument '$again'; allowed: --again"
    trap interrupted INT TERM
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
