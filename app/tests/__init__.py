"""Tests by behaviour, a file each; `app/test.sh` runs them against SQLite and PostgreSQL."""
