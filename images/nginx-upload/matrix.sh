#!/bin/bash
# Runs test.sh with the nginx of three Debian releases: 12, 13 and sid.
#
#   BASE_IMAGE=... [BUILD_CA=bundle.pem] [SUITES=...] [PURGE=1] images/nginx-upload/matrix.sh [pytest arguments]
#
# SUITES are the releases to run instead of "bookworm trixie sid". BASE_IMAGE is Debian 13; the role base_image makes
# the other two, with Ansible. They are kept and used again as they are: PURGE=1 removes them, and what the tests built.
set -euo pipefail

: "${BASE_IMAGE:?the image to build on, a root file system of Debian 13}"
cd "$(dirname "$0")/../.."
docker=${DOCKER:-docker}
read -ra suites <<< "${SUITES:-bookworm trixie sid}"
log=$(mktemp -d)
trap 'rm -rf "$log"' EXIT

# Where sid comes from: it has no updates, and a mirror may lag behind the day until which its index is valid.
sid='"base_image_sources": ["deb [check-valid-until=no] http://deb.debian.org/debian sid main"]'

make_base() {
    local become
    read -ra become <<< "$(tools/become)"
    ansible --inventory inventories/local upload --become "${become[@]}" \
        --module-name ansible.builtin.include_role --args name=base_image \
        --extra-vars "{\"base_image_registry_ref\": \"\", \"base_image_suite\": \"$1\"$([[ $1 != sid ]] || echo ", $sid")}"
}

newest_base() {
    "$docker" image ls --filter "reference=upload-base:$1-*" --format '{{.Repository}}:{{.Tag}}' | head -n 1
}

run() {
    local suite=$1 base=$BASE_IMAGE
    shift
    if [[ $suite != trixie ]]; then
        make_base "$suite" || return
        base=$(newest_base "$suite")
    fi
    BASE_IMAGE=$base images/nginx-upload/test.sh "$@" || return
}

seconds=$SECONDS
status=0
for suite in "${suites[@]}"; do
    echo "==> $suite"
    run "$suite" "$@" 2>&1 | tee "$log/$suite" || status=1
done
if [[ ${PURGE:-} == 1 ]]; then
    for suite in "${suites[@]}"; do
        [[ $suite != trixie ]] || continue
        base=$(newest_base "$suite")
        [[ -z $base ]] || "$docker" image rm "$base" || status=1
    done
fi

echo "==> the releases"
for suite in "${suites[@]}"; do
    if ! closing=$(grep -E '(passed|failed|error).* in [0-9.]+s' "$log/$suite" | tail -n 1 | tr -d '='); then
        # apt's reason, where it is one of the archive
        closing=" 1 error: no test ran: $(grep -m 1 -oE 'E: .*' "$log/$suite" || echo 'the image could not be built')"
    fi
    printf '%-9s %-14s%s\n' "$suite" "$(grep -m 1 -oE 'nginx/[0-9.]+' "$log/$suite" || true)" "$closing"
done | tee "$log/summary"
awk -v seconds=$((SECONDS - seconds)) '
    { while (match($0, /[0-9]+ (passed|failed|errors?|skipped)/)) {
          split(substr($0, RSTART, RLENGTH), a, " ")
          sub(/s$/, "", a[2]); n[a[2]] += a[1]; $0 = substr($0, RSTART + RLENGTH) } }
    END { split("failed passed skipped error", order, " ")
          for (i = 1; i in order; i++) { if (n[order[i]]) { line = line (line ? ", " : "") n[order[i]] " " order[i] } }
          printf "%s in %d.00s\n", line, seconds }
' "$log/summary"
exit "$status"
