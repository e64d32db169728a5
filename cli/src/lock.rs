//! One command at a time in a folder.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::error::{CliError, Result};

/// The file that is locked; it is removed with the lock.
const NAME: &str = ".mirage.lock";

/// A folder that no other command writes to meanwhile.
///
/// The lock is the operating system's, on an open file, so that it goes with the process whatever ends it: a file that was
/// left behind locks nothing.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Locks a folder.
    ///
    /// # Errors
    /// Another command has it; a file that cannot be made or locked.
    pub fn take(folder: &Path) -> Result<Self> {
        let path = folder.join(NAME);
        loop {
            let options = File::options().write(true).create(true).truncate(false).open(&path);
            let file = options.map_err(|e| CliError::write(&path, e))?;
            match file.try_lock() {
                // The command before may have removed the file between the opening and the lock.
                Ok(()) if is_still(&file, &path) => return Ok(Self { path, _file: file }),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(CliError::message(format!(
                        "another mirage command is writing to {}\nhelp: wait until it is done, or choose another folder with -o",
                        folder.display()
                    )));
                }
                Err(TryLockError::Error(e)) => return Err(CliError::write(&path, e)),
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Left behind, it does no harm.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whether a path still leads to an open file.
#[cfg(unix)]
fn is_still(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |m: std::fs::Metadata| (m.dev(), m.ino());
    let (open, found) = (file.metadata().map(identity), std::fs::metadata(path).map(identity));
    matches!((open, found), (Ok(a), Ok(b)) if a == b)
}

/// Elsewhere an open file cannot be removed.
#[cfg(not(unix))]
fn is_still(_: &File, _: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        // What a killed command leaves.
        std::fs::write(folder.path().join(NAME), "").unwrap();
        let lock = Lock::take(folder.path()).unwrap();
        let error = Lock::take(folder.path()).unwrap_err().to_string();
        assert!(error.contains("another mirage command"), "{error}");
        drop(lock);
        assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none());
        Lock::take(folder.path()).unwrap();
    }
}
