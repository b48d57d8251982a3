#!/bin/bash
# Builds the fuzz targets of the module's parsers with clang and its sanitizers, and runs them on their corpora.
#
#   BASE_IMAGE=... [BUILD_CA=bundle.pem] [SECONDS_EACH=10] [CORPUS_OUT=folder] images/nginx-upload/fuzz.sh [target...]
#
# CORPUS_OUT takes the inputs that reached something new and those that broke a target.
set -euo pipefail

: "${BASE_IMAGE:?the image to build on, a root file system of Debian 13}"
cd "$(dirname "$0")"

secret=()
if [[ -n ${BUILD_CA:-} ]]; then
    secret=(--secret "id=build_ca,src=$BUILD_CA")
fi

out=(--tmpfs /out:mode=1777)
if [[ -n ${CORPUS_OUT:-} ]]; then
    mkdir -p "$CORPUS_OUT"
    out=(--volume "$(realpath "$CORPUS_OUT"):/out" --user "$(id -u):$(id -g)")
fi

image=$(DOCKER_BUILDKIT=1 "${DOCKER:-docker}" build --quiet "${secret[@]}" --build-arg "BASE_IMAGE=$BASE_IMAGE" --target fuzz .)

exec "${DOCKER:-docker}" run --rm --network none --read-only --cap-drop ALL \
    --tmpfs /tmp "${out[@]}" \
    --env "SECONDS_EACH=${SECONDS_EACH:-}" \
    "$image" python3 run.py "$@"
