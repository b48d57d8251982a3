#!/bin/sh
# Run app/check.sh in a container made for it. Arguments go to pytest.
# BASE_IMAGE names the base image; NGINX_IMAGE one of images/nginx-upload, which is built when none is named;
# BUILD_CA a file of certificates, where a proxy needs one; DOCKER the command line of an engine with BuildKit.
set -eu

cd "$(dirname "$0")"
docker=${DOCKER:-docker}
image=${IMAGE:-upload-app-test}

if [ -z "${NGINX_IMAGE:-}" ]; then
    NGINX_IMAGE=nginx-upload:app-test
    DOCKER_BUILDKIT=1 "$docker" build --tag "$NGINX_IMAGE" ${BASE_IMAGE:+--build-arg "BASE_IMAGE=$BASE_IMAGE"} \
        ${BUILD_CA:+--secret "id=build_ca,src=$BUILD_CA"} ../images/nginx-upload
fi

# nginx reads what it reads in compose.yaml, and the tests run what the document says.
conf=/etc/upload/nginx
set -- --volume "$PWD/../compose/nginx.conf:$conf/nginx.conf:ro" \
    --volume "$PWD/../roles/nginx_upload/files/upload_locations.conf:$conf/upload_locations.conf:ro" \
    --volume "$PWD/../docs/protocols.md:/etc/upload/protocols.md:ro" \
    --cap-drop=ALL --network=none --tmpfs=/tmp:exec --shm-size=256m --rm "$image" ./check.sh "$@"
DOCKER_BUILDKIT=1 "$docker" build --target test --tag "$image" \
    ${BASE_IMAGE:+--build-arg "BASE_IMAGE=$BASE_IMAGE"} --build-arg "NGINX_IMAGE=$NGINX_IMAGE" \
    ${BUILD_CA:+--secret "id=build_ca,src=$BUILD_CA"} .
exec "$docker" run "$@"
