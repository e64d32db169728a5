//! `mirage reproduce`

use mirage_system::area::{Die, total};
use mirage_system::compare::Scope;
use mirage_system::{Component, Estimate, published};
use serde::Serialize;

use crate::args::ReproduceArgs;
use crate::design::Design;
use crate::error::Result;
use crate::folder::{Folder, number};
use crate::plots::rivals::{Interval, intervals};
use crate::progress::Progress;
use crate::study::headline::{BASIS, Headline, Moved, TRIPLE, Triple, spread};
use crate::study::rivals::{self, Devices, Rivals};
use crate::study::{devices, training::Setup};

/// Moves below this (of a logarithm) are not worth a line of needed.csv, or a bar.
const SMALL: f64 = 0.02;

pub fn run(args: &ReproduceArgs) -> Result<()> {
    let design = Design::read(args.design.as_deref())?;
    let progress = Progress::new(args.common.json);
    let seed = design.seed(args.common.seed);
    let folder = Folder::create(&args.output)?;
    let setup = Setup::new(&design, args.common.seed, progress)?;
    let operands = devices::operands_named(&args.operands, &setup, &design.gemm(seed)?)?;
    let solved = Devices::solve(&design, operands, seed, progress)?;
    let headline = Headline {
        design: &design,
        devices: &solved,
        networks: vec!["all"],
        formats: mirage_system::baselines::Format::ALL.to_vec(),
    };
    let ours = headline.ours()?;
    let moved = headline.tornado(progress)?;
    let lines = lines(&ours, &moved);
    folder.rows("headline.csv", &lines)?;
    write_tornado(&folder, &ours, &moved)?;
    let needed = needed(&headline, &moved, &ours, &lines, progress);
    folder.rows("needed.csv", &needed)?;
    let rivals = Rivals::new(&design, &solved, &[])?;
    write_area(&folder, &rivals)?;
    let steps = rivals::steps(&["all"], *design.system.batch)?;
    let chip = rivals.estimate(&steps)?.swap_remove(0);
    let reproduced = reproduced(&design, &rivals, &chip, &lines)?;
    folder.rows("reproduction.csv", &reproduced)?;
    draw(&folder, &ours, &moved, &lines)?;
    let report = report(&lines, &moved, &needed);
    folder.text("reproduction.md", &report)?;
    folder.repeatable(&design, &crate::command_line(seed))?;
    folder.finish();
    if args.common.json {
        say!(
            "{}",
            serde_json::to_string_pretty(
                &serde_json::json!({ "headline": lines, "needed": needed, "figures": reproduced })
            )?
        );
    } else {
        say!("{report}");
        say!("results in {}", folder.path().display());
    }
    Ok(())
}

/// A line of headline.csv.
#[derive(Debug, Clone, Serialize)]
struct Line {
    quantity: &'static str,
    scope: &'static str,
    format: &'static str,
    published: f64,
    ours: f64,
    lower: f64,
    upper: f64,
    geometric_mean: f64,
    ratio: f64,
    inside: &'static str,
    closest: &'static str,
    #[serde(skip)]
    place: (Scope, usize, usize),
}

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

fn published_figure(name: &str) -> f64 {
    published::mirage_figure(name).map_or(f64::NAN, |figure| figure.value)
}

/// The headline of every scope and format with its interval; marked is the format that is closest to all three.
fn lines(ours: &[Triple], moved: &[Moved]) -> Vec<Line> {
    let goals = TRIPLE.each_ref().map(|figure| published_figure(figure.name));
    let distance = |t: &Triple| (0..3).map(|i| (t.arithmetic[i] / goals[i]).ln().powi(2)).sum::<f64>();
    let closest = |scope: Scope| {
        let of_scope = ours.iter().filter(|t| t.scope == scope);
        of_scope.min_by(|a, b| distance(a).total_cmp(&distance(b))).map(|t| t.format)
    };
    let mut lines = Vec::new();
    for (index, figure) in TRIPLE.iter().enumerate() {
        for (place, t) in ours.iter().enumerate() {
            let (down, up) = spread(moved, t, index);
            let (value, goal) = (t.arithmetic[index], goals[index]);
            lines.push(Line {
                quantity: figure.name,
                scope: t.scope.name(),
                format: t.format.name(),
                published: goal,
                ours: value,
                lower: value * down,
                upper: value * up,
                geometric_mean: t.geometric[index],
                ratio: value / goal,
                inside: yes((value * down..=value * up).contains(&goal)),
                closest: yes(closest(t.scope) == Some(t.format)),
                place: (t.scope, place, index),
            });
        }
    }
    lines
}

fn write_tornado(folder: &Folder, ours: &[Triple], moved: &[Moved]) -> Result<()> {
    let header = ["quantity", "scope", "format", "key", "mark", "value", "ours", "moved", "factor", "note"];
    let mut rows = Vec::new();
    for m in moved {
        for (value, end) in m.input.values.iter().zip(&m.ends) {
            let key = [m.input.key.clone(), m.input.mark.clone(), value.clone()];
            match end {
                Err(note) => {
                    let mut row = vec![String::new(); 3];
                    row.extend(key);
                    row.extend([String::new(), String::new(), String::new(), note.clone()]);
                    rows.push(row);
                }
                Ok(triples) => {
                    for (t, own) in triples.iter().zip(ours) {
                        for (index, figure) in TRIPLE.iter().enumerate() {
                            let (now, before) = (t.arithmetic[index], own.arithmetic[index]);
                            if (now / before - 1.0).abs() < 1e-9 {
                                continue;
                            }
                            let mut row = vec![
                                figure.name.to_owned(),
                                t.scope.name().to_owned(),
                                t.format.name().to_owned(),
                            ];
                            row.extend(key.clone());
                            row.extend([number(before), number(now), number(now / before), String::new()]);
                            rows.push(row);
                        }
                    }
                }
            }
        }
    }
    folder.table("tornado.csv", &header, rows)
}

/// A line of needed.csv: what one input would have to be for one of the three to be as published.
#[derive(Debug, Serialize)]
struct Needed {
    quantity: &'static str,
    scope: &'static str,
    format: &'static str,
    published: f64,
    ours: f64,
    key: String,
    mark: String,
    factor: Option<f64>,
    at_best: f64,
}

/// For the closest format of each scope, which recalled inputs could explain the difference.
fn needed(
    headline: &Headline<'_>,
    moved: &[Moved],
    ours: &[Triple],
    lines: &[Line],
    progress: Progress,
) -> Vec<Needed> {
    use rayon::prelude::*;
    let wanted: Vec<(&Line, &Moved)> = lines
        .iter()
        .filter(|line| line.closest == "yes")
        .flat_map(|line| moved.iter().map(move |m| (line, m)))
        .filter(|(line, m)| {
            let (_, place, index) = line.place;
            let matters = |end: &std::result::Result<Vec<Triple>, String>| {
                end.as_ref().is_ok_and(|t| {
                    (t[place].arithmetic[index] / ours[place].arithmetic[index]).ln().abs() > SMALL
                })
            };
            m.input.is_number() && m.ends.iter().any(matters)
        })
        .collect();
    let bar = progress.bar(wanted.len() as u64, "what would have to change");
    let rows = wanted
        .par_iter()
        .map(|(line, m)| {
            let (scope, place, index) = line.place;
            let found = headline.needed(&m.input, (scope, ours[place].format, index), line.published);
            bar.inc(1);
            Needed {
                quantity: line.quantity,
                scope: line.scope,
                format: line.format,
                published: line.published,
                ours: line.ours,
                key: m.input.key.clone(),
                mark: m.input.mark.clone(),
                factor: found.ok(),
                at_best: found.err().unwrap_or(line.published),
            }
        })
        .collect();
    bar.finish_and_clear();
    rows
}

fn write_area(folder: &Folder, rivals: &Rivals) -> Result<()> {
    let header = ["component", "die", "count", "each_m2", "area_m2", "key", "published_m2"];
    let mut rows: Vec<Vec<String>> = rivals
        .areas
        .iter()
        .map(|item| {
            let name = [item.component.to_owned(), item.die.name().to_owned()];
            let numbers = [item.count, item.each, item.area()].map(number);
            name.into_iter().chain(numbers).chain([item.key.to_owned(), String::new()]).collect()
        })
        .collect();
    for (name, die, figure) in [
        ("all", Some(Die::Photonic), "area_photonic"),
        ("all", Some(Die::Electronic), "area_electronic"),
        ("all", None, "area"),
    ] {
        let area = total(&rivals.areas, die);
        let die = die.map_or("both", Die::name).to_owned();
        let empty = String::new;
        rows.push(vec![
            name.to_owned(),
            die,
            empty(),
            empty(),
            number(area),
            empty(),
            number(published_figure(figure)),
        ]);
    }
    folder.table("area.csv", &header, rows)
}

/// A line of reproduction.csv.
#[derive(Debug, Serialize)]
struct Reproduced {
    quantity: String,
    published: f64,
    unit: String,
    mark: String,
    ours: Option<f64>,
    lower: Option<f64>,
    upper: Option<f64>,
    ratio: Option<f64>,
    how: String,
}

/// Every published number beside ours.
fn reproduced(
    design: &Design,
    rivals: &Rivals,
    chip: &[Estimate],
    lines: &[Line],
) -> Result<Vec<Reproduced>> {
    let mean = |of: &dyn Fn(&Estimate) -> f64| chip.iter().map(of).sum::<f64>() / chip.len() as f64;
    let on_chip = |e: &Estimate| {
        let off = [Component::OffChipMemory, Component::Links].map(|c| e.energy[c as usize]);
        (e.joules() - off.iter().sum::<f64>()) / e.seconds
    };
    let sram = |e: &Estimate| {
        let memories = Component::ALL.into_iter().filter(|c| c.is_sram());
        memories.map(|c| e.energy[c as usize]).sum::<f64>() / e.seconds
    };
    let own = rivals.mirage.energy_per_mac()?;
    let power = "mean over the networks, off-chip memory not included";
    let input = "an input of the design";
    let mut rows = Vec::new();
    for figure in published::mirage() {
        let line = lines
            .iter()
            .find(|l| l.quantity == figure.quantity && l.closest == "yes" && l.place.0 == Scope::Chip);
        let (ours, how) = match figure.quantity.as_str() {
            "power" => (Some(mean(&on_chip)), power.to_owned()),
            "power_sram" => (Some(mean(&sram)), power.to_owned()),
            "power_sram_share" => (Some(mean(&sram) / mean(&on_chip)), power.to_owned()),
            "power_compute" => (Some(mean(&|e| on_chip(e) - sram(e))), power.to_owned()),
            "energy_per_mac" => (Some(own), "full tiles streaming, memories not included".to_owned()),
            "power_at_energy_per_mac" => {
                (Some(own * rivals.mirage.peak()), "the same at the peak".to_owned())
            }
            "peak_macs_per_second" => {
                (Some(rivals.mirage.peak()), "units x rows x columns x clock".to_owned())
            }
            "area" => (Some(total(&rivals.areas, None)), "area.csv".to_owned()),
            "area_photonic" => (Some(total(&rivals.areas, Some(Die::Photonic))), "area.csv".to_owned()),
            "area_electronic" => (Some(total(&rivals.areas, Some(Die::Electronic))), "area.csv".to_owned()),
            "sram_capacity" => (Some(design.system.sram.capacity.si()), input.to_owned()),
            "photonic_clock" => (Some(design.system.clock.si()), input.to_owned()),
            "program_time" => (Some(design.system.program_time.si()), input.to_owned()),
            "batch" => (Some(*design.system.batch as f64), input.to_owned()),
            _ => match line {
                Some(line) => (
                    Some(line.ours),
                    format!(
                        "mean over the networks, whole chip, {} arrays (the closest format)",
                        line.format
                    ),
                ),
                None => (None, "not simulated".to_owned()),
            },
        };
        rows.push(Reproduced {
            ratio: ours.map(|ours| ours / figure.value),
            quantity: figure.quantity,
            published: figure.value,
            unit: figure.unit,
            mark: figure.mark.to_string(),
            ours,
            lower: line.map(|line| line.lower),
            upper: line.map(|line| line.upper),
            how,
        });
    }
    Ok(rows)
}

/// headline.svg and, for each of the three, tornado-….svg of the closest format on the whole chip.
fn draw(folder: &Folder, ours: &[Triple], moved: &[Moved], lines: &[Line]) -> Result<()> {
    for (index, figure) in TRIPLE.iter().enumerate() {
        let of_figure = lines.iter().filter(|line| line.quantity == figure.name);
        let rows: Vec<Interval> = of_figure
            .map(|line| Interval {
                label: format!("{}, {}", line.format, line.scope),
                value: line.ours,
                low: line.lower,
                high: line.upper,
            })
            .collect();
        let spoken = figure.name.replace('_', " ");
        let name = format!("headline-{}.svg", figure.name.replace('_', "-"));
        let title = format!("{spoken}: ours by format and scope, published as a line");
        let goal = published_figure(figure.name);
        intervals(folder, &name, (&title, "ratio"), &rows, Some(goal))?;
        let Some(line) = lines
            .iter()
            .find(|l| l.quantity == figure.name && l.closest == "yes" && l.place.0 == Scope::Chip)
        else {
            continue;
        };
        let own = ours[line.place.1].arithmetic[index];
        let mut bars: Vec<Interval> = moved
            .iter()
            .filter_map(|m| {
                let at = |end: &std::result::Result<Vec<Triple>, String>| {
                    end.as_ref().ok().map(|t| t[line.place.1].arithmetic[index])
                };
                let values: Vec<f64> = m.ends.iter().filter_map(at).chain([own]).collect();
                let (low, high) =
                    values.iter().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
                let value =
                    if !m.input.is_number() { format!(" = {}", m.input.values[0]) } else { String::new() };
                let label =
                    format!("{}{value} ({})", m.input.key.trim_start_matches("system."), m.input.mark);
                ((high / low).ln() > SMALL).then_some(Interval { label, value: own, low, high })
            })
            .collect();
        bars.sort_by(|a, b| {
            (b.high / b.low).total_cmp(&(a.high / a.low)).then_with(|| a.label.cmp(&b.label))
        });
        bars.truncate(20);
        let name = format!("tornado-{}.svg", figure.name.replace('_', "-"));
        let title = format!("{spoken}, {}, whole chip: inputs alone", line.format);
        intervals(folder, &name, (&title, "ratio"), &bars, Some(goal))?;
    }
    Ok(())
}

/// The headline in words.
fn report(lines: &[Line], moved: &[Moved], needed: &[Needed]) -> String {
    let mut text = String::from(
        "# The published headline beside ours\n\n\
         Which arrays the headline is against is not known, so here are all formats; marked * is the one that comes closest to all three \
         numbers, chosen after the fact: that the published value lies inside its interval says that such arrays would do, not that they \
         were the ones. Means over the seven networks. Intervals: each recalled input of the design moved alone (x/÷ 1.1 for R+, 1.25 for R, \
         2 for R-), the lasers by 2, and the energy and area that arrays are made equal to as the design's own components have them \
         (column `own basis`) in place of the published ones, added as squares of logarithms. They hold what is not known of the inputs, not \
         what the closed form leaves out. headline.csv has all digits, tornado.csv every move; what moves nothing is left out, keys that \
         the closed form does not read (latencies, ports, queues) among them.\n\n\
         | quantity | published | scope | arrays | ours | interval | published inside | own basis |\n|---|---|---|---|---|---|---|---|\n",
    );
    let basis = moved.iter().find(|m| m.input.key == BASIS.0).and_then(|m| m.ends.first()?.as_ref().ok());
    for line in lines {
        let (_, place, index) = line.place;
        let own = basis.map_or(String::new(), |t| format!("{:.3}", t[place].arithmetic[index]));
        text += &format!(
            "| {} | {} | {} | {}{} | {:.3} | {:.3} to {:.3} | {} | {own} |\n",
            line.quantity,
            line.published,
            line.scope,
            line.format,
            if line.closest == "yes" { " *" } else { "" },
            line.ours,
            line.lower,
            line.upper,
            line.inside
        );
    }
    text += "\nWhat would have to change for the published value, all else as it is (inputs that could do it alone, the four that would change least; needed.csv has all):\n\n";
    for line in lines.iter().filter(|line| line.closest == "yes") {
        text += &format!("* {} ({}, {}): {}\n", line.quantity, line.scope, line.format, able(line, needed));
    }
    text
}

/// The inputs that could explain a line alone, in words; else how far the best of them gets.
fn able(line: &Line, needed: &[Needed]) -> String {
    let of_line = || needed.iter().filter(|n| n.quantity == line.quantity && n.scope == line.scope);
    let size = |n: &Needed| n.factor.map_or(f64::INFINITY, |f| f.ln().abs());
    let mut able: Vec<&Needed> = of_line().filter(|n| n.factor.is_some()).collect();
    able.sort_by(|a, b| size(a).total_cmp(&size(b)).then_with(|| a.key.cmp(&b.key)));
    let words: Vec<String> = able
        .iter()
        .take(4)
        .map(|n| format!("{} ({}) x {:.3}", n.key, n.mark, n.factor.unwrap_or(f64::NAN)))
        .collect();
    if !words.is_empty() {
        return words.join("; ");
    }
    let far = |n: &&Needed| (n.at_best / line.published).ln().abs();
    let best = of_line().filter(|n| n.at_best.is_finite()).min_by(|a, b| far(a).total_cmp(&far(b)));
    let best = best
        .map_or(String::new(), |n| format!("; {} ({}) comes closest, with {:.3}", n.key, n.mark, n.at_best));
    format!("no recalled input alone, within a tenth to ten times its value{best}")
}
