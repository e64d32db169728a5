#!/bin/sh
# Runs tests of this crate on a processor with AVX-512 VNNI that Bochs emulates, for machines that have none.
#
#   arithmetic/bochs/run.sh            the tests of the product: an hour and more
#   arithmetic/bochs/run.sh NAME...    the tests with one of these words in their names: `small_products` takes less than a minute,
#                                      `fast_equals` minutes
#
# They are the very tests that `cargo test` runs, in a static program: those of the product hold every path that the processor has
# against the reference, bit for bit, and random cases are the same each time. No operating system boots: the program `bare` in this
# folder stands in for one. It tells whether results are right, and nothing of speed.
#
# Needs the Rust target x86_64-unknown-none, and of Debian: binutils, bochs (2.7), grub-common, grub-pc-bin, libc6-dev, mtools,
# xorriso. While it runs, Bochs shows its screen, where nothing of interest is, to VNC viewers at port 5900 or the next that is free.
set -eu
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- gemm::
for tool in bochs-bin cargo grub-mkrescue mformat strip xorriso; do
    command -v "$tool" > /dev/null || { echo "run.sh: $tool is not installed" >&2; exit 2; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/disc/boot/grub" "$work/tests"

# The runners only copy what they are to run. The first program is linked so that it needs no libraries.
linux=x86_64-unknown-linux-gnu
none=x86_64-unknown-none
(cd .. && cargo test --lib --target $linux \
    --config "target.$linux.rustflags=['-C', 'target-feature=+crt-static']" \
    --config "target.$linux.runner=['install', '--strip', '-t', '$work/tests']")
mv "$work"/tests/* "$work/disc/program"
cargo run --release --config "target.$none.runner=['install', '-t', '$work/disc']"

cat > "$work/disc/boot/grub/grub.cfg" <<END
set timeout=0
menuentry tests {
    multiboot /bare
    module /program --test-threads 1 $*
}
END
grub-mkrescue -o "$work/disc.iso" "$work/disc" > "$work/grub" 2>&1 || { cat "$work/grub" >&2; exit 1; }

cat > "$work/bochsrc" <<END
cpu: model=corei7_icelake_u, ips=5000000, reset_on_triple_fault=0
memory: guest=1024, host=1024
display_library: rfb, options="timeout=0"
ata0-master: type=cdrom, path=$work/disc.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$work/serial
panic: action=fatal
error: action=ignore
log: $work/log
END
# Debian's Bochs has a debugger, which waits for this. It ends with an error however the program ended. (Its display for terminals
# would stop for ever when nobody reads it.)
echo continue > "$work/commands"
bochs-bin -q -f "$work/bochsrc" -rc "$work/commands" < /dev/null > "$work/messages" 2>&1 || true

# Times are those of a clock that counts instructions.
touch "$work/serial"
sed 's/; finished in .*//' "$work/serial"
if ! grep -q '^exit status' "$work/serial"; then
    echo "run.sh: the program did not come to its end; the emulator's log ends so:" >&2
    cat "$work/messages" >&2
    tail -n 40 "$work/log" >&2
    exit 1
fi
grep -q 'XCR0 0xe7.* avx512f yes avx512bw yes avx512vnni yes' "$work/serial" ||
    { echo "run.sh: the emulated processor has no AVX-512 VNNI" >&2; exit 1; }
grep -q '^test result: ok\. [1-9]' "$work/serial" && grep -q '^exit status 0' "$work/serial" ||
    { echo "run.sh: tests failed, or none has such a name" >&2; exit 1; }
