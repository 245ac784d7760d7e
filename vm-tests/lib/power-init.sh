#!/bin/sh
# /sbin/init of the releases in vm-tests/power.test.ts, in place of systemd: runs what comes from the serial port, line
# by line. The initramfs has mounted all the rest.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty -echo -onlcr
# Errors of the kernel are to be seen, but not in the middle of what commands print.
dmesg -n 3
mount -t tmpfs tmpfs /tmp
# The bundles are on the disk that is not ours.
mount -t squashfs -o ro /dev/vdb /mnt 2>/dev/null || mount -t squashfs -o ro /dev/vda /mnt
echo "<up>"
while read -r line; do
	eval "$line"
done
