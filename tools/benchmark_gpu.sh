#!/usr/bin/env bash
# Usage: tools/benchmark_gpu.sh prepare DIR     gather wheels for a machine without network
#        tools/benchmark_gpu.sh run DIR [options]   check and measure there, in less than eight minutes
#
# The machine has torch, torchvision, timm, einops and the usual scientific libraries; DIR/wheels brings the rest,
# and its installation stays in DIR/site. DIR/report gets report.md, records.jsonl and logs.
#
#   TARGET       version of Python there (3.12), of `prepare`
#   PYTHON       interpreter (the repository's .venv, else python)
set -euo pipefail
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/_launch.sh"

# Pure Python, built or fetched; mmcv comes without operators, which mmvisionllama/ops.py replaces.
PURE="onedl-mmengine onedl-mmcv onedl-mmpretrain onedl-mmsegmentation onedl-mmdetection diffusers torchdiffeq
    torch-fidelity addict yapf platformdirs termcolor mat4py modelindex prettytable wcwidth terminaltables ftfy
    importlib_metadata ordered-set model-index"
# Compiled for the machine.
COMPILED="numpy pycocotools shapely faster-coco-eval"

pin() { # pin NAME: the version that the project is tested with, if it has one
    grep -hiE "^${1//[_-]/[_-]}==[^;]*(; python_version >= \"3.11\")?\$" "$repository/requirements.txt" \
        "$repository/constraints.txt" | head -1 | sed 's/;.*//' || true
}

prepare() { # prepare DIR
    local wheels=$1/wheels target=${TARGET:-3.12} name wanted platform platforms=()
    mkdir -p "$wheels"
    for platform in manylinux_2_28_x86_64 manylinux_2_27_x86_64 manylinux_2_17_x86_64 manylinux2014_x86_64; do
        platforms+=(--platform "$platform")
    done
    for name in $PURE; do
        wanted=$(pin "$name")
        [ -n "$wanted" ] || continue # nothing here asks for it any more
        PIP_FIND_LINKS= "$PYTHON" -m pip wheel -q --no-deps --no-cache-dir -w "$wheels" "$wanted"
    done
    for name in $COMPILED; do
        wanted=$(pin "$name")
        "$PYTHON" -m pip download -q --no-deps --only-binary=:all: --python-version "$target" \
            --implementation cp "${platforms[@]}" -d "$wheels" "${wanted:-$name}"
    done
    du -sh "$wheels"
}

run() { # run DIR [OPTION ...]
    local folder=$1
    shift
    if compgen -G "$folder/wheels/*.whl" >/dev/null; then
        "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade \
            --target "$folder/site" "$folder"/wheels/*.whl
        export PYTHONPATH=$PYTHONPATH:$(readlink -f "$folder/site")
    fi
    cd "$repository" # configs are named from here
    exec "$PYTHON" "$tools/_command.py" benchmark-gpu "$folder/report" "$@"
}

case ${1:-} in
    -h | --help) help_if_asked "" _command.py benchmark-gpu --help ;;
    prepare | run) [ $# -ge 2 ] || fail "$1 needs a folder: tools/benchmark_gpu.sh $1 DIR" ;;&
    prepare) prepare "$(readlink -f "$2")" ;;
    run) run "$(readlink -f "$2")" "${@:3}" ;;
    *) fail "choose prepare or run, see tools/benchmark_gpu.sh --help" ;;
esac
