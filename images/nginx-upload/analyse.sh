#!/bin/bash
# Looks for mistakes in all of the module's C with clang's warnings, clang-tidy and cppcheck, against nginx's headers.
#
#   BASE_IMAGE=... [BUILD_CA=bundle.pem] images/nginx-upload/analyse.sh
#
# module/.clang-tidy and analyse/cppcheck.txt say what does not count, and why.
set -euo pipefail

: "${BASE_IMAGE:?the image to build on, a root file system of Debian 13}"
cd "$(dirname "$0")"

secret=()
if [[ -n ${BUILD_CA:-} ]]; then
    secret=(--secret "id=build_ca,src=$BUILD_CA")
fi

image=$(DOCKER_BUILDKIT=1 "${DOCKER:-docker}" build --quiet "${secret[@]}" --build-arg "BASE_IMAGE=$BASE_IMAGE" --target analyse .)

exec "${DOCKER:-docker}" run --rm --network none --read-only --cap-drop ALL --tmpfs /tmp "$image"
