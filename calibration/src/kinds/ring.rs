//! Rings beside one bus or between two.

use super::checks::{End, Seen, apart, within};
use super::fringes::{fringes, transmission};
use super::given::{Form, Given, Setting};
use super::mzi::{INDEX, WAVELENGTH, centre, guide, usual_slope};
use super::names::{digits_before, stem};
use super::outcome::{Outcome, short};
use super::reference::Reference;
use super::resonances::{self, resonances};
use super::ring_fragment::fragment;
use super::ring_model::{NAMES, Recent, Ring, Shape, at, quality};
use super::ring_regime::{alike, alternative, regime};
use super::trace::{
    BAND, DEGREE, Envelope, FLOOR, Fitting, Owned, REPEATABILITY, THROUGH, Trace, degree, notes, polynomial,
};
use super::{Files, Input, Kind};
use crate::CalibrationError;
use crate::fit::{FitError, Options, Parameter, Solution};
use crate::spectrum::Spectrum;
use mirage_devices::component::AddDrop;
use std::f64::consts::{PI, TAU};

const RADIUS: Setting = Setting {
    name: "radius",
    doc: "radius of the ring [default: from a name such as ring_r10um.csv]",
    form: Form::Number("um", 0.5, 1e5),
    usual: &[],
};
const LENGTH: Setting = Setting {
    name: "length",
    doc: "length of one round trip, instead of the radius",
    form: Form::Number("um", 3.0, 1e6),
    usual: &[],
};
const DROP: Setting = Setting {
    name: "drop",
    doc: "channel of the drop port, if the file has it",
    form: Form::Whole(0, 1000),
    usual: &[1.0],
};
const TYPE: Setting = Setting {
    name: "type",
    doc: "all-pass for a ring beside one bus [default: add-drop if there is a drop port]",
    form: Form::Word(&["all-pass", "add-drop"]),
    usual: &[],
};
const COUPLERS: Setting = Setting {
    name: "couplers",
    doc: "free: each coupler for itself, the drop port as bright as the through port; equal: both alike, the drop port's level free [default: free]",
    form: Form::Word(&["free", "equal"]),
    usual: &[],
};
const REGIME: Setting = Setting {
    name: "regime",
    doc: "under or over: which of two answers to take, where coupling and loss can change places [default: under]",
    form: Form::Word(&["under", "over"]),
    usual: &[],
};

/// The closed form of `ring_all_pass` and `ring_add_drop`.
pub(super) const KIND: Kind = Kind {
    name: "ring",
    summary: "ring, all-pass or add-drop: resonances, group index, couplings, loss, Q, extinction, splitting",
    files: Files::Each,
    takes_reference: true,
    settings: &[
        RADIUS,
        LENGTH,
        THROUGH,
        DROP,
        TYPE,
        COUPLERS,
        REGIME,
        BAND,
        FLOOR,
        WAVELENGTH,
        INDEX,
        DEGREE,
        REPEATABILITY,
    ],
    run,
};

/// The radius in a name: `r10um`.
fn radius_in(name: &str) -> Option<f64> {
    let at = name.match_indices('r').map(|(at, _)| at + 1);
    at.filter_map(|at| {
        let end = at + name[at..].find("um")?;
        digits_before(name, end).filter(|_| name[at..end].bytes().all(|b| b.is_ascii_digit()))
    })
    .next()
}

fn length(input: &Input, given: &Given) -> Result<f64, CalibrationError> {
    match (given.number("length"), given.number("radius")) {
        (Some(_), Some(_)) => {
            Err(CalibrationError::Setting("`length` and `radius` say the same: give one of them".into()))
        }
        (Some(length), None) => Ok(length * 1e-6),
        (None, radius) => {
            let radius = radius.or_else(|| radius_in(stem(&input.file))).ok_or_else(|| {
                CalibrationError::Setting(format!(
                    "{}: the name does not say how large the ring is: --set radius=10um",
                    input.file
                ))
            })?;
            Ok(TAU * radius * 1e-6)
        }
    }
}

fn run(inputs: &[Input], reference: Option<&Input>, given: &Given) -> Result<Outcome, CalibrationError> {
    let input = &inputs[0];
    let length = length(input, given)?;
    let spectrum = Spectrum::read(&input.bytes, &input.file)?;
    let [through, drop] = [&THROUGH, &DROP].map(|port| given.value(port) as u32);
    let has_drop = spectrum.channels().iter().any(|c| c.number == drop);
    let shape = match (given.word("type"), given.word("couplers")) {
        (Some("all-pass"), _) => Shape::AllPass,
        (None, _) if !has_drop && given.number("drop").is_none() => Shape::AllPass,
        (_, Some("equal")) => Shape::Equal,
        _ => Shape::AddDrop,
    };
    if shape != Shape::AllPass {
        apart([("through", through), ("drop", drop)])?;
    }
    let reference = reference.map(|r| Reference::read(r, through, given)).transpose()?;
    let read = |number: u32| {
        let trace = Trace::new(&spectrum, number, given)?;
        reference.as_ref().map_or(Ok(trace.clone()), |r| r.cut(&trace))
    };
    let through = read(through)?;
    let drop = if shape == Shape::AllPass { None } else { Some(read(drop)?) };
    let measured = Measured { through, drop, shape, length, centre: 0.0, reference, degree: 0 };
    let measured = Measured {
        centre: centre(&measured.through, given),
        degree: degree(given, measured.reference.is_some()),
        ..measured
    };
    let start = Start::find(&measured, given)?;
    let solution = solve(&measured, &start, given, &input.file)?;
    check(&solution, &measured)?;
    let level = if shape == Shape::Equal { alike(&solution, given, &input.file)? } else { None };
    let mut outcome = finish(solution, &measured, given)?;
    outcome.fit.notes.extend(level);
    Ok(outcome)
}

/// Reach in linewidths of where a ring acts.
const ACTS: f64 = 4.0;

/// Whether there are resonances at all, and of such a ring: in each port, near them. Couplings and losses of nothing are true values.
fn check(solution: &Solution, measured: &Measured) -> Result<(), CalibrationError> {
    let allowed = ["coupling_bus", "coupling_drop", "round_trip_loss"].map(|name| (name, End::Low));
    within(solution, &measured.through.name, &allowed)?;
    let traces = measured.traces();
    let model = measured.ring(&traces, 0.0);
    let mut start = 0;
    for (port, trace) in traces.iter().enumerate() {
        let range = start..start + trace.dbm.len();
        start = range.end;
        let seen = Seen {
            trace,
            model: &solution.model[range.clone()],
            sigma: &solution.sigma[range],
            reference: &model.reference[port],
            basis: &model.basis[port],
        };
        let near = model.near(&solution.values, port, ACTS);
        seen.device(["a ring at its through port", "a ring at its drop port"][port], &|i| near[i])?;
    }
    Ok(())
}

/// What was measured, and how it is to be seen.
pub(super) struct Measured {
    pub through: Trace,
    pub drop: Option<Trace>,
    pub shape: Shape,
    pub length: f64,
    pub centre: f64,
    pub reference: Option<Reference>,
    pub degree: usize,
}

impl Measured {
    fn envelope(&self) -> Envelope {
        Envelope::new(self.degree, self.through.band())
    }

    /// The model on these traces; `drop_level` holds where that level is not fitted.
    pub fn ring(&self, traces: &[Trace], drop_level: f64) -> Ring {
        let envelope = self.envelope();
        let flat = |t: &Trace| vec![0.0; t.dbm.len()];
        let under = |t: &Trace| self.reference.as_ref().map_or_else(|| flat(t), |r| r.at(&t.nanometres));
        Ring {
            shape: self.shape,
            traces: traces.to_vec(),
            length: self.length,
            centre: self.centre,
            basis: traces.iter().map(|t| envelope.basis(&t.wavelengths)).collect(),
            terms: self.degree + 1,
            reference: traces.iter().map(under).collect(),
            drop_level,
            rings: Recent::default(),
            levels: Recent::default(),
        }
    }

    /// Through port, and drop port if there is one.
    pub fn traces(&self) -> Vec<Trace> {
        std::iter::once(&self.through).chain(&self.drop).cloned().collect()
    }
}

/// Where fits start.
pub(super) struct Start {
    pub indices: (f64, f64),
    /// Vectors of the fitted parameters, envelope included.
    pub vectors: Vec<Vec<f64>>,
    /// nm.
    pub period: f64,
    /// Points of each trace that a coarse look needs.
    pub few: usize,
}

impl Start {
    /// Group index and a resonance from the comb of dips; the sum of the losses from the width of the dips, and how they are
    /// shared from their depth: with q = pi over the finesse and s the root of the transmission on resonance, the amplitudes
    /// r and u = r2 a of both sides obey r u = 1 - q, r - u = -+ s q.
    pub fn find(measured: &Measured, given: &Given) -> Result<Self, CalibrationError> {
        let trace = &measured.through;
        let indices = given.ends(&INDEX);
        let found = fringes(&trace.wavelengths, &transmission(trace), measured.length, indices, 6, 3);
        let (from, to) = trace.band();
        let periods =
            found.first().map_or(0.0, |f| (1.0 / from - 1.0 / to) * measured.length * f.group_index);
        if periods < 1.5 {
            return Err(CalibrationError::TooFew(format!(
                "{}: fewer than two resonances of a ring of {:.2} um with a group index of {} to {} fit between {:.1} and {:.1} nm",
                trace.name,
                measured.length * 1e6,
                indices.0,
                indices.1,
                from * 1e9,
                to * 1e9
            )));
        }
        let envelope = measured.envelope();
        let lifted = match &measured.reference {
            Some(r) => trace.dbm.iter().zip(r.at(&trace.nanometres)).map(|(d, r)| d - r).collect(),
            None => trace.dbm.clone(),
        };
        let level = envelope.start(&trace.wavelengths, &lifted, true);
        let mut vectors = Vec::new();
        let mut period = 0.0;
        let mut sharpest: f64 = 1.0;
        for fringe in &found {
            let fsr = measured.centre.powi(2) / (fringe.group_index * measured.length);
            period = if period == 0.0 { fsr * 1e9 } else { period };
            // Dips are half a period from maxima.
            let resonance = if fringe.maximum > measured.centre {
                fringe.maximum - fsr / 2.0
            } else {
                fringe.maximum + fsr / 2.0
            };
            let (finesse, depth) = dips(trace, fringe.group_index, resonance, measured.length);
            sharpest = sharpest.max(finesse);
            let (q, s) = ((PI / finesse).min(0.9), depth.sqrt());
            for sign in [1.0, -1.0] {
                let r = 0.5 * (sign * s * q + ((s * q).powi(2) + 4.0 * (1.0 - q)).sqrt());
                let u = (1.0 - q) / r;
                for own in shares(measured.shape, r, u) {
                    let mut vector = vec![resonance * 1e9, fringe.group_index, usual_slope(), own[0], 0.0];
                    match measured.shape {
                        Shape::AllPass => vector.push(own[2]),
                        Shape::AddDrop => vector.extend([own[1], 0.0, own[2], 0.0, 0.0]),
                        Shape::Equal => vector.extend([own[2], 0.0, 0.0, 0.0]),
                    }
                    vector.extend(&level);
                    vectors.push(vector);
                }
            }
        }
        // Ten points for each linewidth.
        let few = 2500.max((10.0 * periods * sharpest) as usize);
        Ok(Self { indices, vectors, period, few })
    }
}

/// Couplings and loss (dB) that the amplitudes of both sides allow.
fn shares(shape: Shape, r: f64, u: f64) -> Vec<[f64; 3]> {
    let db = |a: f64| (-20.0 * a.min(0.9999).log10()).clamp(1e-4, 19.0);
    let power = |r: f64| (1.0 - r * r).clamp(1e-5, 0.98);
    match shape {
        Shape::AllPass => vec![[power(r), 0.0, db(u)]],
        Shape::Equal => vec![[power(r), 0.0, db(u / r)]],
        // Most of it the coupler's, or half and half.
        Shape::AddDrop => {
            [0.1, 0.5].iter().map(|lost| [power(r), power(u.powf(1.0 - lost)), db(u.powf(*lost))]).collect()
        }
    }
}

/// Finesse and transmission on resonance, medians over the dips.
fn dips(trace: &Trace, group_index: f64, resonance: f64, length: f64) -> (f64, f64) {
    let transmission = super::trace::running_median(&transmission(trace));
    let near = guide(resonance, group_index, usual_slope());
    let zero = near.wavenumber(resonance);
    let turns: Vec<f64> =
        trace.wavelengths.iter().map(|w| (near.wavenumber(*w) - zero) * length / TAU).collect();
    let (mut finesses, mut depths) = (Vec::new(), Vec::new());
    let (first, last) = (turns[turns.len() - 1].min(turns[0]), turns[0].max(turns[turns.len() - 1]));
    for order in first.ceil() as i64..=last.floor() as i64 {
        let off = |i: &usize| (turns[*i] - order as f64).abs() < 0.25;
        let inside: Vec<usize> = (0..turns.len()).filter(off).collect();
        let Some(bottom) =
            inside.iter().copied().min_by(|a, b| transmission[*a].total_cmp(&transmission[*b]))
        else {
            continue;
        };
        let half = 0.5 * (1.0 + transmission[bottom]);
        let width = inside.iter().filter(|i| transmission[**i] < half).count();
        // In turns, by the spacing of the points there.
        let spacing = (turns[inside[0]] - turns[inside[inside.len() - 1]]).abs() / inside.len().max(2) as f64;
        if width > 0 {
            finesses.push(1.0 / (width as f64 * spacing));
            depths.push(transmission[bottom].clamp(1e-5, 0.95));
        }
    }
    let middle = |list: &mut Vec<f64>, usual: f64| {
        list.sort_by(f64::total_cmp);
        list.get(list.len() / 2).copied().unwrap_or(usual)
    };
    (middle(&mut finesses, 20.0).clamp(1.5, 1e6), middle(&mut depths, 0.1))
}

pub(super) fn solve(
    measured: &Measured,
    start: &Start,
    given: &Given,
    source: &str,
) -> Result<Solution, CalibrationError> {
    let parameters = parameters(measured, start);
    let mut options = Options::new(source).robust();
    options.starts = start.vectors.iter().filter(|v| inside(v, &parameters)).cloned().collect();
    (options.draws, options.polish) = (0, 4);
    let traces = measured.traces();
    let few: Vec<Trace> = traces.iter().map(|t| t.thinned(start.few)).collect();
    let failed = |e: FitError| CalibrationError::fit(&measured.through.name, e);
    let maker = |level: f64| {
        move |traces: &[Trace]| -> Owned<'_> {
            let ring = measured.ring(traces, level);
            Box::new(move |p, out| ring.fill(p, out))
        }
    };
    let level = maker(0.0);
    let fitting = Fitting { parameters: parameters.clone(), make: &level };
    let mut look = fitting.look(&few, &options).map_err(failed)?;
    let found = &look.solution.values;
    let best = regime(found.clone(), measured.shape, given.word("regime").unwrap_or("under"));
    if best != *found {
        look.solution.values = best;
        look.solution = fitting.go_on(&few, &look, &options).map_err(failed)?;
    }
    // One standard deviation of the couplers to the fibres, and what it does.
    let level = maker(given.value(&REPEATABILITY));
    let moved = Fitting { parameters, make: &level };
    let go_on = || fitting.go_on(&traces, &look, &options).map_err(failed);
    if measured.shape != Shape::AddDrop {
        return go_on();
    }
    let (solution, moved) = rayon::join(go_on, || moved.go_on(&few, &look, &options).map_err(failed));
    let (mut solution, moved) = (solution?, moved?);
    let shift: Vec<f64> = moved.values.iter().zip(&look.solution.values).map(|(a, b)| a - b).collect();
    solution.add_systematic(&shift);
    Ok(solution)
}

fn inside(vector: &[f64], parameters: &[Parameter]) -> bool {
    vector.iter().zip(parameters).all(|(v, p)| (p.low..=p.high).contains(v))
}

fn parameters(measured: &Measured, start: &Start) -> Vec<Parameter> {
    let (resonance, half) = (start.vectors[0][0], 0.6 * start.period);
    let range = |place: usize| match place {
        0 => (resonance - half, resonance + half),
        1 => start.indices,
        2 => (-2.0, 2.0),
        3 | 5 => (1e-6, 0.99),
        4 | 6 => (-10.0, 10.0),
        7 => (0.0, 20.0),
        8 => (-30.0, 30.0),
        9 => (-300.0, 300.0),
        _ => (-5000.0, 5000.0),
    };
    let own = measured.shape.fitted().iter().map(|place| {
        let (name, unit) = NAMES[*place];
        Parameter::new(name, unit, range(*place).0, range(*place).1)
    });
    own.chain(measured.envelope().parameters()).collect()
}

/// Adds what follows from the fit at the centre, and the resonances one by one.
fn finish(mut solution: Solution, measured: &Measured, given: &Given) -> Result<Outcome, CalibrationError> {
    let (shape, length, centre) = (measured.shape, measured.length, measured.centre);
    let own = shape.fitted().len();
    let all = |p: &[f64]| shape.expand(&p[..own], 0.0);
    let ring = |p: &[f64]| at(&all(p), centre, centre);
    let q = |ring: AddDrop, p: &[f64]| ring.width().map_or(f64::NAN, |w| quality(w, p[1], length, centre));
    solution.add("free_spectral_range", "nm", |p| centre.powi(2) / (p[1] * length) * 1e9);
    solution.add_positive("loaded_q", "", |p| q(ring(p), p));
    solution.add_positive("intrinsic_q", "", |p| q(AddDrop { bus: 0.0, drop: 0.0, ..ring(p) }, p));
    solution.add_positive("linewidth", "pm", |p| centre / q(ring(p), p) * 1e12);
    solution.add("extinction", "dB", |p| {
        let power = |phase: f64| ring(p).fields(phase).map_or(f64::NAN, |f| f.through.norm_sqr());
        10.0 * (power(PI) / power(0.0)).log10()
    });
    if shape != Shape::AllPass {
        solution.add("drop_loss", "dB", |p| {
            -10.0 * ring(p).fields(0.0).map_or(f64::NAN, |f| f.drop.norm_sqr()).log10()
        });
    }
    solution.add("loss", "dB/cm", |p| all(p)[7] / (100.0 * length));
    let basis = Envelope::new(measured.degree, measured.through.band());
    let envelope = |nm: f64| polynomial(&basis.basis(&[nm * 1e-9]), &solution.values[own..]);
    let expanded = all(&solution.values);
    let singles = resonances(measured, &expanded, &envelope)?;
    remark(&mut solution, measured, given, &singles);
    let through = &measured.through;
    let mut curves = vec![(through.name.clone(), through.nanometres.as_slice(), through.dbm.len())];
    let mut data = through.dbm.clone();
    if let Some(drop) = &measured.drop {
        curves.push((drop.name.clone(), drop.nanometres.as_slice(), drop.dbm.len()));
        data.extend(&drop.dbm);
    }
    let fragment = fragment(&solution.fit, shape, length, centre);
    let mut outcome = Outcome::of(solution, &curves, "power (dBm)", &data);
    outcome.tables.push(resonances::table(&singles));
    outcome.fragment = fragment;
    Ok(outcome)
}

fn remark(solution: &mut Solution, measured: &Measured, given: &Given, singles: &[resonances::Resonance]) {
    let wanted = given.word("regime").unwrap_or("under");
    let mut all = vec![format!("numbers over wavelength hold at {:.3} nm", measured.centre * 1e9)];
    match measured.shape {
        Shape::AllPass => all.push(alternative(
            solution,
            measured.shape,
            wanted,
            "one dip cannot tell coupling from loss",
            "a drop port would decide",
        )),
        Shape::AddDrop => {
            all.push(alternative(
                solution,
                measured.shape,
                wanted,
                "through and drop port alone cannot tell the bus coupler from the rest of a round trip",
                "the add port would decide",
            ));
            all.push(format!(
                "which part of the width is the drop coupler's and which is loss rests on the level of the drop port, taken as that of the \
                 through port's couplers within {} dB: where loss is small, --set couplers=equal determines it far better, if both couplers are drawn \
                 alike",
                short(given.value(&REPEATABILITY))
            ));
        }
        Shape::Equal => {
            all.push("both couplers are taken as alike, and the level of the drop port is free".into())
        }
    }
    let split: Vec<String> =
        singles.iter().filter(|r| r.splitting.is_some()).map(|r| format!("{:.2}", r.wavelength)).collect();
    if !split.is_empty() {
        all.push(format!("resonances split by backscatter, at {} nm: see resonances.csv", split.join(", ")));
    }
    solution.fit.notes.extend(all);
    solution.fit.notes.extend(notes(&measured.traces()));
}
