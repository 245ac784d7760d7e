# Shared by the pine-update scripts of the initramfs. busybox sh or dash.

# The value of the last "pine.<name>=" on the kernel command line; empty where there is none.
pine_arg() {
	local word value=""
	for word in $(cat /proc/cmdline); do
		case "$word" in
		"pine.$1="*) value=${word#*=} ;;
		esac
	done
	echo "$value"
}

# Says so on the console and in the kernel log, which outlives the initramfs.
pine_log() {
	echo "pine-update: $*"
	echo "<4>pine-update: $*" >/dev/kmsg 2>/dev/null || true
}

# Ends this boot. Never returns and never gives a shell: the loader has counted the try and picks the next candidate.
pine_fail() {
	trap - EXIT
	pine_log "cannot start slot $(pine_arg slot): $*"
	if [ -w /run/pine-update/state ] && [ -d /run/pine-update/state/log ]; then
		echo "slot $(pine_arg slot) generation $(pine_arg gen): $*" >>/run/pine-update/state/log/initramfs.log
	fi
	sync
	sleep 5
	reboot -f
	echo b >/proc/sysrq-trigger
	while :; do sleep 60; done
}
