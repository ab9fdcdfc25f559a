#!/bin/sh
# Prints the variables with which cargo links a RocksDB archive built once per machine:
#
#     eval "$(tools/rocksdb.sh)"
#
# The bundled sources of librocksdb-sys are compiled as a few large translation units, because parsing
# headers is most of their cost: about five minutes of two cores instead of thirty. The archive serves every
# profile and target directory and survives `cargo clean`. When it cannot be made, nothing is printed and
# cargo builds the sources the ordinary way, which is also what the Dockerfile does.
set -eu

jobs=${LETHE_BUILD_JOBS:-2}
units=8
optimisation="-O2"
[ "$(uname -m)" = x86_64 ] && optimisation="-O2 -msse4.2"

cargo fetch --locked >&2
crate=$(ls -d "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/librocksdb-sys-* | sort -V | tail -n 1)
compiler=$("${CXX:-g++}" -dumpfullversion -dumpmachine | tr '\n' ' ')
name=$(printf '%s %s %s %s' "$(basename "$crate")" "$units" "$optimisation" "$compiler" | cksum | cut -d ' ' -f 1)
archive=${LETHE_CACHE:-$HOME/.cache/lethe}/rocksdb-$name

build() {
    scratch=$archive.new.$$
    mkdir -p "$scratch"
    # build_version.cc in the list is a template; the crate ships the generated one beside it.
    sed 's/[[:space:]]//g; /^$/d; /util\/build_version.cc/d' "$crate/rocksdb_lib_sources.txt" \
        | sed "s|^|$crate/rocksdb/|" > "$scratch/all"
    printf '%s/build_version.cc\n' "$crate" >> "$scratch/all"
    split -d -n "l/$units" "$scratch/all" "$scratch/part."
    for part in "$scratch"/part.[0-9]*; do
        sed 's|.*|#include "&"|' "$part" > "$part.cc"
    done
    # The defines are those librocksdb-sys sets on Linux without any compression feature.
    flags="-std=c++20 $optimisation -fPIC -fno-rtti -w -DNDEBUG -DOS_LINUX -DROCKSDB_PLATFORM_POSIX
        -DROCKSDB_LIB_IO_POSIX -DROCKSDB_SUPPORT_THREAD_LOCAL -DHAVE_ALIGNED_NEW -DHAVE_UINT128_EXTENSION
        -DROCKSDB_SCHED_GETCPU_PRESENT -DROCKSDB_AUXV_GETAUXVAL_PRESENT -DROCKSDB_FALLOCATE_PRESENT
        -DROCKSDB_RANGESYNC_PRESENT -I$crate -I$crate/rocksdb -I$crate/rocksdb/include
        -I$crate/rocksdb/third-party/gtest-1.8.1/fused-src"
    # shellcheck disable=SC2086 # flags are words
    ls "$scratch"/part.*.cc | xargs -P "$jobs" -I '{}' "${CXX:-g++}" $flags -c '{}' -o '{}.o' >&2 || return 1
    ar crs "$scratch/librocksdb.a" "$scratch"/*.o || return 1
    rm -f "$scratch"/part.* "$scratch"/all
    mv "$scratch" "$archive" 2>/dev/null || rm -rf "$scratch"
}

[ -f "$archive/librocksdb.a" ] || build || { rm -rf "$archive".new.*; exit 0; }
echo "export ROCKSDB_LIB_DIR=$archive ROCKSDB_STATIC=1 ROCKSDB_INCLUDE_DIR=$crate/rocksdb/include"
