//! The system calls of Linux that tests make; numbers and errors as in its tables for x86-64.

use core::arch::x86_64::_rdtsc;
use core::cell::UnsafeCell;
use core::fmt::Write;
use core::ops::Range;

use crate::program::clear;
use crate::serial::Serial;
use crate::stop;
use crate::threads::{Registers, Threads};

const NO_SUCH_FILE: i64 = -2;
const NO_MEMORY: i64 = -12;
const NO_TERMINAL: i64 = -25;
const NO_SUCH_CALL: i64 = -38;

struct State {
    threads: Threads,
    memory: Memory,
    drawn: u64,
    /// Calls that were refused and named.
    named: [bool; 512],
}

struct Memory {
    /// What `brk` grows into, and up to where it is in use.
    growing: Range<usize>,
    grown: usize,
    /// Blocks are taken from the end of this.
    free: Range<usize>,
}

struct Shared(UnsafeCell<State>);

// SAFETY: there is one processor, without interrupts, and no call is made during another.
unsafe impl Sync for Shared {}

static STATE: Shared = Shared(UnsafeCell::new(State {
    threads: Threads::NEW,
    memory: Memory { growing: 0..0, grown: 0, free: 0..0 },
    drawn: 0,
    named: [false; 512],
}));

/// Memory for `brk`; what lies between it and `end` is for blocks.
pub fn begin(growing: Range<usize>, end: usize) {
    // SAFETY: before the program runs.
    let state = unsafe { &mut *STATE.0.get() };
    state.memory = Memory { grown: growing.start, free: growing.end..end, growing };
    state.threads.begin();
}

/// Where `boot.s` goes when the program makes a call; returns the registers that are taken up again.
#[unsafe(no_mangle)]
extern "C" fn call() -> *const Registers {
    // SAFETY: as for `Sync`.
    let state = unsafe { &mut *STATE.0.get() };
    let Registers { result: number, arguments, .. } = *state.threads.registers();
    let result = state.answer(number, arguments);
    state.threads.registers().result = result;
    // sched_yield; or the thread waits or has ended.
    if number == 24 || !state.threads.runs() {
        state.threads.turn();
    }
    state.threads.registers()
}

impl State {
    fn answer(&mut self, number: i64, [a, b, c, d, e, _]: [usize; 6]) -> i64 {
        match number {
            // read: nothing.
            0 => 0,
            // write
            1 => {
                // SAFETY: the program's bytes.
                Serial::write(unsafe { core::slice::from_raw_parts(b as *const u8, c) });
                c as i64
            }
            // open, access, getcwd, readlink, openat, readlinkat
            2 | 21 | 79 | 89 | 257 | 267 => NO_SUCH_FILE,
            // ioctl
            16 => NO_TERMINAL,
            // mmap (without a file, and anywhere), munmap, brk
            9 => self.memory.map(b),
            11 => self.memory.unmap(a, b),
            12 => self.memory.grow(a),
            // rt_sigaction
            13 => {
                if c != 0 {
                    // SAFETY: the program's room for the old action, which is the default.
                    unsafe { clear(c, 32) };
                }
                0
            }
            // poll, mprotect, rt_sigprocmask, sched_yield, madvise, sigaltstack, prctl (a thread's name), set_robust_list
            7 | 10 | 14 | 24 | 28 | 131 | 157 | 273 => 0,
            // getpid, gettid
            39 => 1,
            186 => self.threads.number(),
            // clone: CLONE_THREAD
            56 if a & 0x10000 != 0 => self.threads.make(b, c, d, e),
            // set_tid_address
            218 => {
                self.threads.set_ended(a);
                self.threads.number()
            }
            // arch_prctl: ARCH_SET_FS
            158 if a == 0x1002 => {
                self.threads.set_own(b);
                0
            }
            // exit: of a thread.
            60 => {
                self.threads.end();
                0
            }
            // exit_group, tgkill (the program ends itself)
            231 => stop(a as u64),
            234 => stop(128 + c as u64),
            // futex: wait, wake
            202 if matches!(b & 0x7f, 0 | 9) => self.threads.wait(a, c as u32, d != 0),
            202 if matches!(b & 0x7f, 1 | 10) => self.threads.wake(a, c),
            // sched_getaffinity: two processors, so that the program takes several threads.
            204 => {
                // SAFETY: the program's room, of at least eight bytes.
                unsafe { *(c as *mut u64) = 3 };
                8
            }
            // clock_gettime: the counter of the processor, as if of nanoseconds.
            228 => {
                // SAFETY: the program's room for a time.
                unsafe { *(b as *mut [u64; 2]) = [_rdtsc() / 1_000_000_000, _rdtsc() % 1_000_000_000] };
                0
            }
            // getrandom: the same each time.
            318 => {
                // SAFETY: the program's room.
                let room = unsafe { core::slice::from_raw_parts_mut(a as *mut u8, b) };
                room.iter_mut().for_each(|byte| *byte = self.draw());
                b as i64
            }
            // mremap, getrlimit, prlimit64, rseq, clone3: the C library does without.
            25 | 97 | 302 | 334 | 435 => NO_SUCH_CALL,
            other => {
                if let Some(named @ false) = self.named.get_mut(other as usize) {
                    let _ = writeln!(Serial, "bare: call {other} is refused");
                    *named = true;
                }
                NO_SUCH_CALL
            }
        }
    }

    /// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
    fn draw(&mut self) -> u8 {
        self.drawn = self.drawn.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.drawn ^ (self.drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as u8
    }
}

impl Memory {
    fn map(&mut self, size: usize) -> i64 {
        let size = size.next_multiple_of(4096);
        if self.free.len() < size {
            return NO_MEMORY;
        }
        self.free.end -= size;
        // SAFETY: has just become the program's.
        unsafe { clear(self.free.end, size) };
        self.free.end as i64
    }

    /// Only the last block is taken back.
    fn unmap(&mut self, at: usize, size: usize) -> i64 {
        if at == self.free.end {
            self.free.end += size.next_multiple_of(4096);
        }
        0
    }

    /// The end of what is in use: the one that is asked for, where it is possible.
    fn grow(&mut self, end: usize) -> i64 {
        if (self.growing.start..=self.growing.end).contains(&end) {
            if end > self.grown {
                // SAFETY: becomes the program's.
                unsafe { clear(self.grown, end - self.grown) };
            }
            self.grown = end;
        }
        self.grown as i64
    }
}
