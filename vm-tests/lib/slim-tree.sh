#!/bin/sh
# slim-tree modules TREE       takes away what makes an initrd large and a machine of qemu does not need
# slim-tree pick TREE OUT [PACKAGE...]
#                              copies what runs pine-update, and no more, to the new folder OUT; and those Debian packages'
#                              programs and libraries
# A small image is soon read, written and compared; an emulated processor does a few MB in a second.
set -eu
tree=$2

case $1 in
modules)
	rm -f "$tree"/boot/initrd* "$tree"/boot/System.map* "$tree/usr/lib/udev/hwdb.bin"
	version=$(ls "$tree/usr/lib/modules")
	find "$tree/usr/lib/modules/$version/kernel" -name '*.ko*' |
		grep -vE '/(squashfs|overlay|virtio_blk|virtio_scsi|scsi_mod|scsi_common|sd_mod|softdog|watchdog)\.ko' |
		xargs rm -f
	chroot "$tree" depmod "$version"
	;;
pick)
	out=$3
	shift 3
	mkdir "$out"
	cd "$tree"
	programs=$(for package in base-files dash coreutils util-linux mount fdisk busybox nodejs "$@"; do
		cat "var/lib/dpkg/info/$package.list"
	done | grep -E '^/usr/(s?bin/|lib/[^/]*/lib[^/]*\.so)' | sort -u)
	libraries=$(for program in $programs; do
		chroot . ldd "$program" 2>/dev/null || true
	done | grep -o '/[^ ]*' | sort -u)
	for path in $programs $libraries; do
		# A library is named by a link to its file, and a folder on the way is often a link as well.
		path=$(realpath -s "$(realpath "./${path%/*}")/${path##*/}")
		while [ -L "$path" ] || [ -f "$path" ]; do
			echo "${path#"$PWD"/}"
			[ -L "$path" ] || break
			next=$(readlink "$path")
			case $next in /*) break ;; esac
			path=$(realpath -s "${path%/*}/$next")
		done
	done >/tmp/pine-slim.$$
	rm -rf usr/share/nodejs/corepack usr/share/nodejs/@types usr/share/nodejs/npm
	for path in bin sbin lib lib64 usr/lib64 boot etc home root var proc sys dev run tmp mnt usr/bin/pine-update \
		usr/bin/sh usr/lib/pine-update usr/lib/os-release usr/share/nodejs; do
		if [ -e "$path" ] || [ -L "$path" ]; then echo "$path"; fi
	done >>/tmp/pine-slim.$$
	rm -rf var/lib/dpkg var/lib/apt var/cache
	sort -u /tmp/pine-slim.$$ | tar -c -T - | tar -x -C "$out"
	rm /tmp/pine-slim.$$
	;;
esac
