//! Time to fit a measured ring of 20,000 points, all in: reading, search, fit of both ports, every resonance.
//!
//! `cargo bench -p mirage-calibration`; prints the best of several runs, on one thread and on all, beside the load of the machine. For one
//! thread also the time of the processor, which other work does not change much.

use mirage_calibration::kinds::{Given, Input, Kind};
use std::time::{Duration, Instant};

const RUNS: usize = 5;

/// Seconds that this process had a processor for, where the system tells, in hundredths.
fn processor() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some((fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?) / 100.0)
}

fn best(threads: usize, kind: &Kind, input: &Input, given: &Given) -> (Duration, f64) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    let run = || {
        let (start, before) = (Instant::now(), processor());
        let outcome = pool.install(|| kind.fit(std::slice::from_ref(input), None, given)).expect("a fit");
        assert!(outcome.fit.dof > 15_000);
        let spent = processor().zip(before).map_or(f64::NAN, |(after, before)| after - before);
        (start.elapsed(), spent)
    };
    (0..RUNS).map(|_| run()).min_by(|a, b| a.0.cmp(&b.0)).expect("some runs")
}

fn main() {
    let bytes = include_bytes!("../../data/openebl-2024-10/ring_double_r10um_g80nm.csv").to_vec();
    let input = Input { file: "ring_double_r10um_g80nm.csv".into(), bytes };
    let kind = Kind::named("ring").expect("a kind");
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load {}", load.split(' ').next().unwrap_or("unknown"));
    for set in [&["type=all-pass"][..], &["couplers=equal"], &[]] {
        let given = Given::read(set, kind.settings).expect("settings");
        let what = if set.is_empty() { "couplers=free" } else { set[0] };
        for threads in [1, 0] {
            let name = if threads == 1 { "one thread" } else { "all threads" };
            let (wall, processor) = best(threads, kind, &input, &given);
            println!("{what}, {name}: {:.2} s, of the processor {processor:.2} s", wall.as_secs_f64());
        }
    }
}
