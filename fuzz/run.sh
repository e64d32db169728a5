#!/usr/bin/env bash
# Fuzzes every reader in turn, guided by coverage: fuzz/run.sh [SECONDS in all, default 60] [READER...]
# Needs Rust and a C++ compiler (for libFuzzer). What made a reader fail is kept in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-60}
shift || true
# What `cargo fuzz` passes, without the sanitisers that only nightly compilers have.
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing"
target=$(rustc -vV | sed -n 's/^host: //p')
# With --target, build scripts and procedural macros go without the instrumentation.
cargo build --release --locked --target "$target"
fuzzer=${CARGO_TARGET_DIR:-target}/$target/release/mirage-fuzz
mkdir -p artifacts
if [ $# -gt 0 ]; then readers=("$@"); else read -ra readers <<<"$(READER=list "$fuzzer" -runs=1 -artifact_prefix=artifacts/ 2>/dev/null)"; fi
each=$((seconds / ${#readers[@]}))
[ "$each" -ge 1 ] || each=1
for reader in "${readers[@]}"; do
    mkdir -p "corpus/$reader"
    seeds=()
    [ -d "seeds/$reader" ] && seeds=("seeds/$reader")
    case $reader in
        design) seeds+=(../data/designs/parts) ;;
        netlist) seeds+=(../data/circuits) ;;
        layers) seeds+=(../data/workloads) ;;
        onnx) seeds+=(../data/onnx) ;;
        guide-table) seeds+=(../data/siepic-fdtd) ;;
    esac
    echo "fuzzing $reader for $each s"
    log=artifacts/$reader.log
    if ! READER=$reader "$fuzzer" "corpus/$reader" "${seeds[@]}" -max_total_time="$each" -timeout=10 -rss_limit_mb=2048 \
        -artifact_prefix="artifacts/$reader-" -print_final_stats=1 >"$log" 2>&1; then
        tail -n 40 "$log"
        exit 1
    fi
    grep -E 'stat::(number_of_executed_units|average_exec_per_sec)' "$log" | sed 's/^stat::/  /'
done
