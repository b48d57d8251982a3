#!/bin/sh
# Lint, types, and the tests against SQLite and then PostgreSQL; app/test.sh runs it in a container.
# Arguments go to pytest, for example `./check.sh -k tokens`.
set -eu

cd "$(dirname "$0")"
# shellcheck source=app/environment.sh
. ./environment.sh

ruff check .
ruff format --check .
mypy .
python manage.py makemigrations --check --dry-run
python manage.py collectstatic --noinput --verbosity 0
python manage.py check --deploy --fail-level WARNING

python -m pytest -p no:cacheprovider "$@"
# These take minutes, and are about curl and nginx more than about what is recorded.
python -m tests.postgresql python -m pytest -p no:cacheprovider \
    --ignore=tests/test_http_versions.py --ignore=tests/test_recipes.py "$@"
