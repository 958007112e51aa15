#!/usr/bin/env bash
# Make the peers' environments from requirements/, each once: under ${PEERS_DIR:-~/.cache/headwater/peers}, made anew
# when its requirements have changed.
#
#   ./setup.sh [dask|p1|p3|air|dag ...]     default: all of them
#
# PYTHON names the interpreter (default python3.11: the versions were chosen with 3.11).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=${PEERS_DIR:-$HOME/.cache/headwater/peers}
python=${PYTHON:-python3.11}
[ $# -gt 0 ] || set -- dask p1 p3 air dag
for name; do
    wanted=$here/requirements/$name.txt
    [ -f "$wanted" ] || { echo "setup.sh: there is no environment \"$name\"; there are: dask p1 p3 air dag" >&2; exit 2; }
    if cmp -s "$wanted" "$dir/$name/made-from"; then continue; fi
    echo "== $name"
    mkdir -p "$dir"
    "$python" -m venv --clear "$dir/$name"
    "$dir/$name/bin/python" -m pip install --quiet --disable-pip-version-check -r "$wanted"
    "$dir/$name/bin/python" -m pip check
    cp "$wanted" "$dir/$name/made-from"
done
