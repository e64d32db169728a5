//! `mirage explore`

use std::collections::BTreeMap;

use mirage_system::area::total;
use mirage_system::{Estimate, Step};
use rayon::prelude::*;

use crate::args::ExploreArgs;
use crate::design::Design;
use crate::error::{CliError, Result};
use crate::folder::{Folder, number};
use crate::progress::Progress;
use crate::study::axis::Axis;
use crate::study::devices;
use crate::study::headline::TOGETHER;
use crate::study::rivals::{self, Devices, Rivals};
use crate::study::training::Setup;

/// More designs than this are most likely a mistake.
const MOST: usize = 100_000;

/// Keys that are set together for one point, with their values.
type Changes = Vec<(String, String)>;

/// Impossible designs whose reason is told on the screen.
const SHOWN: usize = 5;

pub fn run(args: &ExploreArgs) -> Result<()> {
    let design = Design::with_set(args.design.as_deref(), &args.set)?;
    let axes = axes(args, &design)?;
    let points = combinations(&axes)?;
    let progress = Progress::new(args.common.json);
    let seed = design.seed(args.common.seed);
    // The name is checked before any work.
    rivals::steps(&[&args.network], 1)?;
    let folder = Folder::create(&args.output)?;
    let setup = Setup::new(&design, args.common.seed, progress)?;
    let explorer = Explorer { args, design: &design, setup: &setup, seed, progress };
    let solved = explorer.solve(&points)?;
    let bar = progress.bar(points.len() as u64, "designs");
    let found: Vec<std::result::Result<Found, String>> = points
        .par_iter()
        .map(|changes| {
            let found = explorer.judge(changes, &solved);
            bar.inc(1);
            found
        })
        .collect();
    bar.finish_and_clear();
    let best = pareto(&found);
    let idle = idle(&axes, &found);
    write(&folder, &points, &found, &best)?;
    folder.table("idle-keys.csv", &["key", "note"], idle.iter().map(|key| [key.clone(), idle_note(key)]))?;
    crate::plots::rivals::explore(&folder)?;
    folder.repeatable(&design, &crate::command_line(seed))?;
    folder.finish();
    let mut header = header(&points);
    let mut rows: Vec<Vec<String>> =
        (0..points.len()).filter(|&i| best[i]).map(|i| row(&points[i], &found[i], true)).collect();
    if !args.common.json {
        // Of the front, everything is on it and possible.
        let shown = header.len() - 2;
        header.truncate(shown);
        rows.iter_mut().for_each(|row| row.truncate(shown));
    }
    crate::table::say_rows(&header, &rows, args.common.json)?;
    let impossible =
        points.iter().zip(&found).filter_map(|(changes, found)| Some((changes, found.as_ref().err()?)));
    for (changes, why) in impossible.take(SHOWN) {
        let keys: Vec<String> = changes.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        eprintln!("note: {} is impossible: {why}", keys.join(", "));
    }
    for key in &idle {
        eprintln!("note: {key} {}", idle_note(key));
    }
    if !args.common.json {
        let failed = found.iter().filter(|f| f.is_err()).count();
        say!(
            "{} of {} designs on the front, {failed} impossible (explore.csv says why); results in {}",
            rows.len(),
            points.len(),
            folder.path().display()
        );
    }
    Ok(())
}

/// What each option varies: the changes of each of its values.
fn axes(args: &ExploreArgs, design: &Design) -> Result<Vec<Vec<Changes>>> {
    let mut axes = Vec::new();
    for text in &args.sweep {
        let axis = Axis::parse(text, design)?;
        axes.push((0..axis.values.len()).map(|i| axis.changes(i)).collect());
    }
    for text in &args.choose {
        let wrong = |why: &str| {
            CliError::message(format!(
                "--choose {text}: {why}\nhelp: write KEY=VALUE;VALUE, such as system.dataflow=DF1;OPT2"
            ))
        };
        let (keys, values) = text.split_once('=').ok_or_else(|| wrong("there is no `=`"))?;
        let values: Vec<&str> = values.split(';').map(str::trim).collect();
        if values.contains(&"") {
            return Err(wrong("there is an empty value"));
        }
        let change = |value: &str| {
            keys.split(',').map(|key| (key.trim().to_owned(), value.to_owned())).collect::<Changes>()
        };
        let axis: Vec<Changes> = values.into_iter().map(change).collect();
        for (key, value) in &axis[0] {
            // A key that is not there is said before any work; a value that does not fit is a line of the table.
            design.document.with_value(key, value)?;
        }
        axes.push(axis);
    }
    let mut seen: Vec<&String> = Vec::new();
    for (key, _) in axes.iter().flat_map(|axis: &Vec<Changes>| &axis[0]) {
        if seen.contains(&key) {
            return Err(CliError::message(format!("`{key}` is varied twice: once is enough")));
        }
        seen.push(key);
    }
    Ok(axes)
}

fn combinations(axes: &[Vec<Changes>]) -> Result<Vec<Changes>> {
    let count =
        axes.iter().try_fold(1usize, |count, axis| count.checked_mul(axis.len()).filter(|&c| c <= MOST));
    if count.is_none() {
        return Err(CliError::message(format!("more than {MOST} designs: take fewer values")));
    }
    let mut points: Vec<Changes> = vec![Vec::new()];
    for axis in axes {
        let longer = |point: &Changes| {
            axis.iter().map(|changes| [point.clone(), changes.clone()].concat()).collect::<Vec<_>>()
        };
        points = points.iter().flat_map(longer).collect();
    }
    Ok(points)
}

/// One design.
#[derive(Debug, PartialEq)]
struct Found {
    seconds: f64,
    joules: f64,
    area: f64,
    rate: f64,
    laser_watts: f64,
    utilisation: f64,
    peak: f64,
}

impl Found {
    /// What should be small.
    fn goals(&self) -> [f64; 4] {
        [self.seconds, self.joules, self.area, self.rate]
    }
}

struct Explorer<'a> {
    args: &'a ExploreArgs,
    design: &'a Design,
    setup: &'a Setup,
    seed: u64,
    progress: Progress,
}

/// Devices by the changes that they depend on.
type Solved = BTreeMap<Changes, std::result::Result<(Devices, f64), String>>;

impl Explorer<'_> {
    /// The devices of all points: once for those that differ in keys of `[system]` alone.
    fn solve(&self, points: &[Changes]) -> Result<Solved> {
        let mut kinds: Vec<Changes> = points.iter().map(of_devices).collect();
        kinds.sort();
        kinds.dedup();
        let bar = self.progress.bar(kinds.len() as u64, "devices of each kind of design");
        let mut solved = Solved::new();
        for kind in kinds {
            solved.insert(kind.clone(), self.devices(&kind).map_err(first_line));
            bar.inc(1);
            self.setup.stop.check()?;
        }
        bar.finish_and_clear();
        Ok(solved)
    }

    fn devices(&self, changes: &Changes) -> Result<(Devices, f64)> {
        let design =
            if changes.is_empty() { Design::with(self.design, &[])? } else { self.design.with(changes)? };
        let gemm = design.gemm(self.seed)?;
        let operands = devices::operands_named(&self.args.operands, self.setup, &gemm)?;
        let devices = Devices::solve(&design, operands, self.seed, self.progress)?;
        let rate = devices.worst_rate();
        Ok((devices, rate))
    }

    fn judge(&self, changes: &Changes, solved: &Solved) -> std::result::Result<Found, String> {
        let (devices, rate) = match solved.get(&of_devices(changes)) {
            Some(Ok((devices, rate))) => (devices, *rate),
            Some(Err(why)) => return Err(why.clone()),
            None => return Err("its devices were not solved".to_owned()),
        };
        let design = self.design.with(changes).map_err(first_line)?;
        let steps = rivals::steps(&[&self.args.network], *design.system.batch).map_err(first_line)?;
        self.cost(&design, devices, &steps, rate).map_err(first_line)
    }

    fn cost(&self, design: &Design, devices: &Devices, steps: &[Step], rate: f64) -> Result<Found> {
        let rivals = Rivals::new(design, devices, &[])?;
        let all = rivals.estimate(steps)?.swap_remove(0);
        let sum = |of: fn(&Estimate) -> f64| all.iter().map(of).sum::<f64>();
        let peak = rivals.mirage.peak();
        Ok(Found {
            seconds: sum(|e| e.seconds),
            joules: sum(Estimate::joules),
            area: total(&rivals.areas, None),
            rate,
            laser_watts: rivals.parts.laser_watts,
            utilisation: sum(|e| e.macs as f64) / peak / sum(|e| e.seconds),
            peak,
        })
    }
}

fn first_line(e: CliError) -> String {
    e.to_string().lines().next().unwrap_or_default().to_owned()
}

/// The part of the changes that devices and arithmetic depend on, and what must go with it.
fn of_devices(changes: &Changes) -> Changes {
    let needed = |key: &str| !key.starts_with("system.") || TOGETHER.iter().any(|keys| keys.contains(&key));
    changes.iter().filter(|(key, _)| needed(key)).cloned().collect()
}

/// Which designs no other one beats: none is as good in everything and better in something.
fn pareto(found: &[std::result::Result<Found, String>]) -> Vec<bool> {
    let beaten = |goals: [f64; 4]| {
        found.iter().flatten().map(Found::goals).any(|other| {
            other.iter().zip(goals).all(|(o, g)| *o <= g) && other.iter().zip(goals).any(|(o, g)| *o < g)
        })
    };
    found.par_iter().map(|f| f.as_ref().is_ok_and(|f| !beaten(f.goals()))).collect()
}

/// The keys that change nothing: whatever the others are, all designs that differ in them alone have the same results, to the last bit.
fn idle(axes: &[Vec<Changes>], found: &[std::result::Result<Found, String>]) -> Vec<String> {
    let mut idle = Vec::new();
    // The last axis runs fastest.
    let mut stride = found.len();
    for axis in axes {
        let block = stride;
        stride /= axis.len();
        // Each design beside the one with the first value of this axis.
        let pairs = (0..found.len()).map(|point| (point, point - point % block + point % stride));
        // Reasons why a design is impossible name its values, so they differ where nothing else does.
        let alike = |(point, first): (usize, usize)| found[point].as_ref().ok() == found[first].as_ref().ok();
        let same = pairs.clone().all(alike);
        let judged = pairs.filter(|&(point, first)| point != first).any(|(point, _)| found[point].is_ok());
        if same && judged {
            let keys: Vec<&str> = axis[0].iter().map(|(key, _)| key.as_str()).collect();
            idle.push(keys.join(","));
        }
    }
    idle
}

/// What to say of such a key.
fn idle_note(key: &str) -> String {
    let what = "changes nothing here, not one digit, in the closed form that explore uses: it does not read it, or other things limit";
    let system = key.split(',').all(|key| key.starts_with("system."));
    if system { format!("{what}; `mirage simulate` models the chip event by event") } else { what.to_owned() }
}

/// Columns: the keys, then what came out.
fn header(points: &[Changes]) -> Vec<String> {
    let keys = points.first().into_iter().flatten().map(|(key, _)| key.clone());
    let results = [
        "seconds",
        "joules",
        "watts",
        "edp_joule_seconds",
        "area_m2",
        "worst_error_rate",
        "laser_watts",
        "utilisation",
        "peak_macs_per_second",
        "pareto",
        "impossible",
    ];
    keys.chain(results.map(str::to_owned)).collect()
}

fn row(changes: &Changes, found: &std::result::Result<Found, String>, best: bool) -> Vec<String> {
    let mut row: Vec<String> = changes.iter().map(|(_, value)| value.clone()).collect();
    match found {
        Ok(f) => {
            let numbers = [
                f.seconds,
                f.joules,
                f.joules / f.seconds,
                f.joules * f.seconds,
                f.area,
                f.rate,
                f.laser_watts,
                f.utilisation,
                f.peak,
            ];
            row.extend(numbers.map(number));
            row.extend([if best { "yes" } else { "no" }.to_owned(), String::new()]);
        }
        Err(why) => {
            row.extend(std::iter::repeat_n(String::new(), 9));
            row.extend(["no".to_owned(), why.clone()]);
        }
    }
    row
}

fn write(
    folder: &Folder,
    points: &[Changes],
    found: &[std::result::Result<Found, String>],
    best: &[bool],
) -> Result<()> {
    let header = header(points);
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    folder.table("explore.csv", &header, (0..points.len()).map(|i| row(&points[i], &found[i], best[i])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(goals: [f64; 4]) -> std::result::Result<Found, String> {
        let [seconds, joules, area, rate] = goals;
        Ok(Found { seconds, joules, area, rate, laser_watts: 0.0, utilisation: 0.0, peak: 0.0 })
    }

    #[test]
    fn keys_that_change_nothing_are_named() {
        let axis = |keys: &[&str], values: usize| -> Vec<Changes> {
            let change =
                |value: usize| keys.iter().map(|key| ((*key).to_owned(), value.to_string())).collect();
            (0..values).map(change).collect()
        };
        let axes = [axis(&["system.a"], 2), axis(&["b", "system.c"], 3), axis(&["system.d"], 2)];
        // Only the second one counts; then only the last, in one corner; then nothing can be built.
        let grid = |of: &dyn Fn(usize, usize, usize) -> std::result::Result<Found, String>| {
            let points = (0..12).map(|i| of(i / 6, i / 2 % 3, i % 2));
            idle(&axes, &points.collect::<Vec<_>>())
        };
        assert_eq!(grid(&|_, b, _| found([b as f64, 1.0, 1.0, 1.0])), ["system.a", "system.d"]);
        let corner = |a: usize, b: usize, d: usize| if a * b * d == 2 { 2.0 } else { 1.0 };
        assert!(grid(&|a, b, d| found([corner(a, b, d), 1.0, 1.0, 1.0])).is_empty());
        assert!(grid(&|_, _, _| Err("no".to_owned())).is_empty());
        let some = |a: usize| if a == 0 { Err("no".to_owned()) } else { found([1.0; 4]) };
        assert_eq!(grid(&|a, _, _| some(a)), ["b,system.c", "system.d"]);
        assert!(idle_note("system.a").contains("mirage simulate") && !idle_note("b").contains("simulate"));
    }

    #[test]
    fn the_front_is_what_nothing_beats() {
        let all = [
            found([1.0, 3.0, 1.0, 1.0]),
            found([2.0, 2.0, 1.0, 1.0]),
            found([2.0, 3.0, 1.0, 1.0]),
            found([3.0, 3.0, 0.5, 1.0]),
            Err("no".to_owned()),
            found([1.0, 3.0, 1.0, 1.0]),
        ];
        assert_eq!(pareto(&all), [true, true, false, true, false, true]);
    }

    #[test]
    fn points_are_all_combinations() {
        let axis = |key: &str, values: &[&str]| -> Vec<Changes> {
            values.iter().map(|value| vec![(key.to_owned(), (*value).to_owned())]).collect()
        };
        let points = combinations(&[axis("a", &["1", "2"]), axis("b", &["x", "y", "z"])]).unwrap();
        assert_eq!(points.len(), 6);
        assert_eq!(points[4], [("a".to_owned(), "2".to_owned()), ("b".to_owned(), "y".to_owned())]);
        let wide = axis("a", &["1"; 1000]);
        assert!(combinations(&[wide.clone(), wide]).is_err());
        assert_eq!(of_devices(&vec![("system.a".to_owned(), "1".to_owned())]), []);
    }
}
