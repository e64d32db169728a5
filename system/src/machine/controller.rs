//! The controller: it opens tasks when what they wait for is there, and ends steps.

use mirage_events::Scheduler;

use super::account::{Account, Part, TaskAccount};
use super::memory::Traffic;
use super::program::Job;
use super::{Event, FinishedStep, Machine, Port};

impl Machine<'_> {
    /// Before a step.
    pub(super) fn reset(&mut self) {
        self.waits = self.program.tasks.iter().map(|task| task.waits_for).collect();
        self.progress = vec![0; self.program.tasks.len()];
        self.residency.reset(self.program);
        self.tasks_left = self.program.tasks.len();
        self.account = Account {
            tasks: vec![TaskAccount::default(); self.program.tasks.len()],
            spent: [0; Part::COUNT],
        };
        self.memory.traffic = Traffic::default();
        self.memory.busy = 0;
        self.memory.ports_busy = [[0; 2]; Port::COUNT];
        self.load_busy = 0;
        (self.drain.busy, self.ring.busy, self.calibrations, self.events) = (0, 0, 0, 0);
        for sweeper in &mut self.sweepers {
            sweeper.busy_ticks = 0;
        }
    }

    /// What can be started at the beginning of a step: everything that waits for nothing, as far as products may be open.
    pub(super) fn first_tasks(&mut self) -> Vec<u32> {
        let mut first = Vec::new();
        for index in 0..self.program.tasks.len() {
            if self.waits[index] == 0 {
                first.extend(self.let_go(index));
            }
        }
        first.extend(self.next_products());
        first
    }

    /// A task waits for nothing any more: a product for its turn, anything else can be started.
    fn let_go(&mut self, task: usize) -> Option<u32> {
        if matches!(self.program.tasks[task].job, Job::Gemm { .. }) {
            self.ready.insert(task);
            return None;
        }
        Some(task as u32)
    }

    /// Products that can be opened now; they count as open from here on.
    fn next_products(&mut self) -> Vec<u32> {
        let mut next = Vec::new();
        while self.opening < self.setup.open_products
            && let Some(task) = self.ready.pop_first()
        {
            self.opening += 1;
            self.most_open = self.most_open.max(self.opening);
            next.push(task as u32);
        }
        next
    }

    pub(super) fn start(&mut self, task: usize, now: u64, scheduler: &mut Scheduler<Event>) {
        match self.program.tasks[task].job {
            Job::Gemm { .. } => match self.open_product(task, now) {
                Ok(slot) => {
                    self.wake(now, scheduler);
                    self.ask_for_slices(slot, now, scheduler);
                }
                Err(error) => {
                    self.failed = Some(error);
                    scheduler.stop();
                }
            },
            Job::Sweep { optimiser, .. } => {
                self.enqueue_sweep(u8::from(optimiser), task, now, scheduler);
            }
            Job::Reduce { .. } => self.begin_reduce(task, now, scheduler),
        }
    }

    /// A task begins.
    pub(super) fn begin(&mut self, task: usize, now: u64) {
        self.account.tasks[task].begin = now;
        self.residency.begin(self.program, task);
    }

    /// Samples that are there of all that a task follows.
    pub(super) fn available(&self, task: usize) -> u64 {
        let follows = self.program.tasks[task].follows.iter();
        follows.map(|&before| self.progress[before]).min().unwrap_or(self.program.batch)
    }

    /// So much of what a task writes is stored: what follows it can go on.
    pub(super) fn progressed(
        &mut self,
        task: usize,
        (part, whole): (u64, u64),
        now: u64,
        scheduler: &mut Scheduler<Event>,
    ) {
        let program = self.program;
        let followers = &program.tasks[task].followers;
        // A part of a u64 is one.
        let samples = (u128::from(program.batch) * u128::from(part) / u128::from(whole)) as u64;
        let before = std::mem::replace(&mut self.progress[task], samples);
        if followers.is_empty() || samples == before {
            return;
        }
        for &next in followers {
            if before == 0 {
                self.one_less(next, scheduler);
            } else if self.waits[next] > 0 {
                continue;
            } else if let Job::Sweep { optimiser, .. } = program.tasks[next].job {
                self.sweep(u8::from(optimiser), now, scheduler);
            } else if let Some(slot) = self.slot_of(next) {
                self.ask_for_slices(slot, now, scheduler);
            }
        }
        self.start_products(scheduler);
    }

    /// A task is done: what nobody needs any more goes, what waited for it begins.
    pub(super) fn finish(&mut self, task: usize, now: u64, scheduler: &mut Scheduler<Event>) {
        self.account.tasks[task].end = now;
        let program = self.program;
        let done = &program.tasks[task];
        self.residency.end(program, task);
        if matches!(done.job, Job::Gemm { .. }) {
            self.opening -= 1;
        }
        self.progressed(task, (1, 1), now, scheduler);
        for &next in &done.successors {
            self.one_less(next, scheduler);
        }
        self.start_products(scheduler);
        self.tasks_left -= 1;
        if self.tasks_left == 0 {
            self.end_step(now, scheduler);
        }
    }

    /// A task waits for one thing less.
    fn one_less(&mut self, task: usize, scheduler: &mut Scheduler<Event>) {
        self.waits[task] -= 1;
        if self.waits[task] == 0
            && let Some(task) = self.let_go(task)
        {
            scheduler.after(self.setup.issue, Event::Start(task));
        }
    }

    fn start_products(&mut self, scheduler: &mut Scheduler<Event>) {
        for task in self.next_products() {
            scheduler.after(self.setup.issue, Event::Start(task));
        }
    }

    fn end_step(&mut self, now: u64, scheduler: &mut Scheduler<Event>) {
        self.settle_units(now);
        self.watch(now);
        self.finished.push(FinishedStep {
            begin: self.step_began,
            end: now,
            account: std::mem::take(&mut self.account),
            traffic: self.memory.traffic,
            channel_busy: self.memory.busy,
            drain_busy: self.drain.busy,
            lanes_busy: [0, 1].map(|lanes: usize| self.sweepers[lanes].busy_ticks),
            link_busy: self.ring.busy,
            load_busy: self.load_busy,
            ports_busy: self.memory.ports_busy,
            calibrations: self.calibrations,
            events: self.events,
        });
        self.step += 1;
        self.step_began = now;
        if self.step >= self.steps {
            scheduler.stop();
            return;
        }
        if let Some(trace) = &mut self.trace {
            trace.next_step();
        }
        self.reset();
        for task in self.first_tasks() {
            scheduler.after(self.setup.issue, Event::Start(task));
        }
    }
}
