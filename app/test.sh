#!/bin/sh
# Run app/check.sh in a container made for it, and app/reflink.sh in one that may mount a file system.
# Arguments go to pytest, and leave the second one out.
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

DOCKER_BUILDKIT=1 "$docker" build --target test --tag "$image" \
    ${BASE_IMAGE:+--build-arg "BASE_IMAGE=$BASE_IMAGE"} --build-arg "NGINX_IMAGE=$NGINX_IMAGE" \
    ${BUILD_CA:+--secret "id=build_ca,src=$BUILD_CA"} .

# nginx reads what it reads in compose.yaml, and the tests run what the document says.
conf=/etc/upload/nginx
run() {
    "$docker" run --volume "$PWD/../compose/nginx.conf:$conf/nginx.conf:ro" \
        --volume "$PWD/../roles/nginx_upload/files/upload_locations.conf:$conf/upload_locations.conf:ro" \
        --volume "$PWD/../docs/protocols.md:/etc/upload/protocols.md:ro" \
        --network=none --tmpfs=/tmp:exec --shm-size=256m --rm "$@"
}

run --cap-drop=ALL "$image" ./check.sh "$@"
if [ $# -eq 0 ]; then
    for device in /dev/loop-control /dev/loop[0-9]*; do
        if [ -e "$device" ]; then set -- "$@" --device "$device"; fi
    done
    run --user=0 --cap-add=SYS_ADMIN --security-opt=apparmor=unconfined --security-opt=seccomp=unconfined \
        "$@" "$image" ./reflink.sh
fi
