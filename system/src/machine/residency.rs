//! Where tensors lie: in the SRAM if they fit when they are written, else in off-chip memory.

use super::program::{Job, Program, Stored, Task};
use super::{PLACES, TaskAccount};
use crate::Component;

/// Where a tensor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Location {
    /// Nowhere: nobody has written it yet, or nobody reads it any more.
    None,
    Resident,
    OffChip,
}

/// The tensors of a program, and how full they make the SRAM.
#[derive(Debug, Clone)]
pub(crate) struct Residency {
    locations: Vec<Location>,
    /// Tasks yet to come that need each tensor.
    uses: Vec<u32>,
    /// Bytes that each partition has for tensors, that it holds, and the most it ever held.
    holding: [u64; PLACES],
    held: [u64; PLACES],
    pub most_held: [u64; PLACES],
}

impl Residency {
    /// Before the first step. Parameters and states stay in the SRAM from step to step, in the order of the step, as long as there
    /// is room; what else is there before the step lies off the chip.
    pub fn new(program: &Program, holding: [u64; PLACES]) -> Self {
        let mut residency = Self {
            locations: vec![Location::None; program.tensors.len()],
            uses: Vec::new(),
            holding,
            held: [0; PLACES],
            most_held: [0; PLACES],
        };
        for (index, tensor) in program.tensors.iter().enumerate().filter(|(_, tensor)| tensor.lasting) {
            residency.locations[index] = Location::OffChip;
            if tensor.pinnable {
                residency.place(index, tensor);
            }
        }
        residency.reset(program);
        residency
    }

    /// Before a step.
    pub fn reset(&mut self, program: &Program) {
        self.uses = program.tensors.iter().map(|tensor| tensor.uses).collect();
    }

    pub fn resident(&self, tensor: usize) -> bool {
        self.locations[tensor] == Location::Resident
    }

    /// In the SRAM if it fits, with all its forms.
    fn place(&mut self, index: usize, tensor: &Stored) {
        let place = tensor.place.index();
        let bytes =
            self.held[place].checked_add(tensor.bytes()).filter(|&bytes| bytes <= self.holding[place]);
        self.locations[index] = if bytes.is_some() { Location::Resident } else { Location::OffChip };
        self.held[place] = bytes.unwrap_or(self.held[place]);
        self.most_held[place] = self.most_held[place].max(self.held[place]);
    }

    /// A task begins: what it writes gets its place.
    pub fn begin(&mut self, program: &Program, task: usize) {
        for &index in &program.tasks[task].writes {
            if self.locations[index] == Location::None {
                self.place(index, &program.tensors[index]);
            }
        }
    }

    /// A task is done: what nobody needs any more goes.
    pub fn end(&mut self, program: &Program, task: usize) {
        let done = &program.tasks[task];
        let written = done.writes.iter().filter(|index| !done.reads.contains(index));
        for &index in done.reads.iter().chain(written) {
            self.uses[index] -= 1;
            let tensor = &program.tensors[index];
            if self.uses[index] == 0 && !tensor.lasting {
                if self.resident(index) {
                    self.held[tensor.place.index()] -= tensor.bytes();
                }
                self.locations[index] = Location::None;
            }
        }
    }

    /// Books the accesses and operations of a sweep; gives the bytes that it moves from and to off-chip memory, and within the chip.
    pub fn sweep(&self, program: &Program, task: &Task, account: &mut TaskAccount) -> ([u64; 2], u64) {
        let (mut bytes, mut inside) = ([0u64; 2], 0u64);
        let reads = task.reads.iter().map(|&index| (index, false));
        for (index, write) in reads.chain(task.writes.iter().map(|&index| (index, true))) {
            let tensor = &program.tensors[index];
            let size = if write { tensor.bytes() } else { tensor.plain };
            if self.resident(index) {
                account.sram[tensor.place.index()] += size;
                inside += size;
            } else {
                bytes[usize::from(write)] += size;
            }
            if write && tensor.groupings > 0 {
                account.actions[Component::Quantisation as usize] += tensor.elements * tensor.groupings;
            }
        }
        if let Job::Sweep { operations, optimiser, .. } = task.job {
            let component = if optimiser { Component::Optimiser } else { Component::VectorUnit };
            account.actions[component as usize] += operations;
        }
        (bytes, inside)
    }
}
