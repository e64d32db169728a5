//! Runs a static Linux program on a bare processor, for emulators that have instructions which the machine at hand lacks: no
//! kernel has to boot. The program comes as a module of the multiboot loader, its arguments as the module's; it runs with all
//! privileges, and what it writes goes to the first serial port.
//!
//! This is enough for the tests of a Rust crate, and for no more: there are no files and no signals, and threads take turns, each
//! until it waits. A call that is not known here is refused, and named once.

#![no_std]
#![no_main]

mod calls;
mod program;
mod serial;
mod threads;

use core::arch::{asm, global_asm, x86_64::__cpuid};
use core::fmt::Write;

use serial::Serial;

global_asm!(include_str!("boot.s"));

/// What the boot loader hands over, as far as it is needed here; the rest depends on `flags`.
#[repr(C)]
struct Boot {
    flags: u32,
    /// KiB from 0, and from 1 MiB on.
    memory: [u32; 2],
    device: u32,
    command_line: u32,
    module_count: u32,
    modules: u32,
}

/// A file that the boot loader has put into memory.
#[repr(C)]
#[derive(Clone, Copy)]
struct Module {
    start: u32,
    end: u32,
    /// Words that end with a zero.
    arguments: u32,
    reserved: u32,
}

/// Where `boot.s` goes.
#[unsafe(no_mangle)]
extern "C" fn start(boot: &'static Boot) -> ! {
    Serial::begin();
    describe_processor();
    let has = |bit: u32| boot.flags & 1 << bit != 0;
    assert!(has(0) && has(3) && boot.module_count == 1, "the boot loader must hand over one module");
    // SAFETY: the loader's list of modules, of which there is one.
    let module = unsafe { *(boot.modules as usize as *const Module) };
    // SAFETY: the loader has put the module there, and words that end with a zero.
    let (file, arguments) = unsafe {
        let size = (module.end - module.start) as usize;
        let arguments = core::ffi::CStr::from_ptr(module.arguments as usize as *const _);
        (core::slice::from_raw_parts(module.start as usize as *const u8, size), arguments)
    };
    let end = (1 << 20) + ((boot.memory[1] as usize) << 10);
    program::run(file, arguments.to_bytes(), end)
}

/// The processor's name, and the features that the paths of the product ask for.
fn describe_processor() {
    let mut name = [0; 48];
    for (leaf, bytes) in (0x8000_0002..).zip(name.as_chunks_mut::<16>().0) {
        let r = __cpuid(leaf);
        for (to, register) in bytes.as_chunks_mut::<4>().0.iter_mut().zip([r.eax, r.ebx, r.ecx, r.edx]) {
            *to = register.to_le_bytes();
        }
    }
    let name = str::from_utf8(&name).unwrap_or("of no name").trim_matches(['\0', ' ']);
    // SAFETY: `boot.s` has set the bit of CR4 that lets this be read.
    let enabled = unsafe {
        let low: u32;
        asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") _);
        low
    };
    let features = core::arch::x86_64::__cpuid_count(7, 0);
    let _ = write!(Serial, "processor: {name}; XCR0 {enabled:#x}; CPUID:");
    for (register, bit, feature) in [
        (__cpuid(1).ecx, 12, "fma"),
        (features.ebx, 5, "avx2"),
        (features.ebx, 16, "avx512f"),
        (features.ebx, 30, "avx512bw"),
        (features.ecx, 11, "avx512vnni"),
    ] {
        let _ = write!(Serial, " {feature} {}", if register & 1 << bit != 0 { "yes" } else { "no" });
    }
    let _ = writeln!(Serial);
}

/// Says how the program ended, and lets the emulator end.
fn stop(status: u64) -> ! {
    let _ = writeln!(Serial, "exit status {status}");
    Serial::flush();
    for byte in *b"Shutdown" {
        // SAFETY: the port at which Bochs takes this word as its end; other machines have nothing there.
        unsafe { asm!("out dx, al", in("dx") 0x8900_u16, in("al") byte) };
    }
    loop {
        // SAFETY: interrupts are off: it stands still.
        unsafe { asm!("hlt") };
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let _ = writeln!(Serial, "bare: {}", info.message());
    stop(255)
}
