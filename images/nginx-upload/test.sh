#!/bin/bash
# Builds the test stage of the image and runs every test in it: the C units under sanitizers, then a real nginx.
#
#   BASE_IMAGE=... [BUILD_CA=bundle.pem] [SANITIZE=1 | VALGRIND=1] [PURGE=1] images/nginx-upload/test.sh [pytest arguments]
#
# SANITIZE=1 compiles nginx and the module from source with the address and undefined-behaviour sanitizers, VALGRIND=1 for
# valgrind, which takes about half an hour. PURGE=1 removes the image afterwards.
set -euo pipefail

: "${BASE_IMAGE:?the image to build on, a root file system of Debian 13}"
cd "$(dirname "$0")"

secret=()
if [[ -n ${BUILD_CA:-} ]]; then
    secret=(--secret "id=build_ca,src=$BUILD_CA")
fi

target=(--target test)
watcher=
if [[ -n ${SANITIZE:-} ]]; then
    target=(--target test-watched --build-arg "SANITIZERS=-fsanitize=address,undefined")
    watcher=sanitizers
elif [[ -n ${VALGRIND:-} ]]; then
    target=(--target test-watched)
    watcher=valgrind
fi

image=$(DOCKER_BUILDKIT=1 "${DOCKER:-docker}" build --quiet "${secret[@]}" --build-arg "BASE_IMAGE=$BASE_IMAGE" "${target[@]}" .)
if [[ ${PURGE:-} == 1 ]]; then
    trap '"${DOCKER:-docker}" image rm "$image" >/dev/null' EXIT
fi

# no network but loopback; what an nginx that begins as root needs, which no test is; a store of one megabyte for the
# tests of a full disk, one on a file system that cannot be written, and one on a disk for large files
"${DOCKER:-docker}" run --rm --network none --read-only \
    --cap-drop ALL --cap-add CHOWN --cap-add DAC_OVERRIDE --cap-add SETGID --cap-add SETUID \
    --tmpfs /tmp:exec,mode=1777 \
    --tmpfs /full:size=1m,mode=1777 --env UPLOAD_TEST_FULL=/full \
    --tmpfs /readonly:ro,mode=1777 --env UPLOAD_TEST_READONLY=/readonly \
    --volume /large --env UPLOAD_TEST_LARGE=/large \
    --env "UPLOAD_TEST_WATCHER=$watcher" \
    "$image" python3 -m pytest -p no:cacheprovider "$@"
