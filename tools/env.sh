# Sourced before cargo: installs what building needs and points cargo at the RocksDB archive.
if ! cargo --version >/dev/null 2>&1; then
    echo "lethe: Rust 1.95 or newer is needed: see https://rustup.rs" >&2
    return 1
fi
if ! ls /usr/lib/llvm-*/lib/libclang*.so* >/dev/null 2>&1 || ! command -v g++ >/dev/null; then
    if [ "$(id -u)" = 0 ]; then root=; else root=sudo; fi
    $root apt-get update -qq && $root apt-get install -y -qq g++ make libclang1-14 libclang-common-14-dev
fi
eval "$(tools/rocksdb.sh)"
