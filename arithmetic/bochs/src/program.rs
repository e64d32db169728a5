//! Loads the program and gives it what Linux gives at the start: its segments, arguments, environment and auxiliary vector.

use core::arch::asm;

use crate::calls;

/// Where the program is loaded: it is linked so that it can be anywhere.
const BASE: usize = 256 << 20;
/// For blocks that grow (`brk`).
const GROWING: usize = 64 << 20;
const STACK: usize = 64 << 20;
const WORDS: usize = 64;

/// One heap for all threads, since there is little memory; and tests of random cases take the same ones each time.
const ENVIRONMENT: [&[u8]; 2] = [b"GLIBC_TUNABLES=glibc.malloc.arena_max=1\0", b"PROPTEST_RNG_SEED=1\0"];

/// The head of an ELF file of 64 bits.
#[repr(C)]
#[derive(Clone, Copy)]
struct Head {
    magic: [u8; 16],
    kind: u16,
    machine: u16,
    version: u32,
    entry: u64,
    segments: u64,
    sections: u64,
    flags: u32,
    size: u16,
    segment_size: u16,
    segment_count: u16,
}

/// A segment of an ELF file.
#[repr(C)]
#[derive(Clone, Copy)]
struct Segment {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    physical: u64,
    file_size: u64,
    memory_size: u64,
    align: u64,
}

/// Runs the program in memory up to `end`.
pub fn run(file: &[u8], arguments: &[u8], end: usize) -> ! {
    let head: Head = read(file, 0);
    let x86_64 = head.magic.starts_with(b"\x7fELF\x02\x01") && head.machine == 62;
    assert!(x86_64 && head.kind == 3, "the module must be a static program for x86-64 that can be anywhere");
    assert!(file.as_ptr_range().end as usize <= BASE, "the module lies where the program goes");
    let (mut top, mut table) = (BASE, BASE);
    for i in 0..usize::from(head.segment_count) {
        let at = head.segments as usize + i * usize::from(head.segment_size);
        let segment: Segment = read(file, at);
        if segment.kind != 1 {
            continue;
        }
        let from = segment.offset as usize;
        let bytes = &file[from..][..segment.file_size as usize];
        let (to, size) = (BASE + segment.address as usize, segment.memory_size as usize);
        assert!(size >= bytes.len() && to + size + GROWING + STACK < end, "the program is too large");
        // SAFETY: memory that nothing else uses, as was just asserted.
        unsafe {
            clear(to, size);
            core::ptr::copy_nonoverlapping(bytes.as_ptr(), to as *mut u8, bytes.len());
        }
        top = top.max(to + size);
        if (from..from + bytes.len()).contains(&(head.segments as usize)) {
            table = to + head.segments as usize - from;
        }
    }
    let heap = top.next_multiple_of(4096);
    calls::begin(heap..heap + GROWING, end - STACK);

    let auxiliary = [
        [3, table],
        [4, usize::from(head.segment_size)],
        [5, usize::from(head.segment_count)],
        [6, 4096],
        [9, BASE + head.entry as usize],
        [23, 0],
        // Sixteen bytes that Linux draws; here those of the file's head.
        [25, file.as_ptr() as usize],
        [0, 0],
    ];
    let stack = stack(arguments, &auxiliary, end);
    // SAFETY: the program's entry takes its arguments from the stack, which is its own.
    unsafe {
        asm!("mov rsp, {stack}", "xor edx, edx", "xor ebp, ebp", "jmp {entry}", stack = in(reg) stack,
            entry = in(reg) BASE + head.entry as usize, options(noreturn))
    }
}

/// Puts arguments, environment and auxiliary vector below `end`; returns the top of the stack, where their number stands.
fn stack(arguments: &[u8], auxiliary: &[[usize; 2]], end: usize) -> usize {
    let mut text = end - arguments.len() - 4096;
    let (mut words, mut count) = ([0; WORDS], 1);
    let mut put = |word: usize| {
        assert!(count < WORDS, "too many arguments");
        words[count] = word;
        count += 1;
    };
    let mut argument_count = 0;
    for argument in [b"program" as &[u8]].into_iter().chain(arguments.split(|&b| b == b' ')) {
        if argument.is_empty() {
            continue;
        }
        put(text);
        argument_count += 1;
        // SAFETY: room for all arguments and their ends, at the top of the program's stack.
        unsafe {
            clear(text, argument.len() + 1);
            core::ptr::copy_nonoverlapping(argument.as_ptr(), text as *mut u8, argument.len());
        }
        text += argument.len() + 1;
    }
    put(0);
    ENVIRONMENT.iter().for_each(|variable| put(variable.as_ptr() as usize));
    put(0);
    auxiliary.as_flattened().iter().for_each(|&word| put(word));
    words[0] = argument_count;
    let stack = (end - arguments.len() - 8192 - size_of_val(&words)) & !63;
    // SAFETY: below the text, at the top of the program's stack.
    unsafe { *(stack as *mut [usize; WORDS]) = words };
    stack
}

/// A part of the file that is there as it stands.
fn read<T: Copy>(file: &[u8], at: usize) -> T {
    let bytes = &file[at..][..size_of::<T>()];
    // SAFETY: as many bytes as T has; the callers' types are numbers, which any bytes are.
    unsafe { bytes.as_ptr().cast::<T>().read_unaligned() }
}

/// Fills memory with zeros.
///
/// # Safety
/// Nothing else may use it.
pub unsafe fn clear(at: usize, size: usize) {
    // SAFETY: the caller's; a string instruction, which emulators do many bytes at a time.
    unsafe { asm!("rep stosb", inout("rdi") at => _, inout("rcx") size => _, in("al") 0_u8) };
}
