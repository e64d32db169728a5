//! `mirage circuit`: the scattering matrix of a netlist over wavelength.

use std::io::Write;
use std::path::Path;

use mirage_design::Length;
use mirage_devices::circuit::{Circuit, Netlist, Plan, Response, Solver};
use mirage_devices::component::{Component, Kind, Library, Points, Setting};
use mirage_devices::files::{SParameters, TimeConvention, write_touchstone};
use num_complex::Complex64;

use crate::args::{CircuitArgs, SolverName};
use crate::error::{CliError, Result, read_text};
use crate::folder::{number, write_whole};
use crate::plots;

const UM: f64 = 1e6;

/// Open ports that are named.
const OPEN_SHOWN: usize = 8;

pub fn run(args: &CircuitArgs) -> Result<()> {
    let library = Library::standard();
    let Some(path) = args.netlist.as_ref().filter(|_| !args.list) else {
        return print(&library.iter().map(|c| describe(c.as_ref())).collect::<Vec<_>>().join("\n"));
    };
    if args.output.iter().any(|o| args.plot && o.extension().is_some_and(|e| e == "svg")) {
        return Err(CliError::message(
            "--plot writes an .svg beside the output: give the output another ending, such as .csv",
        ));
    }
    let circuit = read(args, path, &library)?;
    let points = wavelengths(&args.wavelength)?;
    let plan = plan(&circuit, &points, args.solver)?;
    warn_of_open_ports(&circuit);
    eprintln!("{} components; {}", circuit.size(), plan.reason());
    let response = circuit.solve(&plan, &points)?;
    let table = csv(&response, &points)?;
    match &args.output {
        Some(output) => write_whole(output, &table)?,
        None if args.touchstone.is_none() => print(&String::from_utf8_lossy(&table))?,
        None => {}
    }
    if let Some(output) = args.output.as_ref().filter(|_| args.plot) {
        let ports: Vec<&str> = circuit.ports().collect();
        plots::circuit::spectra(output, &output.with_extension("svg"), &ports)?;
    }
    match &args.touchstone {
        Some(file) => touchstone(&response, &points, file),
        None => Ok(()),
    }
}

/// A reader that has seen enough, such as `head`, is no error.
fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(CliError::message(format!("cannot write to standard output: {e}")))
        }
        _ => Ok(()),
    }
}

fn read(args: &CircuitArgs, path: &Path, library: &Library) -> Result<Circuit> {
    let text = read_text(path, "a netlist (YAML or JSON)")?;
    if is_sparameters(path) {
        let name = path.display();
        return Err(CliError::message(format!(
            "{name}: these are S-parameters, not a netlist\nhelp: look at them with `mirage sparam {name}`, or make them a part of a netlist: \
             {{component: tabulated, settings: {{file: \"{name}\"}}}}"
        )));
    }
    let mut netlist = Netlist::read(&text, &path.to_string_lossy())?;
    if let Some(cell) = &args.cell {
        netlist = netlist.with_top(cell)?;
    }
    let mut circuit = match args.lenient {
        true => Circuit::lenient(&netlist, library)?,
        false => Circuit::new(&netlist, library)?,
    };
    for ignored in circuit.ignored() {
        eprintln!("warning: the setting {ignored} is unknown to its component and is left out");
    }
    for (i, set) in args.set.iter().enumerate() {
        let key = |set: &str| set.split_once('=').map(|(key, _)| key.trim().to_owned());
        if key(set).is_some() && args.set[..i].iter().any(|earlier| key(earlier) == key(set)) {
            return Err(CliError::message(format!("--set {set}: this setting is given twice; leave one")));
        }
        // Names of array elements have dots: the setting is behind the last one.
        let parsed = set.split_once('=').and_then(|(key, value)| Some((key.rsplit_once('.')?, value)));
        let Some(((part, setting), value)) = parsed else {
            let message = format!("--set {set}: write instance.setting=value, such as --set arm.length=12.5");
            return Err(CliError::message(message));
        };
        circuit.set_text(part, setting, value)?;
    }
    Ok(circuit)
}

/// Whether a file's extension says that it holds S-parameters: no netlist has one of these.
fn is_sparameters(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let touchstone = extension.strip_prefix('s').and_then(|rest| rest.strip_suffix('p'));
    matches!(extension.as_str(), "sparam" | "dat" | "snp")
        || touchstone.is_some_and(|count| !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit()))
}

/// Names ports at which light leaves the circuit without being seen.
fn warn_of_open_ports(circuit: &Circuit) {
    let open = circuit.open_ports();
    if open.is_empty() {
        return;
    }
    let named = open.iter().take(OPEN_SHOWN).map(String::as_str).collect::<Vec<_>>().join("; ");
    let more = match open.len().saturating_sub(OPEN_SHOWN) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    eprintln!(
        "warning: open ports, neither connected nor in `ports`: light that gets there is lost: {named}{more}"
    );
}

/// `FROM:TO:COUNT`, or one wavelength.
fn wavelengths(text: &str) -> Result<Points> {
    let wrong = |why: &str| CliError::message(format!("--wavelength {text}: {why}"));
    let length = |part: &str| -> Result<f64> {
        let si = part.parse::<Length>().map_err(|e| wrong(&e))?.si();
        if si > 0.0 { Ok(si) } else { Err(wrong("a wavelength is larger than zero")) }
    };
    let parts: Vec<&str> = text.split(':').collect();
    let all = match parts.as_slice() {
        [one] => vec![length(one)?],
        [from, to, count] => {
            let (from, to) = (length(from)?, length(to)?);
            let count = count.trim().parse::<u32>().ok().filter(|n| (2..=1_000_000).contains(n));
            let count = count.ok_or_else(|| wrong("the count is a whole number from 2 to 1,000,000"))?;
            if from >= to {
                return Err(wrong("the first wavelength must be smaller than the last"));
            }
            let step = (to - from) / f64::from(count - 1);
            (0..count).map(|i| if i + 1 == count { to } else { from + step * f64::from(i) }).collect()
        }
        _ => return Err(wrong("write FROM:TO:COUNT, such as 1.50um:1.58um:2001, or one wavelength")),
    };
    Points::new(all).ok_or_else(|| wrong("a wavelength is out of range"))
}

fn plan(circuit: &Circuit, points: &Points, solver: SolverName) -> Result<Plan> {
    let solver = match solver {
        SolverName::Auto => Solver::Auto,
        SolverName::Forward => Solver::Forward,
        SolverName::General => Solver::General,
    };
    let ports: Vec<&str> = circuit.ports().collect();
    Ok(circuit.plan(points, &ports, &ports, solver)?)
}

/// Wavelength by wavelength, the pairs that light can take.
fn csv(response: &Response, points: &Points) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["wavelength_um", "out", "in", "re", "im"])?;
    for (k, wavelength) in points.wavelengths().iter().enumerate() {
        // Twelve digits, so that 1.55 um is written as 1.55.
        let wavelength = number(format!("{:.11e}", wavelength * UM).parse().unwrap_or(wavelength * UM));
        for &(out, input) in response.pairs() {
            let s = response.scattering().at(out, input, k);
            let (out, input) = (&response.ports()[out], &response.ports()[input]);
            writer.write_record([&wavelength, out, input, &number(s.re), &number(s.im)])?;
        }
    }
    writer.into_inner().map_err(|e| CliError::message(format!("cannot make the table: {e}")))
}

/// All ports, in the convention of optics, with rising frequency.
fn touchstone(response: &Response, points: &Points, file: &Path) -> Result<()> {
    let (n, count) = (response.ports().len(), points.len());
    let wrong = |e: String| CliError::message(format!("{}: {e}", file.display()));
    if n.saturating_mul(n).saturating_mul(count) > 1 << 28 {
        return Err(wrong(format!("{n} ports at {count} wavelengths are too much for one file")));
    }
    let expected = format!("s{n}p");
    if !file.extension().is_some_and(|e| e.eq_ignore_ascii_case(&expected)) {
        return Err(wrong(format!("a Touchstone file of {n} ports ends in .{expected}")));
    }
    let frequencies: Vec<f64> =
        points.wavelengths().iter().rev().map(|w| mirage_devices::LIGHT_SPEED / w).collect();
    let s = response.scattering();
    let element = |place: usize| (0..count).rev().map(move |k| s.at(place / n, place % n, k));
    let values: Vec<Complex64> = (0..n * n).flat_map(element).collect();
    let table = SParameters::from_complex(response.ports().to_vec(), frequencies, &values).map_err(wrong)?;
    write_whole(file, write_touchstone(&table, TimeConvention::Optics).as_bytes())
}

/// A component with its ports and settings.
fn describe(component: &dyn Component) -> String {
    let ports = component.ports().join(", ");
    let ports = if ports.is_empty() { "as its settings say".to_owned() } else { ports };
    let mut text = format!("{}: {}\n  ports: {ports}\n", component.name(), component.summary());
    for setting in component.settings() {
        text.push_str(&format!("  {:<34} {}\n", default(setting), setting.doc));
    }
    text
}

fn default(setting: &Setting) -> String {
    let text = match setting.kind {
        Kind::Number(x) => format!("{} = {x} {}", setting.name, setting.unit),
        Kind::Optional => format!("{} (may be left out) {}", setting.name, setting.unit),
        Kind::Text(text) => format!("{} = \"{text}\"", setting.name),
        Kind::File => format!("{} (a file, needed)", setting.name),
    };
    text.trim_end().to_owned()
}
