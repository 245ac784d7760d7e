#!/bin/sh
# systemctl of the same releases: "reboot --no-block" restarts a moment later, and nothing is synced before.
[ "$1" = reboot ] || exit 1
{ sleep 0.5; busybox reboot -n -f; } >/dev/null 2>&1 &
