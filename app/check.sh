#!/bin/sh
# Lint, types, and every test against SQLite and then PostgreSQL; app/test.sh runs it in a container.
# Arguments go to pytest, for example `./check.sh -k tokens`.
set -eu

cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The settings fail closed, so the tests say everything that a deployment would.
mkdir "$work/incoming" "$work/files" "$work/static"
export UPLOAD_SECRET_KEY="a-key-for-tests-only-and-long-enough-for-the-check-of-it-0123456789"
export UPLOAD_ALLOWED_HOSTS=upload.test
export UPLOAD_DATABASE_URL="sqlite:///$work/db.sqlite3"
export UPLOAD_INCOMING_DIR="$work/incoming"
export UPLOAD_FILES_DIR="$work/files"
export UPLOAD_STATIC_DIR="$work/static"
export UPLOAD_RESERVE_BYTES=0
export RUFF_CACHE_DIR="$work/ruff" MYPY_CACHE_DIR="$work/mypy"

ruff check .
ruff format --check .
mypy .
python manage.py makemigrations --check --dry-run
python manage.py collectstatic --noinput --verbosity 0
python manage.py check --deploy --fail-level WARNING

python -m pytest -p no:cacheprovider "$@"
python -m tests.postgresql python -m pytest -p no:cacheprovider "$@"
