# shellcheck shell=sh
# Sourced by check.sh and reflink.sh: the settings fail closed, so the tests say everything that a deployment would.

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir "$work/incoming" "$work/files" "$work/static"
export UPLOAD_SECRET_KEY="a-key-for-tests-only-and-long-enough-for-the-check-of-it-0123456789"
export UPLOAD_ALLOWED_HOSTS=upload.test
export UPLOAD_DATABASE_URL="sqlite:///$work/db.sqlite3"
export UPLOAD_INCOMING_DIR="$work/incoming"
export UPLOAD_FILES_DIR="$work/files"
export UPLOAD_STATIC_DIR="$work/static"
export UPLOAD_RESERVE_BYTES=0
export RUFF_CACHE_DIR="$work/ruff" MYPY_CACHE_DIR="$work/mypy"
