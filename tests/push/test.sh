#!/usr/bin/env bash
# Test push.py with the oldest Python that it is for, where this machine has that one, else with the tools' own.
# Molecule's tests of push.py use the tools' Python anyway. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/../.."

oldest=$(sed -n 's/^# requires-python = ">=\(.*\)"$/\1/p' push.py)
python=
for place in "/usr/bin/python$oldest" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$oldest".*/bin/python; do
    if [ -x "$place" ]; then python=$place; fi
done
if [ -z "$python" ]; then
    echo "There is no Python $oldest here: testing with $(.venv/bin/python --version)"
    exec .venv/bin/pytest tests/push "$@"
fi

with=()
for need in $(sed -n 's/^# dependencies = \[\(.*\)\]$/\1/p' push.py | tr -d '",') pytest rich trustme; do
    with+=(--with "$need")
done
exec .cache/uv/bin/uv run --quiet --isolated --no-project --python "$python" "${with[@]}" pytest tests/push "$@"
