#!/bin/bash
# Builds the bench stage of the image and compares the module with its peers; the report goes to stdout.
#
#   BASE_IMAGE=... APP_IMAGE=... [BUILD_CA=bundle.pem] [OUT=directory] images/nginx-upload/bench.sh [--quick] [...: --help]
#
# APP_IMAGE is one of app/. OUT is where report.md and results.json are written as well.
set -euo pipefail

: "${BASE_IMAGE:?the image to build on, a root file system of Debian 13}"
: "${APP_IMAGE:?the image of the application, which answers for the tus uploads}"
cd "$(dirname "$0")"

secret=()
if [[ -n ${BUILD_CA:-} ]]; then
    secret=(--secret "id=build_ca,src=$BUILD_CA")
fi

files=()
options=()
if [[ -n ${OUT:-} ]]; then
    files=(--volume "$(realpath "$OUT"):/out")
    options=(--markdown /out/report.md --json /out/results.json)
fi

image=$(DOCKER_BUILDKIT=1 "${DOCKER:-docker}" build --quiet "${secret[@]}" \
    --build-arg "BASE_IMAGE=$BASE_IMAGE" --build-arg "APP_IMAGE=$APP_IMAGE" --target bench .)

# no network but loopback and, for the long line, a device of its own; files go to a disk, what is sent is in memory
exec "${DOCKER:-docker}" run --rm --init --network none --read-only --cap-drop ALL \
    --cap-add NET_ADMIN --device /dev/net/tun \
    --cap-add SYS_NICE --cap-add SETUID --cap-add SETGID --cap-add DAC_OVERRIDE --cap-add KILL \
    --ulimit nofile=16384 \
    --tmpfs /tmp:exec,mode=1777 --tmpfs /source:size=4g \
    --volume /bench \
    --volume "$PWD/../../roles/nginx_upload:/kit:ro" --volume "$PWD/../../compose:/compose:ro" "${files[@]}" \
    "$image" python3 bench.py "${options[@]}" "$@"
