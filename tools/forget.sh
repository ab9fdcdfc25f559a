#!/bin/sh
# The trial of forgetting on a file system of its own, whose raw bytes are searched too, and beside it a server whose power
# is cut after every step of its disk: forget.sh CANARIES.
# Mounting a file needs root; without it the trial runs on the file system of $TMPDIR, and says so.
set -eu
canaries=$1
scratch=$(mktemp -d)
mounted=
clean() {
    [ -z "$mounted" ] || umount "$scratch/mount"
    rm -rf "$scratch"
}
trap clean EXIT
mkdir "$scratch/mount"
truncate -s 2G "$scratch/disk"
if command -v mkfs.ext4 >/dev/null && mkfs.ext4 -q "$scratch/disk" && mount -o loop "$scratch/disk" "$scratch/mount" 2>/dev/null; then
    mounted=1
    export TMPDIR="$scratch/mount" LETHE_FORGET_DEVICE="$scratch/disk"
else
    echo "forget: no file system of its own (that needs root and mkfs.ext4); the files are searched instead" >&2
fi
. tools/env.sh
export LETHE_FORGET="$canaries"
cargo test --locked -j2 --test it -- forget:: --nocapture
