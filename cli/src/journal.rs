//! Finished items of long work, kept on disk so that an interrupted command goes on where it was.
//!
//! A journal is a text file: a line that names the question, then one line for each finished item, in the order in which
//! they finished: a checksum, the item's number, and its fields, separated by tabs. The checksum covers the question too,
//! so that a line of another question is never taken for one of this.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use mirage_devices::{DeviceError, Study, Watch, run_study};
use rayon::prelude::*;
use serde_json::Value;

use crate::error::{CliError, Result};
use crate::progress::Progress;
use crate::stop::Stop;
use crate::study::devices::sha256;

/// First words of the file.
const TITLE: &str = "# mirage journal 1";

/// Characters of a checksum: 64 bits of SHA-256.
const CHECKSUM: usize = 16;

/// The finished items of one question.
pub struct Journal {
    path: PathBuf,
    /// Hash of the question.
    key: String,
    file: Mutex<File>,
    finished: BTreeMap<usize, Vec<String>>,
}

impl Journal {
    /// Opens the journal `name` of a folder, or begins it. `question` is all that the answer depends on: work of a command
    /// that asks anything else is not touched.
    ///
    /// # Errors
    /// A journal of another question, one that another process writes to, or a file that cannot be used.
    pub fn open(folder: &Path, name: &str, question: &Value) -> Result<Self> {
        let path = folder.join(format!("{name}.journal"));
        let key = sha256(question.to_string().as_bytes());
        let write = |e| CliError::write(&path, e);
        let options = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = options.map_err(write)?;
        file.try_lock().map_err(|e| match e {
            TryLockError::WouldBlock => {
                CliError::message(format!("{} is in use by another run", path.display()))
            }
            TryLockError::Error(e) => CliError::write(&path, e),
        })?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(|e| CliError::read(&path, e))?;
        // A line that was cut off, by a crash or a full disk, ends without a line break.
        let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        file.set_len(whole as u64).and_then(|()| file.seek(SeekFrom::End(0))).map_err(write)?;
        let text = String::from_utf8_lossy(&text[..whole]);
        let title = format!("{TITLE} {key} {question}");
        let mut lines = text.lines();
        match lines.next() {
            None => writeln!(file, "{title}").and_then(|()| file.sync_data()).map_err(write)?,
            Some(first) if first == title => {}
            // Nothing was finished of the other question: there is nothing to keep.
            Some(first) if first.starts_with(TITLE) && lines.clone().next().is_none() => {
                let fresh = file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0)));
                fresh
                    .and_then(|_| writeln!(file, "{title}"))
                    .and_then(|()| file.sync_data())
                    .map_err(write)?;
            }
            Some(first) => return Err(other_question(&path, first, lines.count(), question)),
        }
        let finished: BTreeMap<_, _> = lines.filter_map(|line| item_of(line, &key)).collect();
        Ok(Self { path, key, file: Mutex::new(file), finished })
    }

    /// Does the items 0 to `count`, those that the journal has not, on all cores; gives the fields of all, in order.
    /// `work` may stop early with [`CliError::Stopped`].
    ///
    /// # Errors
    /// The first error of `work`; [`CliError::Stopped`] when the user asked to stop, with what is kept and where.
    pub fn run(
        &self,
        count: usize,
        what: &str,
        (stop, progress): (&Stop, Progress),
        work: impl Fn(usize) -> Result<Vec<String>> + Sync,
    ) -> Result<Vec<Vec<String>>> {
        let open: Vec<usize> = (0..count).filter(|i| !self.finished.contains_key(i)).collect();
        let kept = AtomicUsize::new(count - open.len());
        let bar = progress.bar(count as u64, what);
        bar.begin_at((count - open.len()) as u64);
        let one = |&item: &usize| -> Result<(usize, Vec<String>)> {
            stop.check()?;
            let fields = work(item)?;
            self.keep(item, &fields)?;
            kept.fetch_add(1, Ordering::Relaxed);
            bar.inc(1);
            Ok((item, fields))
        };
        let fresh: Result<BTreeMap<_, _>> = open.par_iter().map(one).collect();
        bar.finish_and_clear();
        match fresh {
            Err(CliError::Stopped(_)) => Err(self.stopped(kept.into_inner(), count)),
            Err(error) => Err(error),
            Ok(mut all) => {
                let old = self.finished.iter().filter(|(item, _)| **item < count);
                all.extend(old.map(|(item, fields)| (*item, fields.clone())));
                Ok(all.into_values().collect())
            }
        }
    }

    /// As [`Journal::run`], for a study of the device models.
    pub fn study<S: Study>(&self, study: &S, (stop, progress): (&Stop, Progress)) -> Result<S::Outcome> {
        let numbers =
            |fields: &Vec<String>| fields.iter().map(|f| f.parse().ok()).collect::<Option<Vec<f64>>>();
        let known: BTreeMap<usize, Vec<f64>> =
            self.finished.iter().filter_map(|(item, fields)| Some((*item, numbers(fields)?))).collect();
        let kept = AtomicUsize::new(known.len());
        let bar = progress.bar(study.items() as u64, study.name());
        bar.begin_at(known.len() as u64);
        let store = |item: usize, values: &[f64]| {
            // The shortest form that reads back as the same bits.
            let fields: Vec<String> = values.iter().map(|v| format!("{v:e}")).collect();
            self.keep(item, &fields).map_err(std::io::Error::other)?;
            kept.fetch_add(1, Ordering::Relaxed);
            bar.inc(1);
            Ok(())
        };
        let outcome = run_study(study, &known, &store, Watch { report: None, cancel: Some(stop.flag()) });
        bar.finish_and_clear();
        match outcome {
            Err(DeviceError::Cancelled) => Err(self.stopped(kept.into_inner(), study.items())),
            outcome => Ok(outcome?),
        }
    }

    fn keep(&self, item: usize, fields: &[String]) -> Result<()> {
        let line = line_of(item, fields, &self.key);
        let mut file =
            self.file.lock().map_err(|_| CliError::message("a thread failed while it wrote the journal"))?;
        file.write_all(line.as_bytes())
            .and_then(|()| file.sync_data())
            .map_err(|e| CliError::write(&self.path, e))
    }

    fn stopped(&self, kept: usize, count: usize) -> CliError {
        CliError::Stopped(format!(
            "{kept} of {count} items are kept in {}; the same command goes on from there",
            self.path.display()
        ))
    }

    /// Removes the journal, once what was made of it is written.
    pub fn finish(self) -> Result<()> {
        std::fs::remove_file(&self.path).map_err(|e| CliError::write(&self.path, e))
    }
}

fn line_of(item: usize, fields: &[String], key: &str) -> String {
    let body = format!("{item}\t{}", fields.join("\t"));
    format!("{}\t{body}\n", checksum(key, &body))
}

/// The item of a line whose checksum holds.
fn item_of(line: &str, key: &str) -> Option<(usize, Vec<String>)> {
    let (sum, body) = line.split_once('\t')?;
    if sum != checksum(key, body) {
        return None;
    }
    let (item, fields) = body.split_once('\t')?;
    Some((item.parse().ok()?, fields.split('\t').map(str::to_owned).collect()))
}

fn checksum(key: &str, body: &str) -> String {
    let mut sum = sha256(format!("{key}\t{body}").as_bytes());
    sum.truncate(CHECKSUM);
    sum
}

/// Says what differs, as far as the journal's first line tells.
fn other_question(path: &Path, first: &str, items: usize, question: &Value) -> CliError {
    let theirs = first.strip_prefix(TITLE).and_then(|rest| rest.trim().split_once(' '));
    let theirs: Option<Value> = theirs.and_then(|(_, json)| serde_json::from_str(json).ok());
    let differs = match (&theirs, question) {
        (Some(Value::Object(theirs)), Value::Object(ours)) => {
            let keys = ours.keys().filter(|k| theirs.get(*k) != ours.get(*k));
            let names = keys.map(|k| k.replace('_', " ")).collect::<Vec<_>>();
            format!(
                "another question ({} differ)",
                if names.is_empty() { "parts".into() } else { names.join(", ") }
            )
        }
        _ => "something else".to_owned(),
    };
    CliError::message(format!(
        "{} holds {items} finished items of {differs}\nhelp: finish that command first, choose another folder with -o, or remove the file",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn quiet() -> Progress {
        Progress::new(true)
    }

    fn square(i: usize) -> Result<Vec<String>> {
        Ok(vec![(i * i).to_string(), format!("{:e}", i as f64 / 7.0)])
    }

    #[test]
    fn work_that_was_stopped_goes_on_and_ends_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Journal::open(folder.path(), "test", &json!({ "seed": 1 })).unwrap();
        let whole = open().run(20, "squares", (&Stop::default(), quiet()), square).unwrap();
        open().finish().unwrap();
        // Stopped after some items, twice; the second time with a line cut off.
        for limit in [5, 12] {
            let stop = Stop::default();
            let journal = open();
            let before = journal.finished.len();
            let done = AtomicUsize::new(before);
            let counted = |i| {
                if done.fetch_add(1, Ordering::Relaxed) + 1 >= limit {
                    stop.flag().store(true, Ordering::Relaxed);
                }
                square(i)
            };
            let error = journal.run(20, "squares", (&stop, quiet()), counted).unwrap_err();
            assert!(
                matches!(&error, CliError::Stopped(text) if text.contains("of 20 items are kept")),
                "{error}"
            );
            drop(journal);
            let path = folder.path().join("test.journal");
            let text = std::fs::read(&path).unwrap();
            std::fs::write(&path, &text[..text.len() - 3]).unwrap();
        }
        let asked = AtomicUsize::new(0);
        let again = |i| {
            asked.fetch_add(1, Ordering::Relaxed);
            square(i)
        };
        let journal = open();
        assert!(journal.finished.len() >= 10);
        assert_eq!(journal.run(20, "squares", (&Stop::default(), quiet()), again).unwrap(), whole);
        assert_eq!(asked.into_inner(), 20 - journal.finished.len());
    }

    #[test]
    fn a_damaged_line_is_done_again() {
        let folder = tempfile::tempdir().unwrap();
        let question = json!({ "seed": 1 });
        let open = || Journal::open(folder.path(), "test", &question).unwrap();
        let whole = open().run(4, "squares", (&Stop::default(), quiet()), square).unwrap();
        let path = folder.path().join("test.journal");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("\t3\t9\t"));
        std::fs::write(&path, text.replace("\t3\t9\t", "\t3\t8\t")).unwrap();
        let journal = open();
        assert_eq!(journal.finished.len(), 3);
        assert_eq!(journal.run(4, "squares", (&Stop::default(), quiet()), square).unwrap(), whole);
    }

    #[test]
    fn another_question_is_refused_and_its_journal_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let ask = |seed: u64| Journal::open(folder.path(), "test", &json!({ "seed": seed, "sweep": "a" }));
        let journal = ask(1).unwrap();
        journal.run(3, "squares", (&Stop::default(), quiet()), square).unwrap();
        // In use, as long as it is open.
        assert!(ask(1).err().unwrap().to_string().contains("in use"));
        drop(journal);
        let error = ask(2).err().unwrap().to_string();
        assert!(error.contains("3 finished items of another question (seed differ)"), "{error}");
        assert_eq!(ask(1).unwrap().finished.len(), 3);
        // One that holds nothing yet is nobody's: another question begins it anew.
        ask(1).unwrap().finish().unwrap();
        drop(ask(1).unwrap());
        let begun = ask(2).unwrap();
        begun.run(2, "squares", (&Stop::default(), quiet()), square).unwrap();
        drop(begun);
        assert_eq!(ask(2).unwrap().finished.len(), 2);
        assert!(ask(1).is_err());
        std::fs::write(folder.path().join("test.journal"), "my notes\n").unwrap();
        assert!(ask(1).err().unwrap().to_string().contains("something else"));
    }
}
