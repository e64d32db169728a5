//! `mirage calibrate`: from measured data to device parameters.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mirage_calibration::fit::Estimate;
use mirage_calibration::kinds::{
    FEWEST, Files, Form, Fragment, Given, Input, KINDS, Kind, Outcome, Setting, different, spread,
};
use rayon::prelude::*;

use crate::args::CalibrateArgs;
use crate::error::{CliError, Result};
use crate::folder::{Folder, number};
use crate::plots;
use crate::progress::Progress;
use crate::table::say_rows;

pub fn run(args: &CalibrateArgs) -> Result<()> {
    let Some(name) = args.kind.as_ref().filter(|_| !args.list) else {
        KINDS.iter().for_each(describe);
        return Ok(());
    };
    let kind = Kind::named(name)?;
    let given = Given::read(&args.set, kind.settings)?;
    let inputs = args.files.iter().map(|path| read(path)).collect::<Result<Vec<_>>>()?;
    let reference = args.reference.as_ref().map(|path| read(path)).transpose()?;
    if reference.is_some() && !kind.takes_reference {
        return Err(CliError::message(format!("--reference: `{}` needs no reference structure", kind.name)));
    }
    match kind.files {
        Files::Each if inputs.len() > 1 => many(args, kind, &inputs, reference.as_ref(), &given),
        _ => {
            let bar = Progress::new(args.json).bar(1, &format!("fitting {}", kind.name));
            let outcome = kind.fit(&inputs, reference.as_ref(), &given)?;
            bar.inc(1);
            bar.finish_and_clear();
            let folder = Folder::create(&args.output)?;
            write(&folder, &outcome)?;
            folder.text("command.json", &command()?)?;
            folder.finish();
            if args.json {
                say!("{}", json(&outcome)?);
                return Ok(());
            }
            tell(&outcome, &args.output)
        }
    }
}

fn read(path: &Path) -> Result<Input> {
    if path.is_dir() {
        return Err(CliError::message(format!("cannot read {}: it is a folder", path.display())));
    }
    let bytes = std::fs::read(path).map_err(|e| CliError::read(path, e))?;
    // The source of every number is the file's name; where it lay on this machine is not part of it.
    let file = path.file_name().map_or_else(|| path.to_string_lossy(), |n| n.to_string_lossy()).into_owned();
    Ok(Input { file, bytes })
}

/// Each file for itself, side by side; what fails does not keep the others from being written.
fn many(
    args: &CalibrateArgs,
    kind: &Kind,
    inputs: &[Input],
    reference: Option<&Input>,
    given: &Given,
) -> Result<()> {
    let folders = folders(&args.output, inputs)?;
    different(inputs)?;
    let bar = Progress::new(args.json).bar(inputs.len() as u64, &format!("fitting {}", kind.name));
    let fit = |input: &Input| {
        let outcome = kind.fit(std::slice::from_ref(input), reference, given);
        bar.inc(1);
        outcome
    };
    let all: Vec<_> = inputs.par_iter().map(fit).collect();
    bar.finish_and_clear();
    let whole = Folder::create(&args.output)?;
    let (mut rows, mut failures, mut fits) = (Vec::new(), Vec::new(), Vec::new());
    for ((input, outcome), path) in inputs.iter().zip(&all).zip(&folders) {
        match outcome {
            Ok(outcome) => {
                let folder = Folder::create(path)?;
                write(&folder, outcome)?;
                folder.finish();
                rows.extend(outcome.fit.parameters.iter().map(|e| row(&input.file, e)));
                fits.push(serde_json::to_value(&outcome.fit)?);
            }
            Err(error) => failures.push(error.to_string()),
        }
    }
    let columns = ["file", "name", "value", "standard_error", "lower", "upper", "unit"];
    whole.table("fits.csv", &columns, rows)?;
    let spread = process(&whole, inputs, &all)?;
    whole.text("command.json", &command()?)?;
    whole.finish();
    if args.json {
        say!("{}", serde_json::to_string_pretty(&fits)?);
    } else {
        say!("{} of {} files fitted: {}", fits.len(), inputs.len(), args.output.join("fits.csv").display());
    }
    spread.iter().for_each(|said| eprintln!("note: {said}"));
    match failures.is_empty() {
        true => Ok(()),
        false => Err(CliError::message(format!(
            "{} files were not fitted:\n  {}",
            failures.len(),
            failures.join("\n  ")
        ))),
    }
}

/// Writes the spread over the devices, or says why there is none.
fn process(
    whole: &Folder,
    inputs: &[Input],
    all: &[std::result::Result<Outcome, mirage_calibration::CalibrationError>],
) -> Result<Option<String>> {
    let fitted = inputs.iter().zip(all).filter_map(|(input, o)| Some((input, o.as_ref().ok()?)));
    let fragments: Vec<(&str, &Fragment)> =
        fitted.map(|(input, o)| (input.file.as_str(), &o.fragment)).collect();
    if fragments.len() < FEWEST {
        return Ok(None);
    }
    match spread(&fragments) {
        Ok(fragment) => {
            whole.text("spread.toml", &fragment.text())?;
            Ok(None)
        }
        Err(why) => Ok(Some(format!("no spread.toml: {why}"))),
    }
}

/// A folder for each file, by its name.
fn folders(output: &Path, inputs: &[Input]) -> Result<Vec<PathBuf>> {
    let mut seen = BTreeSet::new();
    let of = |input: &Input| {
        let stem = Path::new(&input.file).file_stem().unwrap_or_default().to_owned();
        if seen.insert(stem.clone()) {
            return Ok(output.join(stem));
        }
        let name = stem.to_string_lossy();
        Err(CliError::message(format!(
            "two files are called `{name}`: their results would fall into one folder"
        )))
    };
    inputs.iter().map(of).collect()
}

fn row(file: &str, e: &Estimate) -> Vec<String> {
    let cell = |x: Option<f64>| x.map_or(String::new(), number);
    vec![
        file.to_owned(),
        e.name.clone(),
        number(e.value),
        cell(e.standard_error),
        cell(e.lower),
        cell(e.upper),
        e.unit.clone(),
    ]
}

fn json(outcome: &Outcome) -> Result<String> {
    Ok(serde_json::to_string_pretty(&outcome.fit)?)
}

fn command() -> Result<String> {
    // No draw depends on a seed of the user's: starts and resampling have their own.
    Ok(format!("{}\n", serde_json::to_string_pretty(&crate::command_line(1))?))
}

/// fit.json, fit.csv, fit.svg, the kind's own tables, and a piece of a design file.
fn write(folder: &Folder, outcome: &Outcome) -> Result<()> {
    folder.text("fit.json", &format!("{}\n", json(outcome)?))?;
    let rows = outcome.series.iter().flat_map(|s| {
        (0..s.x.len()).map(|i| {
            let residual = s.data[i] - s.model[i];
            [s.name.clone(), number(s.x[i]), number(s.data[i]), number(s.model[i]), number(residual)]
        })
    });
    folder.table("fit.csv", &["series", "x", "data", "model", "residual"], rows)?;
    for table in &outcome.tables {
        let cells = |row: &Vec<Option<f64>>| -> Vec<String> {
            row.iter().map(|c| c.map_or(String::new(), number)).collect()
        };
        folder.table(table.name, &table.columns, table.rows.iter().map(cells))?;
    }
    plots::calibration::fit(folder, &outcome.fit.kind, outcome.x, outcome.y)?;
    if !outcome.fragment.is_empty() {
        folder.text("fragment.toml", &outcome.fragment.text())?;
    }
    for (name, text) in &outcome.files {
        folder.text(name, text)?;
    }
    Ok(())
}

/// Parameters and notes for people.
fn tell(outcome: &Outcome, output: &Path) -> Result<()> {
    // Coefficients of the couplers' response are in fit.json; nobody reads them.
    let shown = outcome.fit.parameters.iter().filter(|e| !e.name.starts_with("envelope_"));
    let digits = |e: &Estimate| {
        let error = e.standard_error.filter(|s| *s > 0.0);
        let decimals = error.map_or(6, |s| (1.0 - s.log10().floor()).clamp(0.0, 12.0) as usize);
        // What would be all zeros is told by its first digits.
        let small = error.is_some_and(|s| s < 1e-9);
        let text = |x: Option<f64>| match x {
            Some(x) if small => format!("{x:.4e}"),
            Some(x) => format!("{x:.decimals$}"),
            None => String::new(),
        };
        vec![
            e.name.clone(),
            text(Some(e.value)),
            text(e.standard_error),
            text(e.lower),
            text(e.upper),
            e.unit.clone(),
        ]
    };
    let header = ["parameter", "value", "standard error", "lower", "upper", "unit"].map(str::to_owned);
    say_rows(&header, &shown.map(digits).collect::<Vec<_>>(), false)?;
    outcome.fit.notes.iter().for_each(|n| eprintln!("note: {n}"));
    say!("{}", output.join("fit.json").display());
    Ok(())
}

fn describe(kind: &Kind) {
    let files = if kind.files == Files::Each { "each file" } else { "all files together" };
    say!("{}: {} ({files})", kind.name, kind.summary);
    let form = |s: &Setting| match s.form {
        Form::Number("", ..) => "a number".to_owned(),
        Form::Number(unit, ..) => format!("in {unit}"),
        Form::Whole(..) => "a whole number".to_owned(),
        Form::Range("", ..) => "FROM:TO".to_owned(),
        Form::Range(unit, ..) => format!("FROM:TO in {unit}"),
        Form::List("", ..) => "numbers".to_owned(),
        Form::List(unit, ..) => format!("list in {unit}"),
        Form::Word(words) => words.join(" | "),
    };
    for setting in kind.settings {
        say!("  {:<34} {}", format!("{}, {}", setting.name, form(setting)), setting.told());
    }
    if kind.takes_reference {
        say!("  --reference FILE                   spectrum of the couplers alone");
    }
}
