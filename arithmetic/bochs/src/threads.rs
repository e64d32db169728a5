//! Threads that take turns on the one processor: each runs until it waits, yields or ends.

use core::arch::asm;
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::stop;

const TRY_AGAIN: i64 = -11;
const TIMED_OUT: i64 = -110;

/// At most, at once.
const THREADS: usize = 32;

/// Register FS base: where a thread keeps what is its own.
const FS_BASE: u32 = 0xc000_0100;

/// A thread's registers at a call, in the order in which `boot.s` takes them up again.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Registers {
    /// The number of the call, and then its result.
    pub result: i64,
    pub arguments: [usize; 6],
    kept: [usize; 6],
    flags: usize,
    instruction: usize,
    stack: usize,
}

/// x87, SSE, AVX and AVX-512 registers as XSAVE lays them out.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Vectors([u8; 4096]);

#[derive(Clone, Copy, PartialEq)]
enum State {
    None,
    Ready,
    /// For a word of memory to be woken.
    Waiting {
        word: usize,
        timed: bool,
    },
}

#[derive(Clone, Copy)]
struct Thread {
    state: State,
    registers: Registers,
    vectors: Vectors,
    own: usize,
    /// A word that is cleared, and whoever waits for it woken, when the thread ends; or 0.
    ended: usize,
}

/// All threads, and which of them runs.
pub struct Threads {
    all: [Thread; THREADS],
    current: usize,
}

/// Where `boot.s` puts the registers of the thread that makes a call.
#[unsafe(no_mangle)]
static REGISTERS_END: AtomicPtr<Registers> = AtomicPtr::new(core::ptr::null_mut());

impl Threads {
    pub const NEW: Self = {
        let registers =
            Registers { result: 0, arguments: [0; 6], kept: [0; 6], flags: 0, instruction: 0, stack: 0 };
        let none = Thread { state: State::None, registers, vectors: Vectors([0; 4096]), own: 0, ended: 0 };
        Self { all: [none; THREADS], current: 0 }
    };

    /// The first thread is the one that runs.
    pub fn begin(&mut self) {
        self.all[0].state = State::Ready;
        self.take_up(0);
    }

    /// Number of the thread that runs, from 1.
    pub fn number(&self) -> i64 {
        self.current as i64 + 1
    }

    /// Registers of the thread that runs.
    pub fn registers(&mut self) -> &mut Registers {
        &mut self.all[self.current].registers
    }

    /// Where the running thread keeps what is its own.
    pub fn set_own(&mut self, at: usize) {
        self.all[self.current].own = at;
        set_own(at);
    }

    pub fn set_ended(&mut self, word: usize) {
        self.all[self.current].ended = word;
    }

    /// Makes another thread, which goes on like the one that runs, with another stack; `numbers` has room for its number.
    pub fn make(&mut self, stack: usize, numbers: usize, ended: usize, own: usize) -> i64 {
        let Some(new) = self.all.iter().position(|thread| thread.state == State::None) else {
            return TRY_AGAIN;
        };
        let registers = Registers { result: 0, stack, ..*self.registers() };
        let thread = &mut self.all[new];
        (thread.state, thread.registers, thread.own, thread.ended) = (State::Ready, registers, own, ended);
        save(&mut thread.vectors);
        // SAFETY: the program's room.
        unsafe { *(numbers as *mut i32) = new as i32 + 1 };
        new as i64 + 1
    }

    /// The running thread waits, when the word has the given value; others have their turn.
    pub fn wait(&mut self, word: usize, value: u32, timed: bool) -> i64 {
        // SAFETY: the program's word.
        if unsafe { *(word as *const u32) } != value {
            return TRY_AGAIN;
        }
        self.all[self.current].state = State::Waiting { word, timed };
        0
    }

    /// Wakes at most so many threads that wait for a word.
    pub fn wake(&mut self, word: usize, most: usize) -> i64 {
        let waits =
            |thread: &&mut Thread| matches!(thread.state, State::Waiting { word: w, .. } if w == word);
        let woken = self.all.iter_mut().filter(waits).take(most);
        woken.map(|thread| thread.state = State::Ready).count() as i64
    }

    /// The running thread ends.
    pub fn end(&mut self) {
        let Thread { state, ended, .. } = &mut self.all[self.current];
        *state = State::None;
        let word = *ended;
        if word != 0 {
            // SAFETY: the program's word.
            unsafe { *(word as *mut u32) = 0 };
            self.wake(word, usize::MAX);
        }
    }

    /// Another thread's turn, if there is one that can go on; time passes only when there is none.
    pub fn turn(&mut self) {
        let others = || (1..=THREADS).map(|i| (self.current + i) % THREADS);
        let ready = others().find(|&i| self.all[i].state == State::Ready);
        let timed = || others().find(|&i| matches!(self.all[i].state, State::Waiting { timed: true, .. }));
        match ready.or_else(timed) {
            Some(next) if next == self.current && ready.is_some() => {}
            Some(next) => {
                if ready.is_none() {
                    self.all[next].state = State::Ready;
                    self.all[next].registers.result = TIMED_OUT;
                }
                save(&mut self.all[self.current].vectors);
                self.take_up(next);
                restore(&self.all[next].vectors);
            }
            None if self.all.iter().all(|thread| thread.state == State::None) => stop(0),
            None => panic!("every thread waits for another"),
        }
    }

    /// The running thread's state is ready still.
    pub fn runs(&self) -> bool {
        self.all[self.current].state == State::Ready
    }

    fn take_up(&mut self, next: usize) {
        self.current = next;
        let Thread { registers, own, .. } = &mut self.all[next];
        set_own(*own);
        REGISTERS_END.store((&raw mut *registers).wrapping_add(1), Ordering::Relaxed);
    }
}

fn set_own(at: usize) {
    let (low, high) = (at as u32, (at as u64 >> 32) as u32);
    // SAFETY: nothing here uses the register.
    unsafe { asm!("wrmsr", in("ecx") FS_BASE, in("eax") low, in("edx") high) };
}

fn save(to: &mut Vectors) {
    // SAFETY: room for all parts that `boot.s` has enabled, aligned as is asked for.
    unsafe { asm!("xsave64 [{to}]", to = in(reg) to, in("eax") u32::MAX, in("edx") u32::MAX) };
}

fn restore(from: &Vectors) {
    // SAFETY: was saved before; nothing here is compiled to use these registers.
    unsafe { asm!("xrstor64 [{from}]", from = in(reg) from, in("eax") u32::MAX, in("edx") u32::MAX) };
}
