//! Events per second of the bare kernel, single thread: timers that each schedule their successor
//! after a pseudo-random delay (the "hold" model), with 64 and with 100,000 of them pending, and
//! beside it the same with the standard library's binary heap.
//!
//! Run with `cargo bench -p mirage-events`. Each figure is the best of five runs, in time of the processor; nothing is skipped.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hint::black_box;
use std::time::Instant;

use mirage_events::{Limits, Model, Scheduler, Simulation};

/// Delays from a linear congruential generator: cheap enough not to be what is measured.
#[derive(Clone)]
struct Delays(u64);

impl Delays {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 54
    }
}

struct Timers {
    delays: Delays,
    sum: u64,
}

impl Model for Timers {
    type Event = u32;
    fn handle(&mut self, now: u64, timer: u32, scheduler: &mut Scheduler<u32>) {
        self.sum = self.sum.wrapping_add(now ^ u64::from(timer));
        scheduler.after(self.delays.next(), timer);
    }
}

fn kernel(pending: u32, events: u64) -> f64 {
    let limits = Limits { events, ..Limits::default() };
    let mut bench = Simulation::with_limits(Timers { delays: Delays(1), sum: 0 }, limits);
    for timer in 0..pending {
        bench.schedule(u64::from(timer % 1024), timer).expect("the future");
    }
    let start = Clock::start();
    bench.run().expect_err("timers never end: the limit does");
    let seconds = start.seconds();
    black_box(bench.model().sum);
    events as f64 / seconds
}

fn standard_heap(pending: u32, events: u64) -> f64 {
    let (mut delays, mut sum, mut sequence) = (Delays(1), 0u64, 0u64);
    let mut heap = BinaryHeap::new();
    for timer in 0..pending {
        heap.push(Reverse((u64::from(timer % 1024), sequence, timer)));
        sequence += 1;
    }
    let start = Clock::start();
    for _ in 0..events {
        let Some(Reverse((now, _, timer))) = heap.pop() else { break };
        sum = sum.wrapping_add(now ^ u64::from(timer));
        heap.push(Reverse((now + delays.next(), sequence, timer)));
        sequence += 1;
    }
    let seconds = start.seconds();
    black_box(sum);
    events as f64 / seconds
}

/// Time that the process had the processor for where the system tells, in hundredths of a second: other work does not count.
struct Clock {
    wall: Instant,
    processor: Option<f64>,
}

impl Clock {
    fn start() -> Self {
        Self { wall: Instant::now(), processor: Self::processor() }
    }

    fn seconds(&self) -> f64 {
        match (self.processor, Self::processor()) {
            (Some(before), Some(after)) if after > before => after - before,
            _ => self.wall.elapsed().as_secs_f64(),
        }
    }

    fn processor() -> Option<f64> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
        Some(ticks / 100.0)
    }
}

fn best_of_five(run: impl Fn() -> f64) -> f64 {
    (0..5).map(|_| run()).fold(0.0, f64::max) / 1e6
}

fn main() {
    for (pending, events) in [(8, 10_000_000), (64, 10_000_000), (100_000, 5_000_000)] {
        let ours = best_of_five(|| kernel(pending, events));
        let heap = best_of_five(|| standard_heap(pending, events));
        println!("{pending:>7} pending: {ours:6.1} M events/s   (std::collections::BinaryHeap {heap:6.1})");
    }
}
