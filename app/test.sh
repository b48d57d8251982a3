#!/bin/sh
# Run app/check.sh in a container made for it. Arguments go to pytest.
# BASE_IMAGE names the base image; BUILD_CA a file of certificates, where a proxy needs one;
# DOCKER the command line of an engine with BuildKit.
set -eu

cd "$(dirname "$0")"
docker=${DOCKER:-docker}
image=${IMAGE:-upload-app-test}

set -- --cap-drop=ALL --network=none --tmpfs=/tmp:exec --shm-size=256m --rm "$image" ./check.sh "$@"
DOCKER_BUILDKIT=1 "$docker" build --target test --tag "$image" \
    ${BASE_IMAGE:+--build-arg "BASE_IMAGE=$BASE_IMAGE"} \
    ${BUILD_CA:+--secret "id=build_ca,src=$BUILD_CA"} .
exec "$docker" run "$@"
