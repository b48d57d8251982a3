#!/bin/sh
# Run tests/test_reflink.py on an XFS in a loop device; app/test.sh runs it as root in a container that may mount one.
# Where that is not possible the tests are skipped, with the reason.
set -eu

cd "$(dirname "$0")"
disk=$(mktemp)
store=$(mktemp --directory)
leave() {
    if mountpoint --quiet "$store"; then umount "$store"; fi
    rm -rf "$disk" "$store"
}
trap leave EXIT

truncate --size=1G "$disk"
if said=$({ mkfs.xfs -q -m reflink=1 "$disk" && mount -o loop "$disk" "$store"; } 2>&1); then
    chown 10470:10470 "$store"
    export UPLOAD_TEST_XFS="$store"
else
    export UPLOAD_TEST_NO_XFS="no XFS can be mounted here: $said"
fi

setpriv --reuid=10470 --regid=10470 --clear-groups \
    sh -euc '. ./environment.sh; python -m pytest -p no:cacheprovider tests/test_reflink.py'
