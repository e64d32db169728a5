//! Files that are whole or not there.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::design::Design;
use crate::error::{CliError, Result};
use crate::lock::Lock;

/// A folder for results. Every file is written under a temporary name and renamed when it is complete.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    written: RefCell<BTreeSet<String>>,
    /// Held as long as the folder is written to.
    _lock: Lock,
}

/// The copy of the layout or matrix of heaters that a design names.
pub const HEATERS: &str = "design-heaters.csv";

/// Files that the toolkit writes; those that were there before and are not of this run are named at its end.
const OURS: &[&str] = &[
    "accuracy.svg",
    "area.csv",
    "baseline.csv",
    "breakdown.csv",
    "breakdown.svg",
    "busy.csv",
    "channel-with-memory.csv",
    "channel.csv",
    "chip-channel.csv",
    "command.json",
    "compare-edp.svg",
    "compare-events.csv",
    "compare-mean.csv",
    "compare-power.svg",
    "compare-speedup.svg",
    "compare.csv",
    "constellation.csv",
    "constellation.svg",
    "converter-envelope.csv",
    "converter-law.csv",
    "coupling.csv",
    HEATERS,
    "design.toml",
    "device-tolerance.csv",
    "device-tolerance.svg",
    "drift-looks.csv",
    "drift.csv",
    "drift.svg",
    "energy.csv",
    "energy.svg",
    "errors.csv",
    "explore.csv",
    "explore.svg",
    "eye-opening.csv",
    "eye.csv",
    "eye.svg",
    "fit.csv",
    "fit.json",
    "fit.svg",
    "fits.csv",
    "fragment.toml",
    "gantt.svg",
    "gemms.csv",
    "groups.csv",
    "headline-edp-ratio-iso-energy.svg",
    "headline-power-ratio-iso-area.svg",
    "headline-speedup-iso-energy.svg",
    "headline.csv",
    "idle-keys.csv",
    "importance.csv",
    "inversion.csv",
    "isi.csv",
    "layers.csv",
    "limit.csv",
    "loss.csv",
    "loss.svg",
    "memory-limits.csv",
    "memory.csv",
    "needed.csv",
    "networks.csv",
    "operands.csv",
    "provenance.csv",
    "queues.csv",
    "report.html",
    "reproduction.csv",
    "reproduction.md",
    "requirements.csv",
    "resonances.csv",
    "responsivity.csv",
    "roofline.csv",
    "roofline.svg",
    "run.csv",
    "settling.csv",
    "settling.svg",
    "slip-codes.csv",
    "sobol.csv",
    "sobol.svg",
    "spread.csv",
    "spread.svg",
    "spread.toml",
    "summary.json",
    "sweep-adc-bits.svg",
    "sweep-crosstalk.svg",
    "sweep-dac-bits.svg",
    "sweep-extinction.svg",
    "sweep-laser-power.svg",
    "sweep-static-phase.svg",
    "sweep-tia-noise.svg",
    "sweep.csv",
    "sweep.svg",
    "test-loss.svg",
    "time.csv",
    "time.svg",
    "timing.csv",
    "seeds.csv",
    "tolerance.csv",
    "tolerance.svg",
    "tolerated.csv",
    "tornado-edp-ratio-iso-energy.svg",
    "tornado-power-ratio-iso-area.svg",
    "tornado-speedup-iso-energy.svg",
    "tornado.csv",
    "training-layers.csv",
    "training.csv",
    "translations.csv",
    "trim-limits.csv",
    "trim-phases.csv",
    "trim-phases.svg",
    "trim-reads.csv",
    "trim-reads.svg",
    "trim-steps.csv",
    "trim.csv",
    "utilisation.svg",
    "validation.csv",
    "variance-budget.csv",
    "variance-budget.svg",
    "variogram.csv",
    "yield-curve.csv",
    "yield-power.csv",
    "yield.csv",
    "yield.svg",
];

impl Folder {
    /// Makes the folder if needed, checks that files can be written to it, and keeps other commands out of it.
    ///
    /// # Errors
    /// A folder that cannot be written to, or that another command is writing to.
    pub fn create(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path).map_err(|e| CliError::write(path, e))?;
        tempfile::tempfile_in(path).map_err(|e| CliError::write(path, e))?;
        Ok(Self { path: path.to_owned(), written: RefCell::default(), _lock: Lock::take(path)? })
    }

    /// The SVG files that this run wrote, by name.
    pub fn pictures(&self) -> Result<BTreeMap<String, String>> {
        let written = self.written.borrow();
        let read = |name: &String| {
            let path = self.path.join(name);
            let text = std::fs::read_to_string(&path).map_err(|e| CliError::read(&path, e))?;
            Ok((name.clone(), text))
        };
        written.iter().filter(|name| name.ends_with(".svg")).map(read).collect()
    }

    /// Says, on standard error, which results of an earlier run still lie here: nothing is removed, and nothing should be taken
    /// for this run's that is not.
    pub fn finish(&self) {
        let written = self.written.borrow();
        let left =
            OURS.iter().copied().filter(|name| !written.contains(*name) && self.path.join(name).exists());
        let left: Vec<&str> = left.collect();
        if !left.is_empty() {
            let folder = self.path.display();
            eprintln!(
                "note: {folder} still holds files of an earlier run, not of this one: {}",
                left.join(", ")
            );
        }
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        debug_assert!(OURS.contains(&name), "{name} is written and must stand in OURS");
        write_whole(&self.path.join(name), bytes)?;
        self.written.borrow_mut().insert(name.to_owned());
        Ok(())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file from what `fill` writes.
    pub fn write<E: std::fmt::Display>(
        &self,
        name: &str,
        fill: impl FnOnce(&mut Vec<u8>) -> std::result::Result<(), E>,
    ) -> Result<()> {
        let mut bytes = Vec::new();
        fill(&mut bytes).map_err(|e| CliError::message(format!("cannot make {name}: {e}")))?;
        self.put(name, &bytes)
    }

    /// Writes text.
    pub fn text(&self, name: &str, text: &str) -> Result<()> {
        self.put(name, text.as_bytes())
    }

    /// Writes a JSON value, and the end of its last line.
    pub fn json(&self, name: &str, value: &serde_json::Value) -> Result<()> {
        self.text(name, &format!("{}\n", serde_json::to_string_pretty(value)?))
    }

    /// Writes what is needed to repeat a command: design.toml, the file of heaters that it names, and command.json.
    pub fn repeatable(&self, design: &Design, command: &serde_json::Value) -> Result<()> {
        self.text("design.toml", &design.kept)?;
        if let Some(heaters) = &design.heaters {
            self.text(HEATERS, &heaters.text)?;
        }
        self.json("command.json", command)
    }

    /// Writes a table of records, whose fields name the columns.
    pub fn rows(&self, name: &str, rows: &[impl serde::Serialize]) -> Result<()> {
        self.write(name, |out| -> std::result::Result<(), csv::Error> {
            let mut writer = csv::Writer::from_writer(out);
            rows.iter().try_for_each(|row| writer.serialize(row))?;
            Ok(writer.flush()?)
        })
    }

    /// Writes a table: a header and rows of fields.
    pub fn table<R: IntoIterator<Item = String>>(
        &self,
        name: &str,
        header: &[&str],
        rows: impl IntoIterator<Item = R>,
    ) -> Result<()> {
        self.write(name, |out| -> std::result::Result<(), csv::Error> {
            let mut writer = csv::Writer::from_writer(out);
            writer.write_record(header)?;
            for row in rows {
                writer.write_record(row)?;
            }
            Ok(writer.flush()?)
        })
    }
}

/// Writes a file whole or not at all.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(parent)?;
        let mut file = tempfile::Builder::new().prefix(".mirage-").suffix(".tmp").tempfile_in(parent)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        // Temporary files are private; results are as readable as any other file.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        }
        file.persist(path).map_err(|e| e.error)?;
        Ok(())
    };
    write().map_err(|e| CliError::write(path, e))
}

/// A number for a CSV: short, and exact when read back.
pub fn number(x: f64) -> String {
    if x == 0.0 || (1e-3..1e7).contains(&x.abs()) { format!("{x}") } else { format!("{x:e}") }
}
