# Sourced before cargo: installs what building needs and points cargo at the RocksDB archive.
if ! cargo --version >/dev/null 2>&1; then
    echo "lethe: Rust 1.95 or newer is needed: see https://rustup.rs" >&2
    return 1
fi
# Not libclang-cpp, which other packages bring along and which cannot read C headers for bindgen.
libclang=$(ls /usr/lib/llvm-*/lib/libclang.so* /usr/lib/llvm-*/lib/libclang-[0-9]*.so* 2>/dev/null || true)
if [ -z "$libclang" ] || ! command -v g++ >/dev/null; then
    if [ "$(id -u)" = 0 ]; then root=; else root=sudo; fi
    $root apt-get update -qq && $root apt-get install -y -qq g++ make libclang-dev
fi
# A failure here must not go unnoticed: cargo would compile RocksDB file by file for a quarter of an hour.
rocksdb=$(tools/rocksdb.sh) || return 1
eval "$rocksdb"
