#!/bin/bash
# Builds the test stage of the image and runs every test in it: the C units under sanitizers, then a real nginx.
#
#   BASE_IMAGE=... [BUILD_CA=bundle.pem] [SANITIZE=1] images/nginx-upload/test.sh [pytest arguments]
#
# SANITIZE=1 runs nginx with the module built for the address and undefined-behaviour sanitizers.
set -euo pipefail

: "${BASE_IMAGE:?the image to build on, a root file system of Debian 13}"
cd "$(dirname "$0")"

secret=()
if [[ -n ${BUILD_CA:-} ]]; then
    secret=(--secret "id=build_ca,src=$BUILD_CA")
fi

image=$(DOCKER_BUILDKIT=1 "${DOCKER:-docker}" build --quiet "${secret[@]}" --build-arg "BASE_IMAGE=$BASE_IMAGE" --target test .)

# no network but loopback; a store of one megabyte for the tests of a full disk, and one on a disk for large files
exec "${DOCKER:-docker}" run --rm --network none --read-only --cap-drop ALL \
    --tmpfs /tmp:exec,mode=1777 \
    --tmpfs /full:size=1m,mode=1777 --env UPLOAD_TEST_FULL=/full \
    --volume /large --env UPLOAD_TEST_LARGE=/large \
    --env "UPLOAD_TEST_SANITIZE=${SANITIZE:-}" \
    "$image" python3 -m pytest -p no:cacheprovider "$@"
