//! What a run needs to go on after a stop, on disk.
//!
//! A checkpoint is one file, little-endian: `MIRAGECP`, a `u32` version of the format, a byte that is 1 when the run has ended,
//! the length of the rest as `u64`, the rest, and the SHA-256 of all before it. The rest is who wrote it for what (the
//! toolkit's version, and a SHA-256 each of network, settings, data and arithmetic), then the whole state of the run: place,
//! weights, running statistics, memory of the optimiser, counters and records. It is written under another name, flushed and
//! renamed, so that it is whole or not there; the last two are kept, so that damage to one costs no more than the steps
//! between them.

mod state;

use std::fmt::{self, Write as _};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::record::Label;
use crate::trainer::{State, Task};
use crate::{Arithmetic, Network, Parameters};
use state::{Reader, Writer};

const MAGIC: &[u8; 8] = b"MIRAGECP";
const VERSION: u32 = 3;
/// Magic, version, end mark, length.
const HEAD: usize = 8 + 4 + 1 + 8;
const HASH: usize = 32;
const SUFFIX: &str = ".checkpoint";

/// Checkpoints kept of each run.
const KEPT: usize = 2;

/// Where the checkpoints of a run are, and when they are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointPlan {
    /// The folder; it is made when it is needed.
    pub folder: PathBuf,
    /// Name of the run; files are called `NAME-STEP.checkpoint`.
    pub name: String,
    /// Steps between two checkpoints; without, one is written at the end of each epoch.
    pub every: Option<u64>,
    /// Whether the run goes on from the last one, if there is one.
    pub resume: bool,
}

/// What a run is, as hashes: only checkpoints of the same are resumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity([[u8; HASH]; 4]);

/// What the hashes of an [`Identity`] are of.
const PARTS: [&str; 4] = ["another network", "other settings", "other data", "another arithmetic"];

/// Why checkpoints cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The system refuses.
    #[error("{}: {what}: {reason}", path.display())]
    File {
        /// File or folder.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the system said.
        reason: String,
    },
    /// A file is not what was once written.
    #[error("{} cannot be used: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// All checkpoints of a run are damaged.
    #[error("no checkpoint of this run can be used; remove them to begin anew\n{}", .0.join("\n"))]
    AllDamaged(Vec<String>),
    /// A checkpoint of another run.
    #[error(
        "{} belongs to another run, with {differs}; give the command that it was made by, choose another folder, or remove it",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is different.
        differs: String,
    },
    /// Weights of another network.
    #[error(
        "{} does not hold weights of {network} as it is here: network, image size or vocabulary differ",
        path.display()
    )]
    OtherNetwork {
        /// The file.
        path: PathBuf,
        /// The network that was asked for.
        network: String,
    },
    /// Nothing to resume.
    #[error("{}: no checkpoint of such a run is there; to begin a run, leave out --resume", folder.display())]
    None {
        /// The folder.
        folder: PathBuf,
    },
    /// A run that begins anew would lose an unfinished one.
    #[error(
        "{} belongs to a run that has not ended; go on with it (--resume), choose another folder, or remove it",
        path.display()
    )]
    Unfinished {
        /// Its last checkpoint.
        path: PathBuf,
    },
}

/// Takes text into a hash.
struct Hashed(Sha256);

impl fmt::Write for Hashed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

fn hash_of(value: &dyn fmt::Debug) -> [u8; HASH] {
    let mut hashed = Hashed(Sha256::new());
    write!(hashed, "{value:?}").expect("a hash takes any text");
    hashed.0.finalize().into()
}

impl Identity {
    /// That of a run of `task` in this arithmetic.
    pub fn of(Task { network, data, config, weights }: Task<'_>, arithmetic: &Arithmetic) -> Self {
        let settings = match weights {
            None => hash_of(config),
            Some(weights) => hash_of(&(config, hash_of(weights))),
        };
        Self([hash_of(network), settings, data.hash(), hash_of(arithmetic)])
    }

    /// What is different in another one.
    fn differs(&self, other: &Self) -> Vec<&'static str> {
        let pairs = self.0.iter().zip(&other.0).zip(PARTS);
        pairs.filter(|((a, b), _)| a != b).map(|(_, part)| part).collect()
    }
}

impl CheckpointPlan {
    /// Steps and files of the checkpoints that are there, the last one first.
    fn files(&self) -> Result<Vec<(u64, PathBuf)>, CheckpointError> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(failed(&self.folder, "cannot be listed", &e)),
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| failed(&self.folder, "cannot be listed", &e))?;
            let step = entry.file_name().to_str().and_then(|name| self.step_of(name));
            files.extend(step.map(|step| (step, entry.path())));
        }
        files.sort_unstable_by(|a, b| b.cmp(a));
        Ok(files)
    }

    fn step_of(&self, file: &str) -> Option<u64> {
        file.strip_prefix(&self.name)?.strip_prefix('-')?.strip_suffix(SUFFIX)?.parse().ok()
    }

    /// Whether there are any.
    pub(crate) fn exist(&self) -> Result<bool, CheckpointError> {
        Ok(!self.files()?.is_empty())
    }

    /// An error if the last one that is whole belongs to a run that has not ended.
    pub(crate) fn refuse_unfinished(&self) -> Result<(), CheckpointError> {
        for (_, path) in self.files()? {
            match checked(&path) {
                Ok(bytes) if bytes[12] == 0 => return Err(CheckpointError::Unfinished { path }),
                Ok(_) => return Ok(()),
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Removes them, and the folder if nothing else is in it.
    ///
    /// # Errors
    /// What cannot be listed or removed.
    pub fn discard(&self) -> Result<(), CheckpointError> {
        self.clear()?;
        match std::fs::remove_dir(&self.folder) {
            Err(e) if !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {
                Err(failed(&self.folder, "cannot be removed", &e))
            }
            _ => Ok(()),
        }
    }

    /// Removes them.
    pub(crate) fn clear(&self) -> Result<(), CheckpointError> {
        self.files()?.into_iter().try_for_each(|(_, path)| remove(&path))
    }
}

/// The checkpoints of one run.
#[derive(Debug, Clone)]
pub(crate) struct Checkpoints {
    plan: CheckpointPlan,
    identity: Identity,
}

/// A state, if there is one, and what was found damaged on the way to it.
pub(crate) type Resumed = (Option<State>, Vec<String>);

impl Checkpoints {
    /// Those of the run that `identity` says.
    pub fn new(plan: CheckpointPlan, identity: Identity) -> Self {
        Self { plan, identity }
    }

    /// Whether one is due after so many steps.
    pub(crate) fn is_due(&self, steps: u64, per_epoch: u64) -> bool {
        steps.is_multiple_of(self.plan.every.unwrap_or(per_epoch))
    }

    /// Writes one, and removes all but the last two.
    pub(crate) fn save(&self, state: &State) -> Result<(), CheckpointError> {
        let folder = &self.plan.folder;
        let path = folder.join(format!("{}-{:010}{SUFFIX}", self.plan.name, state.steps));
        let bytes = self.encode(state);
        write_whole(folder, &path, &bytes).map_err(|e| failed(&path, "cannot be written", &e))?;
        let old = self.plan.files()?.into_iter().skip(KEPT);
        old.into_iter().try_for_each(|(_, path)| remove(&path))
    }

    /// The last state that can be used, if the plan is to resume and there is one.
    ///
    /// # Errors
    /// When all are damaged, or the last one that is whole belongs to another run.
    pub(crate) fn resume(&self, task: Task<'_>, label: &Label) -> Result<Resumed, CheckpointError> {
        let mut damaged = Vec::new();
        let files = if self.plan.resume { self.plan.files()? } else { Vec::new() };
        for (_, path) in &files {
            match self.read(path, task, label) {
                Ok(state) => return Ok((Some(state), damaged)),
                Err(error @ CheckpointError::Damaged { .. }) => damaged.push(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        if damaged.is_empty() { Ok((None, damaged)) } else { Err(CheckpointError::AllDamaged(damaged)) }
    }

    fn encode(&self, state: &State) -> Vec<u8> {
        let mut body = Writer::default();
        body.text(env!("CARGO_PKG_VERSION"));
        self.identity.0.iter().for_each(|hash| body.raw(hash));
        body.state(state);
        let body = body.into_bytes();
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.push(u8::from(state.ended));
        bytes.extend((body.len() as u64).to_le_bytes());
        bytes.extend(body);
        let hash = Sha256::digest(&bytes);
        bytes.extend_from_slice(&hash);
        bytes
    }

    fn read(&self, path: &Path, task: Task<'_>, label: &Label) -> Result<State, CheckpointError> {
        let bytes = checked(path)?;
        let mut reader = Reader::new(&bytes[HEAD..bytes.len() - HASH]);
        let broken = || damaged(path, BROKEN.into());
        let (version, identity) = written_for(&mut reader).ok_or_else(broken)?;
        let mut differs = self.identity.differs(&identity);
        let other = format!("version {version} of the toolkit");
        if version != env!("CARGO_PKG_VERSION") {
            differs.push(&other);
        }
        if !differs.is_empty() {
            let differs = differs.join(", ");
            return Err(CheckpointError::Foreign { path: path.into(), differs });
        }
        reader.state(task, label).ok_or_else(broken)
    }
}

/// The weights and running statistics that a checkpoint holds, of whatever run of the same network, to begin another run with
/// ([`Task::weights`]).
///
/// # Errors
/// [`CheckpointError::Damaged`], also for another version of the format, and [`CheckpointError::OtherNetwork`].
pub fn weights_of(path: &Path, network: &Network) -> Result<Parameters, CheckpointError> {
    let bytes = checked(path)?;
    let mut reader = Reader::new(&bytes[HEAD..bytes.len() - HASH]);
    let broken = || damaged(path, BROKEN.into());
    let (_, identity) = written_for(&mut reader).ok_or_else(broken)?;
    if identity.0[0] != hash_of(network) {
        return Err(CheckpointError::OtherNetwork { path: path.into(), network: network.name().into() });
    }
    reader.weights(network).ok_or_else(broken)
}

/// Whether these bytes are the state of a run of `task`: what stands in a checkpoint behind its checksum, for fuzzing.
#[doc(hidden)]
pub fn is_state(bytes: &[u8], task: Task<'_>) -> bool {
    let label = Arithmetic::Fp32.label("", 0);
    Reader::new(bytes).weights(task.network).is_some() | Reader::new(bytes).state(task, &label).is_some()
}

const BROKEN: &str = "its contents do not fit together";

/// The version of the toolkit that wrote it, and for which run.
fn written_for(reader: &mut Reader<'_>) -> Option<(String, Identity)> {
    let version = reader.text()?;
    let mut identity = Identity([[0; HASH]; 4]);
    for hash in &mut identity.0 {
        hash.copy_from_slice(reader.raw(HASH)?);
    }
    Some((version, identity))
}

/// The bytes of a checkpoint whose hash holds.
fn checked(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    let bytes = std::fs::read(path).map_err(|e| failed(path, "cannot be read", &e))?;
    if bytes.len() < HEAD + HASH {
        return Err(damaged(path, format!("{} bytes are too few for a checkpoint", bytes.len())));
    }
    if bytes[..8] != *MAGIC {
        return Err(damaged(path, "it is no checkpoint".into()));
    }
    let number = |range: std::ops::Range<usize>| {
        bytes[range].iter().rev().fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte))
    };
    if number(8..12) != u64::from(VERSION) {
        let found = number(8..12);
        return Err(damaged(
            path,
            format!("it has version {found} of the format, this program reads {VERSION}"),
        ));
    }
    let (expected, found) = (number(13..HEAD), (bytes.len() - HEAD - HASH) as u64);
    if expected != found {
        return Err(damaged(path, format!("it should hold {expected} bytes of state, and holds {found}")));
    }
    let (content, hash) = bytes.split_at(bytes.len() - HASH);
    if Sha256::digest(content)[..] != *hash {
        return Err(damaged(path, "its checksum does not hold".into()));
    }
    Ok(bytes)
}

fn write_whole(folder: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new().prefix(".mirage-").suffix(".tmp").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    // The new name is to survive a power cut too, where a folder can be flushed.
    if cfg!(unix) { std::fs::File::open(folder)?.sync_all() } else { Ok(()) }
}

fn remove(path: &Path) -> Result<(), CheckpointError> {
    std::fs::remove_file(path).map_err(|e| failed(path, "cannot be removed", &e))
}

fn failed(path: &Path, what: &'static str, error: &std::io::Error) -> CheckpointError {
    CheckpointError::File { path: path.into(), what, reason: error.to_string() }
}

fn damaged(path: &Path, problem: String) -> CheckpointError {
    CheckpointError::Damaged { path: path.into(), problem }
}

#[cfg(test)]
mod tests;
