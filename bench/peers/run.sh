#!/usr/bin/env bash
# Measure what each workflow engine costs per task: every line of peers.conf one after another, ROUNDS times over.
# JSON lines, then a table of medians. What is missing of the peers' environments is made first (setup.sh).
#
#   ./run.sh [chain|fanout|wide10ms|firsttask ...]     default: all four
#
#   ROUNDS   3      times through the list of peers
#   REPS     3      runs of a workload in one round, at most ...
#   BUDGET   15     ... and none starts once a workload has taken this many seconds
#   TIMEOUT  600    seconds for one start or one measurement
#   PEERS           only the peers whose label matches this regular expression
#   EXTRA           a file of further lines like those of peers.conf
#   OUT             also write the JSON lines to this file
#
# ./run.sh --table FILE... prints the table of JSON lines written earlier.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-$here/../../.venv/bin/python}
[ -x "$python" ] || { echo "run.sh: there is no $python; make it with: make .venv/ready" >&2; exit 2; }
if [ "${1:-}" != --table ]; then "$here/setup.sh"; fi
exec "$python" -B "$here/drive.py" "$@"
