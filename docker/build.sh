#!/bin/sh
# build.sh ROOT [BINARY]: lays out the image's files under ROOT, on Debian 12. Builds the binary unless one is given.
set -eu
image=$1
binary=${2:-}

if [ -z "$binary" ]; then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends g++ make libclang-dev e2fsprogs
    cargo build --locked --release --package lethe
    binary=target/release/lethe
    # Names of functions are for debuggers; panics say file and line without them.
    strip "$binary"
fi

root=$image/root
install -D -m 0755 "$binary" "$root/usr/bin/lethe"
# With this the doctor sees where a file lies.
install -D -m 0755 /usr/sbin/filefrag "$root/usr/sbin/filefrag"
# Each library lies where the loader looks for it, whatever it is a link to here.
ldd "$binary" /usr/sbin/filefrag | grep -o '[[:space:]]/[^ :]*' | sort -u | while read -r library; do
    install -D -m 0755 "$(readlink -f "$library")" "$root$library"
done
install -d -m 0755 "$root/etc/lethe"
printf 'hosts: files dns\n' > "$root/etc/nsswitch.conf"
printf 'lethe:x:10001:10001::/var/lib/lethe:/sbin/nologin\n' > "$root/etc/passwd"
printf 'lethe:x:10001:\n' > "$root/etc/group"
install -d -m 0700 "$image/owned/lethe" "$image/owned/lethe-keys"
