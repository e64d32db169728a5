//! Files that are whole or not there.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{CliError, Result};

/// A folder for results. Every file is written under a temporary name and renamed when it is complete.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes the folder if needed and checks that files can be written to it.
    pub fn create(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path).map_err(|e| CliError::write(path, e))?;
        tempfile::tempfile_in(path).map_err(|e| CliError::write(path, e))?;
        Ok(Self { path: path.to_owned() })
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
        write_whole(&self.path.join(name), &bytes)
    }

    /// Writes text.
    pub fn text(&self, name: &str, text: &str) -> Result<()> {
        write_whole(&self.path.join(name), text.as_bytes())
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
