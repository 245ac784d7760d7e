#!/usr/bin/env bash
# pair.sh OUT: releases of one Debian 12 server, as trees and as the images a slot may hold.
#   old = bookworm main alone; new = with updates and security: what months of fixes change, a kernel among it;
#   hotfix = old with only the openssl of new; same = old, put down and packed again today.
# Root, about 10 minutes, 7 GB. What is there already is kept. PINE_BENCH_MIRROR and PINE_BENCH_SECURITY name archives.
# The archive moves, so compare tools on one pair, in one run; never with figures from another day.
set -euo pipefail
out=${1:?usage: pair.sh OUT}
mkdir -p "$out"
cd "$out"
export LC_ALL=C SOURCE_DATE_EPOCH=1700000000
uuid=00000000-0000-0000-0000-000000000001
packages=systemd-sysv,udev,linux-image-cloud-amd64,initramfs-tools,kmod,iproute2,util-linux,e2fsprogs,fdisk
packages+=,openssh-server,ifupdown,curl,ca-certificates,nginx-light,python3-minimal,nodejs,ostree

# archive PATH: the first of apt's sources that ends so, in either form of its files.
archive() {
  find /etc/apt/sources.list /etc/apt/sources.list.d -type f \( -name '*.list' -o -name '*.sources' \) 2>/dev/null |
    sort | tr '\n' '\0' | xargs -0 -r awk -v ends="$1/?$" '
      /^#/ { next }
      /^(deb |URIs:)/ { for (i = 2; i <= NF; i++) if (!found && $i ~ /:\/\// && $i ~ ends) found = $i }
      END { if (found) print found }' || true
}
mirror=${PINE_BENCH_MIRROR:-$(archive /debian)}
security=${PINE_BENCH_SECURITY:-$(archive /debian-security)}
mirror=${mirror:-http://deb.debian.org/debian}
security=${security:-http://deb.debian.org/debian-security}

tree() { # tree NAME SOURCE...
  local name=$1
  shift
  [[ -d $name ]] && return
  echo "tree $name" >&2
  rm -rf "$name.part"
  mmdebstrap --quiet --variant=minbase --include="$packages" bookworm "$name.tar" "$@"
  mkdir "$name.part"
  tar -xf "$name.tar" -C "$name.part" --exclude='./dev/*'
  rm -rf "$name.tar" "$name.part"/var/{cache/apt,lib/apt/lists,log}/*
  mv "$name.part" "$name"
}

hotfix() {
  [[ -d hotfix ]] && return
  rm -rf hotfix.part
  cp -a old hotfix.part
  local file
  while read -r file; do
    [[ -f new$file && ! -L new$file ]] && cp -a "new$file" "hotfix.part$file"
  done < <(cat new/var/lib/dpkg/info/{libssl3:amd64,openssl}.list)
  mv hotfix.part hotfix
}

# make FILE COMMAND...: the file appears whole or not at all; the last argument of the command is the file to write.
make() {
  local file=$1
  shift
  [[ -f $file ]] && return
  echo "image $file" >&2
  rm -f "$file.part"
  "$@" "$file.part" >&2
  mv "$file.part" "$file"
}
squashfs() { mksquashfs "$1" "$3" -comp "$2" -noappend -quiet -no-progress; }
erofs() { mkfs.erofs -T1700000000 -U "$uuid" --quiet "${@:2:$#-2}" "${!#}" "$1"; }
ext4() {
  truncate -s 640M "$2"
  mkfs.ext4 -q -F -U "$uuid" -E "hash_seed=$uuid" -O ^has_journal -m0 -d "$1" "$2"
}

tree old "deb $mirror bookworm main"
tree new "deb $mirror bookworm main" "deb $mirror bookworm-updates main" "deb $security bookworm-security main"
hotfix
for name in old new hotfix; do
  for comp in zstd gzip xz; do make "$name.$comp.sqfs" squashfs "$name" "$comp"; done
  make "$name.lz4.erofs" erofs "$name" -zlz4hc,9
  make "$name.raw.erofs" erofs "$name"
  make "$name.ext4" ext4 "$name"
done
if [[ ! -f same.zstd.sqfs || ! -f same.ext4 ]]; then
  rm -rf same.tree
  cp -a old same.tree
  unset SOURCE_DATE_EPOCH
  make same.zstd.sqfs squashfs same.tree zstd
  make same.ext4 ext4 same.tree
  rm -rf same.tree
fi
