#!/usr/bin/env bash
# Usage: tools/reproduce.sh TABLE [--row NAME ...] [options]
#
# Runs the chains of a table of the paper, each link by the script for it; --list shows them (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/_launch.sh"
exec "$PYTHON" "$tools/reproduce.py" "$@"
