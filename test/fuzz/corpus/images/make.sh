#!/usr/bin/env bash
# make.sh: makes the images beside it again, of a tree of a few files. Other versions of the tools make other bytes, so this is
# only run when an image is to be added: the images are the seeds of their targets.
set -euo pipefail
cd "$(dirname "$0")"
export SOURCE_DATE_EPOCH=1700000000
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/tree
mkdir -p "$tree/etc/deep/er" "$tree/empty"
for number in $(seq 900); do echo "pine $((number * number % 97)) slot"; done >"$tree/etc/prose"
head -c 9000 "$tree/etc/prose" | cksum | head -c 300 >"$tree/etc/deep/short"
openssl enc -aes-128-ctr -K 00000000000000000000000000000001 -iv 0 -in /dev/zero 2>/dev/null | head -c 6000 >"$tree/noise" || true
: >"$tree/empty/file"
ln "$tree/etc/prose" "$tree/etc/deep/er/again"
ln -s ../prose "$tree/etc/deep/link"
truncate -s 40000 "$tree/sparse"
printf 'data' | dd of="$tree/sparse" bs=1 seek=20000 conv=notrunc status=none
printf 'data' | dd of="$tree/sparse" bs=1 seek=36000 conv=notrunc status=none
find "$tree" -exec touch -h -d @$SOURCE_DATE_EPOCH {} +

squashfs() { mksquashfs "$tree" "$work/$1" -noappend -quiet -no-progress -all-root -nopad -b 4K "${@:2}" >/dev/null; }
squashfs squashfs-gzip -comp gzip
squashfs squashfs-plain -noI -noF -noX
squashfs squashfs-xz -comp xz -Xbcj x86
squashfs squashfs-zstd -comp zstd
squashfs squashfs-lz4 -comp lz4 -Xhc
erofs() { mkfs.erofs --quiet -T $SOURCE_DATE_EPOCH -U 7a5d0c3e-0000-4000-8000-000000000001 "${@:2}" "$work/$1" "$tree" >/dev/null 2>&1; }
erofs erofs-plain
erofs erofs-lz4hc -zlz4hc
erofs erofs-big -zlz4hc -C16384 -Eztailpacking
erofs erofs-full -zlz4hc -Elegacy-compress
erofs erofs-chunks --chunksize=4096
ext4() {
  mke2fs -q -t ext4 -b 1024 -m 0 -N 32 -U 7a5d0c3e-0000-4000-8000-000000000001 -E hash_seed=7a5d0c3e-0000-4000-8000-000000000002 \
    -O "^has_journal,^resize_inode,$2" -d "$tree" "$work/$1" 160k
}
ext4 ext4-plain ^metadata_csum,^64bit
ext4 ext4-csum metadata_csum,64bit
for image in "$work"/squashfs-* "$work"/erofs-* "$work"/ext4-*; do gzip -9n <"$image" >"$(basename "$image").gz"; done
ls -l -- *.gz
for image in "$work"/squashfs-* "$work"/erofs-* "$work"/ext4-*; do echo "$(stat -c %s "$image") $(basename "$image")"; done
