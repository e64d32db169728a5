#!/bin/sh
# What is unsafe in this crate, under Miri and the address sanitizer. Needs a nightly toolchain with Miri and rust-src.
#
#   arithmetic/sanitize.sh              all of it, about 10 minutes on an idle machine
#   arithmetic/sanitize.sh miri         small products on every path that Miri knows: plain code and AVX2
#   arithmetic/sanitize.sh address      the tests of the product, those of several threads and slabs among them
set -eu
cd "$(dirname "$0")"
what=${1:-all}
case $what in
    all | miri | address) ;;
    *) echo "sanitize.sh: unknown choice '$what': use miri, address or nothing" >&2; exit 2 ;;
esac

if [ "$what" != address ]; then
    # Miri has the processor's features that are asked for when it compiles.
    MIRIFLAGS=-Zmiri-disable-isolation RUSTFLAGS="-C target-feature=+avx2,+fma" \
        cargo +nightly miri test --lib -- philox draws::tests small_products
fi
if [ "$what" != miri ]; then
    RUSTFLAGS=-Zsanitizer=address cargo +nightly test --lib --target x86_64-unknown-linux-gnu gemm
fi
