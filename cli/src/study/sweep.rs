//! Sweeps over any numeric key of the design, in one or two dimensions.

use mirage_arithmetic::GemmConfig;
use mirage_devices::{Bench, DeviceError, Obstacle, Operands, RequiredPower, Solution, characterise};
use serde_json::{Value, json};

use crate::design::Design;
use crate::error::{CliError, Result};
use crate::folder::{Folder, number};
use crate::journal::Journal;
use crate::study::axis::{Axis, column};
use crate::study::devices::{Answer, Question};

/// Most points of a sweep in two dimensions.
const MOST: usize = 100_000;

/// Columns after the swept keys and the values that the design leaves open.
pub const RESULTS: [&str; 14] = [
    "required",
    "modulus",
    "error_rate",
    "lower",
    "upper",
    "adjacent",
    "again",
    "snr_db",
    "detector_power_w",
    "laser_power_w",
    "required_laser_power_w",
    "reachable",
    "beyond_limit_w",
    "cause",
];

/// Which points to visit, and what to do there with the values that the design leaves open.
#[derive(Debug)]
pub struct Sweep {
    pub axes: Vec<Axis>,
    /// Solve for them at each point, instead of holding them as solved at the design itself.
    resolve: bool,
}

/// Operands of the units for another arithmetic than the design's.
pub type OperandsOf<'a> = &'a (dyn Fn(&GemmConfig) -> Result<Vec<Operands>> + Sync);

impl Sweep {
    /// Reads one or two axes; the design must be sound at every corner.
    pub fn parse(texts: &[String], resolve: bool, design: &Design) -> Result<Option<Self>> {
        let axes = texts.iter().map(|text| Axis::parse(text, design)).collect::<Result<Vec<_>>>()?;
        let [first, rest @ ..] = &axes[..] else { return Ok(None) };
        if rest.len() > 1 {
            return Err(CliError::message(
                "--sweep can be given twice at most: a sweep has one or two dimensions",
            ));
        }
        if let Some(twice) = rest.iter().flat_map(|a| &a.keys).find(|key| first.keys.contains(key)) {
            return Err(CliError::message(format!("both sweeps set `{twice}`")));
        }
        let sweep = Self { axes, resolve };
        if sweep.points() > MOST {
            let points = sweep.points();
            return Err(CliError::message(format!(
                "a sweep of {points} points is more than the {MOST} allowed"
            )));
        }
        let corners = sweep.axes.iter().fold(vec![Vec::new()], |found, axis| {
            let ends = [0, axis.values.len() - 1];
            found.iter().flat_map(|c: &Vec<usize>| ends.map(|e| [&c[..], &[e]].concat())).collect()
        });
        for corner in corners {
            design.with(&sweep.changes(&corner))?;
        }
        for axis in &sweep.axes {
            // What the rates are made of, at either end of the axis.
            let at = |i: usize| -> Result<_> {
                let design = design.with(&axis.changes(i))?;
                let gemm = design.gemm(0)?;
                Ok((design.devices.design_point(gemm.format.group), format!("{gemm:?}")))
            };
            let last = axis.values.len() - 1;
            if last > 0 && at(0)? == at(last)? {
                let key = axis.keys.join(", ");
                return Err(CliError::message(format!(
                    "`{key}` does not enter the error rates of the devices: every point of the sweep would be the same; keys that do \
                     are in [devices] and [arithmetic]"
                )));
            }
        }
        Ok(Some(sweep))
    }

    pub fn points(&self) -> usize {
        self.axes.iter().map(|axis| axis.values.len()).product()
    }

    /// What the answer depends on besides design, seed, version and operands.
    pub fn question(&self) -> Value {
        let axes = self.axes.iter().map(|a| json!({ "keys": a.keys, "unit": a.unit, "values": a.values }));
        json!({ "axes": axes.collect::<Vec<_>>(), "resolve": self.resolve })
    }

    /// Positions on the axes of the point `i`; the last axis runs fastest.
    fn position(&self, mut i: usize) -> Vec<usize> {
        let mut found: Vec<usize> = self
            .axes
            .iter()
            .rev()
            .map(|axis| {
                let n = axis.values.len();
                let here = i % n;
                i /= n;
                here
            })
            .collect();
        found.reverse();
        found
    }

    fn changes(&self, position: &[usize]) -> Vec<(String, String)> {
        self.axes.iter().zip(position).flat_map(|(axis, &i)| axis.changes(i)).collect()
    }

    /// Writes sweep.csv and its picture; what the journal has is not done again.
    pub fn run(&self, folder: &Folder, setting: &Setting<'_>, journal: &Journal) -> Result<()> {
        let open: Vec<Open> =
            solved(&setting.answer.solution).into_iter().filter(|o| !self.sets(&o.key)).collect();
        let keys =
            self.axes.iter().flat_map(Axis::columns).chain(open.iter().map(|o| column(&o.key, o.unit)));
        let header: Vec<String> = keys.chain(RESULTS.map(str::to_owned)).collect();
        let question = setting.question;
        let points = journal.run(self.points(), "sweep", (&question.stop, question.progress), |i| {
            let rows = self.point(&self.position(i), setting, &open)?;
            debug_assert!(rows.iter().all(|row| row.len() == header.len()));
            Ok(rows.concat())
        })?;
        let names: Vec<&str> = header.iter().map(String::as_str).collect();
        let rows = points.iter().flat_map(|fields| fields.chunks(header.len())).map(<[String]>::to_vec);
        folder.table("sweep.csv", &names, rows)?;
        let own: Vec<Option<f64>> =
            self.axes.iter().map(|axis| own(axis, question.design, setting.answer)).collect();
        let rates: Vec<f64> = setting.answer.characterisation.rates.iter().map(|r| r.error_rate).collect();
        crate::plots::sweep::draw(folder, &self.axes, (&own, &rates), question.point.target)?;
        Ok(())
    }

    fn sets(&self, key: &str) -> bool {
        self.axes.iter().any(|axis| axis.keys.iter().any(|k| k == key))
    }

    /// The rows of one point, one for each modulus.
    fn point(&self, position: &[usize], setting: &Setting<'_>, open: &[Open]) -> Result<Vec<Vec<String>>> {
        let mut changes = self.changes(position);
        let values: Vec<String> = self
            .axes
            .iter()
            .zip(position)
            .flat_map(|(a, &i)| a.keys.iter().map(move |_| number(a.values[i])))
            .collect();
        if !self.resolve {
            changes.extend(open.iter().map(|o| (o.key.clone(), o.text.clone())));
        }
        let base = setting.question;
        let design = base.design.with(&changes)?;
        let gemm = design.gemm(base.seed)?;
        let same = gemm.format == base.gemm.format && gemm.moduli == base.gemm.moduli;
        let operands = if same { base.operands.clone() } else { (setting.operands)(&gemm)? };
        let question = Question {
            stop: base.stop.clone(),
            ..Question::new(&design, gemm, operands, base.seed, base.progress.quiet())
        };
        let word = match (open.is_empty(), self.resolve) {
            (true, _) => "none",
            (false, true) => "solved",
            (false, false) => "held",
        };
        let solution = match question.solve() {
            Ok(solution) => solution,
            Err(CliError::Device(DeviceError::OutOfReach(obstacle))) => {
                return Ok(unreachable(&question, &values, open, word, (Some(&obstacle), obstacle.cause())));
            }
            Err(CliError::Device(error @ DeviceError::Tolerance { .. })) => {
                return Ok(unreachable(&question, &values, open, word, (None, error.to_string())));
            }
            Err(error) => return Err(error),
        };
        let found = solved(&solution);
        let open = open.iter().map(|o| match found.iter().find(|f| f.key == o.key) {
            Some(found) => number(found.value),
            None => number(o.value),
        });
        let head: Vec<String> = values.into_iter().chain(open).chain([word.to_owned()]).collect();
        results(&question, &solution, &head)
    }
}

/// Columns of results behind `head`, one row for each modulus.
fn results(question: &Question<'_>, solution: &Solution, head: &[String]) -> Result<Vec<Vec<String>>> {
    let (moduli, code) = (&question.gemm.moduli, &question.gemm.code);
    let bench = Bench::new(&solution.parameters, moduli.as_slice(), &question.operands)?;
    question.stop.check()?;
    let power = solution.laser_power;
    let found = characterise(&bench, power, moduli, code, &question.operands, &question.provenance())?;
    question.stop.check()?;
    let required = match solution.power_solved {
        true => RequiredPower::Power(power),
        false => bench.estimated_power(question.point.target, question.point.max_laser_power),
    };
    let reach = match required {
        RequiredPower::Power(power) => [number(power), "yes".into(), String::new(), String::new()],
        RequiredPower::Floor(_) => {
            let setting = question.setting_of(solution);
            let obstacle = Obstacle::find(&bench, &setting)?;
            let beyond = obstacle.needed.map_or(String::new(), number);
            [String::new(), "no".into(), beyond, obstacle.cause()]
        }
    };
    let rows = found.rates.iter().zip(&found.bounds).map(|(r, b)| {
        let (lower, upper) = (r.error_rate * b.lower_ratio, (r.error_rate * b.upper_ratio).min(1.0));
        let numbers = [r.error_rate, lower, upper, r.adjacent, r.again[0], r.snr_db(), r.signal_power, power]
            .map(number);
        let mut row = head.to_vec();
        row.push(r.modulus.to_string());
        row.extend(numbers);
        row.extend(reach.clone());
        row
    });
    Ok(rows.collect())
}

/// The rows of a point whose open values have no solution.
fn unreachable(
    question: &Question<'_>,
    values: &[String],
    open: &[Open],
    word: &str,
    (obstacle, cause): (Option<&Obstacle>, String),
) -> Vec<Vec<String>> {
    let beyond = obstacle.and_then(|o| o.needed).map_or(String::new(), number);
    let row = |modulus: &u32| {
        let mut row = values.to_vec();
        row.extend(open.iter().map(|_| String::new()));
        row.extend([word.to_owned(), modulus.to_string()]);
        row.extend(std::iter::repeat_n(String::new(), RESULTS.len() - 5));
        row.extend(["no".to_owned(), beyond.clone(), cause.clone()]);
        row
    };
    question.gemm.moduli.as_slice().iter().map(row).collect()
}

/// What a sweep is run around.
pub struct Setting<'a> {
    pub question: &'a Question<'a>,
    pub answer: &'a Answer,
    pub operands: OperandsOf<'a>,
}

/// A value that the design leaves open, as it was solved.
pub struct Open {
    pub key: String,
    unit: &'static str,
    value: f64,
    /// As the design file has it.
    pub text: String,
}

/// What a solution says of the values that the design leaves open.
pub fn solved(solution: &Solution) -> Vec<Open> {
    let one = |key: &str, value: f64, unit: &'static str, whole: bool| {
        let text = match (unit, whole) {
            (_, true) => format!("{value}"),
            ("", _) => format!("{value:?}"),
            (unit, _) => format!("{value:?} {unit}"),
        };
        Open { key: key.to_owned(), unit, value, text }
    };
    let mut all: Vec<Open> = solution
        .tolerances
        .iter()
        .map(|s| {
            let unit = s.tolerance.unit();
            // Plain numbers in the file: they have a unit only in words.
            let plain = matches!(unit, "bit" | "rad/rad");
            one(s.tolerance.key(), s.value, if plain { "" } else { unit }, unit == "bit")
        })
        .collect();
    if solution.power_solved {
        all.push(one("devices.laser.power", solution.laser_power, "W", false));
    }
    all
}

/// What a design leaves open, as it was solved: keys, and their values as the design file has them.
pub fn held(solution: &Solution) -> Vec<(String, String)> {
    solved(solution).into_iter().map(|open| (open.key, open.text)).collect()
}

/// The design's own value on an axis, given or solved.
fn own(axis: &Axis, design: &Design, answer: &Answer) -> Option<f64> {
    let found = || {
        let open = solved(&answer.solution).into_iter().find(|o| axis.keys[0] == o.key)?;
        mirage_design::convert(open.value, open.unit, &axis.unit)
    };
    axis.own(design).or_else(found)
}
