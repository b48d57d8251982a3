#!/bin/sh
# Made by tools/generate from __app_jobs in roles/app/vars/main.yml.
# Does what is due, every minute, as systemd's timers do on the hosts of the roles.
trap 'exit 0' TERM
minute=0
while :; do
    if [ $((minute % 60)) -eq 0 ]; then
        python manage.py expire_uploads
        python manage.py clearsessions
        python manage.py join_uploads
    fi
    python manage.py record_sample
    touch /tmp/turn
    minute=$((minute + 1))
    sleep 60 & wait $!
done
