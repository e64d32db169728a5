//! Directional couplers: how much crosses, over length and wavelength.

use super::checks::{End, apart, curves, no_fringes, within};
use super::coupler_model::{Bench, Split, Structure, angle};
use super::fringes::fringes;
use super::given::{Form, Given, Setting};
use super::mzi::WAVELENGTH;
use super::names::{length_in, per_file};
use super::outcome::{Outcome, Table};
use super::trace::{BAND, FLOOR, REPEATABILITY, THROUGH};
use super::{Files, Input, Kind};
use crate::CalibrationError;
use crate::fit::{FitError, Options, Parameter, Problem, Solution, Spread, fit};
use crate::spectrum::Spectrum;
use std::f64::consts::{FRAC_PI_2, FRAC_PI_4};

const LENGTHS: Setting = Setting {
    name: "length",
    doc: "lengths over which the guides run side by side, in the order of the files [default: from names such as dc_length5um.csv]",
    form: Form::List("um", 0.0, 1e5),
    usual: &[],
};
const CROSS: Setting =
    Setting { name: "cross", doc: "channel of the cross port", form: Form::Whole(0, 1000), usual: &[3.0] };
const STRUCTURE: Setting = Setting {
    name: "structure",
    doc: "single: one coupler; interferometer: two alike with guides of different length between them, as openEBL measures couplers [default: single]",
    form: Form::Word(&["single", "interferometer"]),
    usual: &[],
};
const PATH: Setting = Setting {
    name: "group_path",
    doc: "path difference times group index among which the fringes of an interferometer are looked for",
    form: Form::Range("um", 1.0, 1e6),
    usual: &[30.0, 1000.0],
};

/// The law of the components `directional_coupler` and `mzi`.
pub(super) const KIND: Kind = Kind {
    name: "coupler",
    summary: "directional couplers: cross-coupling over length and wavelength",
    files: Files::Together,
    takes_reference: false,
    settings: &[LENGTHS, STRUCTURE, PATH, THROUGH, CROSS, BAND, FLOOR, WAVELENGTH, REPEATABILITY],
    run,
};

fn run(inputs: &[Input], _: Option<&Input>, given: &Given) -> Result<Outcome, CalibrationError> {
    let mut hidden = Vec::new();
    let mut all: Vec<Split> = Vec::new();
    for (input, length) in inputs.iter().zip(per_file(inputs, given, "length", "0um,5um", length_in)?) {
        let spectrum = Spectrum::read(&input.bytes, &input.file)?;
        let ports = [&THROUGH, &CROSS].map(|port| given.value(port) as u32);
        apart([("through", ports[0]), ("cross", ports[1])])?;
        let split = Split::new(&spectrum, length, ports, given)?;
        if split.hidden > 0 {
            let (out, count) = (split.hidden, split.hidden + split.nanometres.len());
            hidden.push(format!(
                "{}: {out} of {count} points are left out: no light in either port",
                split.name
            ));
        }
        all.push(split);
    }
    let structure = match given.word("structure") {
        Some("interferometer") => Structure::Interferometer,
        _ => Structure::Single,
    };
    let (from, to) = band(&all);
    let usual = if (from..=to).contains(&1550.0) { 1550.0 } else { 0.5 * (from + to) };
    let bench = Bench { structure, all, centre: given.number("wavelength").unwrap_or(usual) };
    let source = inputs.iter().map(|i| i.file.as_str()).collect::<Vec<_>>().join(", ");
    let paths = given.ends(&PATH);
    let shares: Vec<Vec<f64>> = bench.all.iter().map(|s| s.share(0.0)).collect();
    curves(bench.all.iter().zip(&shares).map(|(s, share)| (s.name.as_str(), share.as_slice())))?;
    let fringes = bench.fringes(paths)?;
    let mut solution = solve(&bench, paths, &fringes, given.value(&REPEATABILITY), &source)
        .map_err(|e| CalibrationError::fit(&source, e))?;
    check(&solution, &bench, &source)?;
    solution.fit.notes.extend(hidden);
    Ok(finish(solution, &bench, given))
}

/// Whether these are single couplers. Straight parts or bends that couple nothing are true values.
fn check(solution: &Solution, bench: &Bench, source: &str) -> Result<(), CalibrationError> {
    let mut start = 0;
    for split in &bench.all {
        let range = start..start + split.nanometres.len();
        start = range.end;
        let share = split.share(0.0);
        let residual: Vec<f64> = share.iter().zip(&solution.model[range]).map(|(d, m)| d - m).collect();
        let mean = share.iter().sum::<f64>() / share.len() as f64;
        if bench.structure == Structure::Single {
            no_fringes(&split.name, &split.nanometres, &residual, mean)?;
        }
    }
    within(solution, source, &[("kappa", End::Low), ("bend_angle", End::Low)])
}

fn band(all: &[Split]) -> (f64, f64) {
    let low = all.iter().map(|s| s.nanometres[0]).fold(f64::INFINITY, f64::min);
    let high = all.iter().map(|s| s.nanometres[s.nanometres.len() - 1]).fold(f64::NEG_INFINITY, f64::max);
    (low, high)
}

pub(super) fn solve(
    bench: &Bench,
    paths: (f64, f64),
    fringes: &[(f64, f64)],
    repeatability: f64,
    source: &str,
) -> Result<Solution, FitError> {
    if bench.all.iter().all(|s| s.length == bench.all[0].length) {
        return Err(FitError::Undetermined {
            parameters: vec!["kappa".into(), "bend_angle".into()],
            reason: "all couplers have the same length, and bends and straight part cannot be told apart"
                .into(),
        });
    }
    let (parameters, starts) = question(bench, paths, fringes);
    let mut options = Options::new(source).robust();
    (options.starts, options.draws, options.polish) = (starts, 0, 3);
    let go = |level: f64, options: &Options| {
        let data: Vec<f64> = bench.all.iter().flat_map(|s| s.share(level)).collect();
        let model = |p: &[f64], out: &mut [f64]| bench.fill(p, out);
        let runs = bench.all.iter().map(|s| s.nanometres.len()).collect();
        let parameters = parameters.clone();
        let spread: Vec<f64> = bench.all.iter().flat_map(|s| s.spread.iter().copied()).collect();
        fit(
            &Problem { parameters, data: &data, spread: Spread::Guessed(&spread), runs, model: &model },
            options,
        )
    };
    let mut solution = go(0.0, &options)?;
    // The two outputs have fibre couplers of their own: one standard deviation of their difference, and what it does.
    let moved = go(repeatability, &options.from(solution.values.clone()))?;
    let shift: Vec<f64> = moved.values.iter().zip(&solution.values).map(|(a, b)| a - b).collect();
    solution.add_systematic(&shift);
    Ok(solution)
}

/// Parameters and starts; group path and a maximum of each device where it is an interferometer.
fn question(bench: &Bench, paths: (f64, f64), found: &[(f64, f64)]) -> (Vec<Parameter>, Vec<Vec<f64>>) {
    let longest = bench.all.iter().map(|s| s.length).fold(0.0, f64::max);
    // Short of the first full exchange; an interferometer cannot tell a share from what it leaves.
    let most = if bench.structure == Structure::Single { FRAC_PI_2 } else { FRAC_PI_4 };
    let mut parameters = vec![
        Parameter::new("kappa", "rad/um", 0.0, most / longest),
        Parameter::new("dkappa", "rad/um2", -20.0 / longest, 20.0 / longest),
        Parameter::new("bend_angle", "rad", 0.0, most),
        Parameter::new("dbend_angle", "rad/um", -20.0, 20.0),
    ];
    let mut tail = Vec::new();
    if bench.structure == Structure::Interferometer {
        let path = found.iter().map(|f| f.0).sum::<f64>() / found.len() as f64;
        parameters.push(Parameter::new("group_path", "um", paths.0, paths.1));
        parameters.push(Parameter::new("group_path_slope", "", -0.2 * path, 0.2 * path));
        tail.extend([path.clamp(paths.0, paths.1), 0.0]);
        let period = bench.centre.powi(2) / (path * 1e3);
        for (split, (_, fringe)) in bench.all.iter().zip(found) {
            let name = format!("fringe_{}um", split.length);
            parameters.push(Parameter::new(&name, "nm", fringe - 0.7 * period, fringe + 0.7 * period));
            tail.push(*fringe);
        }
    }
    let starts = [0.1, 0.3, 0.6].iter().flat_map(|bend| {
        let each = [0.1, 0.3, 0.6].map(|straight| vec![straight * most / longest, 0.0, bend * most, 0.0]);
        each.map(|own| [own, tail.clone()].concat())
    });
    (parameters, starts.collect())
}

impl Bench {
    /// Group path and a maximum of each device; none for single couplers.
    ///
    /// # Errors
    /// A device without fringes.
    fn fringes(&self, paths: (f64, f64)) -> Result<Vec<(f64, f64)>, CalibrationError> {
        let of = |split: &Split| {
            split.fringe(paths).ok_or_else(|| {
                CalibrationError::TooFew(format!(
                    "{}: no fringes of a group path between {} and {} um: --set group_path=FROM:TO for others",
                    split.name, paths.0, paths.1
                ))
            })
        };
        match self.structure {
            Structure::Single => Ok(Vec::new()),
            Structure::Interferometer => self.all.iter().map(of).collect(),
        }
    }
}

impl Split {
    /// Group path (um) and the wavelength (nm) of a maximum near the middle, where there are fringes.
    fn fringe(&self, paths: (f64, f64)) -> Option<(f64, f64)> {
        let metres: Vec<f64> = self.nanometres.iter().map(|nm| nm * 1e-9).collect();
        let found = fringes(&metres, &self.share(0.0), 1e-6, paths, 1, 1);
        found.first().map(|f| (f.group_index, f.maximum * 1e9))
    }
}

fn finish(mut solution: Solution, bench: &Bench, given: &Given) -> Outcome {
    let centre = bench.centre;
    let mut lengths: Vec<f64> = bench.all.iter().map(|s| s.length).collect();
    lengths.sort_by(f64::total_cmp);
    lengths.dedup();
    for length in &lengths {
        let name = format!("cross_coupling_{length}um");
        solution.add(&name, "", |p| angle(p, centre, centre, *length).sin().powi(2));
    }
    solution.add("crossover_length", "um", |p| (FRAC_PI_2 - p[2]) / p[0]);
    let ambiguity = match bench.structure {
        Structure::Single => "the couplers are taken as short of their first full exchange",
        Structure::Interferometer => {
            "an interferometer of two alike couplers cannot tell the share that crosses from the share that stays: the smaller is taken"
        }
    };
    let repeatability = given.value(&REPEATABILITY);
    solution.fit.notes.extend([
        format!("numbers over wavelength hold at {centre:.3} nm"),
        ambiguity.into(),
        format!("fibre couplers of both outputs are taken as alike within {repeatability} dB; that is in the intervals"),
    ]);
    if lengths.len() == 2 {
        let note =
            "two lengths determine bends and straight part and leave nothing to test the law over length";
        solution.fit.notes.push(note.into());
    }
    let table = over_wavelength(&solution, bench, &lengths);
    let curves: Vec<(String, &[f64], usize)> =
        bench.all.iter().map(|s| (s.name.clone(), s.nanometres.as_slice(), s.nanometres.len())).collect();
    let data: Vec<f64> = bench.all.iter().flat_map(|s| s.share(0.0)).collect();
    let mut outcome = Outcome::of(solution, &curves, "share of the power in the cross port", &data);
    outcome.tables.push(table);
    outcome
}

/// Cross-coupling of each length at 21 wavelengths of the band.
fn over_wavelength(solution: &Solution, bench: &Bench, lengths: &[f64]) -> Table {
    let (from, to) = band(&bench.all);
    let mut rows = Vec::new();
    for k in 0..=20 {
        let nm = from + (to - from) * f64::from(k) / 20.0;
        for length in lengths {
            let share = solution.derive("", "", |p| angle(p, bench.centre, nm, *length).sin().powi(2));
            rows.push(vec![Some(nm), Some(*length), Some(share.value), share.lower, share.upper]);
        }
    }
    let columns = vec!["wavelength_nm", "length_um", "cross_coupling", "lower", "upper"];
    Table { name: "coupling.csv", columns, rows }
}
