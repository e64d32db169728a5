//! Where tensors lie: in the SRAM if they fit when they are written, else in off-chip memory.

use super::program::{Job, Stored};
use super::{Location, Machine};
use crate::Component;

impl Machine<'_> {
    /// Parameters and states stay in the SRAM from step to step, in the order of the step, as long as there is room; what else is
    /// there before the step lies off the chip.
    pub(super) fn place_lasting(&mut self) {
        for (index, tensor) in self.program.tensors.iter().enumerate() {
            if !tensor.lasting {
                continue;
            }
            self.locations[index] = Location::OffChip;
            if tensor.pinnable && self.fits(tensor) {
                self.locations[index] = Location::Resident;
                self.hold_bytes(tensor);
            }
        }
    }

    fn fits(&self, tensor: &Stored) -> bool {
        let place = tensor.place.index();
        self.held[place].checked_add(tensor.bytes()).is_some_and(|bytes| bytes <= self.setup.holding[place])
    }

    fn hold_bytes(&mut self, tensor: &Stored) {
        let place = tensor.place.index();
        self.held[place] += tensor.bytes();
        self.most_held[place] = self.most_held[place].max(self.held[place]);
    }

    /// A task begins: what it writes gets its place.
    pub(super) fn begin(&mut self, task: usize, now: u64) {
        self.account.tasks[task].begin = now;
        let program = self.program;
        for &index in &program.tasks[task].writes {
            if self.locations[index] == Location::None {
                let tensor = &program.tensors[index];
                self.locations[index] = if self.fits(tensor) {
                    self.hold_bytes(tensor);
                    Location::Resident
                } else {
                    Location::OffChip
                };
            }
        }
    }

    /// Bytes that a sweep moves from and to off-chip memory, and within the chip.
    pub(super) fn bytes_of(&mut self, task: usize) -> ([u64; 2], u64) {
        let program = self.program;
        let (mut bytes, mut inside) = ([0u64; 2], 0u64);
        let optimiser = matches!(program.tasks[task].job, Job::Sweep { optimiser: true, .. });
        let account = &mut self.account.tasks[task];
        for (index, write) in program.tasks[task]
            .reads
            .iter()
            .map(|&index| (index, false))
            .chain(program.tasks[task].writes.iter().map(|&index| (index, true)))
        {
            let tensor = &program.tensors[index];
            let size = if write { tensor.bytes() } else { tensor.plain };
            if self.locations[index] == Location::Resident {
                account.sram[tensor.place.index()] += size;
                inside += size;
            } else {
                bytes[usize::from(write)] += size;
            }
            if write && tensor.groupings > 0 {
                account.actions[Component::Quantisation as usize] += tensor.elements * tensor.groupings;
            }
        }
        if let Job::Sweep { operations, .. } = &program.tasks[task].job {
            let component = if optimiser { Component::Optimiser } else { Component::VectorUnit };
            account.actions[component as usize] += operations;
        }
        (bytes, inside)
    }
}
