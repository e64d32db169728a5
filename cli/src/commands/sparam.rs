//! `mirage sparam`

use std::path::Path;

use comfy_table::Table;
use mirage_devices::files::{
    InterconnectFile, Load, Passivity, Reciprocity, SParameters, Selection, load_sparameters, read_sweep,
    write_touchstone,
};

use crate::args::{ConventionName, PassivityChoice, SparamArgs};
use crate::error::{CliError, Result, read_text};
use crate::folder::write_whole;

/// Speed of light in um THz.
const LIGHT: f64 = 299.792458;
/// Singular values above one by less than this are rounding of the file's digits.
const TOLERANCE: f64 = 1e-6;

pub fn run(args: &SparamArgs) -> Result<()> {
    let wrong = |why: String| {
        let help = "write name=value, with `;` between several, such as \"width=500e-9;gap=200e-9\"";
        CliError::message(format!("--sweep {}: {why}\nhelp: {help}", args.sweep))
    };
    let sweep = read_sweep(&args.sweep).map_err(wrong)?;
    if args.convention.is_some() && is_interconnect(&args.file) {
        return Err(CliError::message(format!(
            "{}: --convention is for Touchstone files; INTERCONNECT's have e^{{-i omega t}}",
            args.file.display()
        )));
    }
    let convention = args.convention.unwrap_or(ConventionName::Optics).into();
    let load = Load { selection: Selection { mode: args.mode, sweep }, convention };
    let mut table = load_sparameters(&args.file, &load).map_err(|e| {
        // What is no text at all says more than what the reader makes of it.
        let text = read_text(&args.file, "a file of S-parameters (INTERCONNECT or Touchstone)");
        text.err().filter(|_| args.file.is_file()).unwrap_or_else(|| CliError::message(e.to_string()))
    })?;
    let (reciprocity, passivity) = (table.reciprocity(), table.passivity());
    if args.json {
        say!("{}", serde_json::to_string_pretty(&summary(&table, &reciprocity, &passivity))?);
    } else {
        print(args, &table, &reciprocity, &passivity)?;
    }
    match args.passivity {
        PassivityChoice::Ignore => {}
        PassivityChoice::Test if passivity.singular_value > 1.0 + TOLERANCE => {
            let text = format!(
                "{} is not passive: its largest singular value is {:.6}; --passivity enforce lowers it to one",
                args.file.display(),
                passivity.singular_value
            );
            return Err(CliError::message(text));
        }
        PassivityChoice::Test => {}
        PassivityChoice::Enforce => table = table.enforced(),
    }
    if let Some(output) = &args.output {
        write_whole(output, converted(&table, output, args)?.as_bytes())?;
        if !args.json {
            say!("wrote {}", output.display());
        }
    }
    Ok(())
}

/// Whether a file's extension says that it is INTERCONNECT's.
fn is_interconnect(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    matches!(extension.as_str(), "sparam" | "dat" | "txt")
}

fn summary(table: &SParameters, reciprocity: &Reciprocity, passivity: &Passivity) -> serde_json::Value {
    let (low, high) = table.range();
    serde_json::json!({
        "ports": table.ports(),
        "points": table.frequencies().len(),
        "lowest_frequency_hz": low,
        "highest_frequency_hz": high,
        "reciprocity_deviation": reciprocity.deviation,
        "largest_singular_value": passivity.singular_value,
        "passive": passivity.singular_value <= 1.0 + TOLERANCE,
    })
}

fn print(
    args: &SparamArgs,
    table: &SParameters,
    reciprocity: &Reciprocity,
    passivity: &Passivity,
) -> Result<()> {
    let (low, high) = table.range();
    let ports = table.ports();
    let micrometres = |hertz: f64| LIGHT / (hertz * 1e-12);
    say!("ports        {}", ports.join(", "));
    say!(
        "range        {:.6} um to {:.6} um ({:.4} THz to {:.4} THz), {} points",
        micrometres(high),
        micrometres(low),
        low * 1e-12,
        high * 1e-12,
        table.frequencies().len()
    );
    for line in choices(&args.file)? {
        say!("{line}");
    }
    let mut text = format!("reciprocity  |S_ij - S_ji| up to {:.2e}", reciprocity.deviation);
    if reciprocity.deviation > 0.0 {
        let (first, second) = (&ports[reciprocity.first], &ports[reciprocity.second]);
        text += &format!(", between {first} and {second} at {:.6} um", micrometres(reciprocity.frequency));
    }
    say!("{text}");
    let verdict = if passivity.singular_value > 1.0 + TOLERANCE { "not passive" } else { "passive" };
    say!(
        "passivity    largest singular value {:.6} at {:.6} um: {verdict}",
        passivity.singular_value,
        micrometres(passivity.frequency)
    );
    say!("power in dB at the middle point, out by in:");
    say!("{}", powers(table));
    Ok(())
}

/// Modes and sweeps of an INTERCONNECT file that offers a choice.
fn choices(file: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(file).map_err(|e| CliError::read(file, e))?;
    // A Touchstone file has neither, and was read already.
    let Ok(read) = InterconnectFile::read(&text, &file.display().to_string()) else { return Ok(Vec::new()) };
    let mut lines = Vec::new();
    if read.modes().len() > 1 {
        let modes: Vec<String> = read.modes().iter().map(u32::to_string).collect();
        lines.push(format!("modes        {} (--mode; the first unless given)", modes.join(", ")));
    }
    for (name, values) in read.sweeps() {
        lines.push(format!("sweep        {name} = {values:?} (--sweep)"));
    }
    Ok(lines)
}

fn powers(table: &SParameters) -> Table {
    let ports = table.ports();
    let middle = table.frequencies().len() / 2;
    let mut shown = Table::new();
    shown.load_style(comfy_table::presets::NOTHING);
    shown.set_header(std::iter::once("").chain(ports.iter().map(String::as_str)));
    for (out, name) in ports.iter().enumerate() {
        let power = |input| {
            let power = table.value(out, input, middle).norm_sqr();
            if power > 0.0 { format!("{:.2}", 10.0 * power.log10()) } else { "-".to_owned() }
        };
        shown.add_row(std::iter::once(name.clone()).chain((0..ports.len()).map(power)));
    }
    shown
}

fn converted(table: &SParameters, output: &Path, args: &SparamArgs) -> Result<String> {
    let extension = output.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    let touchstone = format!("s{}p", table.ports().len());
    if extension == "csv" {
        csv(table)
    } else if extension == touchstone {
        Ok(write_touchstone(table, args.output_convention.into()))
    } else {
        let text = format!(
            "cannot write {}: the extension must be .csv, or .{touchstone} for Touchstone of {} ports",
            output.display(),
            table.ports().len()
        );
        Err(CliError::message(text))
    }
}

/// Rows of rising wavelength; the columns of `mirage circuit`.
fn csv(table: &SParameters) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["wavelength_um", "out", "in", "re", "im"])?;
    let ports = table.ports();
    for (k, frequency) in table.frequencies().iter().enumerate().rev() {
        for (out, out_name) in ports.iter().enumerate() {
            for (input, in_name) in ports.iter().enumerate() {
                let s = table.value(out, input, k);
                let wavelength = (LIGHT / (frequency * 1e-12)).to_string();
                let (re, im) = (s.re.to_string(), s.im.to_string());
                writer.write_record([wavelength.as_str(), out_name, in_name, &re, &im])?;
            }
        }
    }
    let bytes = writer.into_inner().map_err(|e| CliError::message(e.to_string()))?;
    String::from_utf8(bytes).map_err(|e| CliError::message(e.to_string()))
}
