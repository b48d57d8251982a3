#!/bin/bash
# Health check of the nginx container: asks the running nginx for its health page, without a client in the image.
set -euo pipefail

address=${UPLOAD_HEALTH_ADDRESS:-127.0.0.1:8089}

exec 3<>"/dev/tcp/${address%:*}/${address##*:}"
printf 'GET /nginx-health HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3
read -r -t 5 status <&3

[[ $status == HTTP/1.?' 200 '* ]]
