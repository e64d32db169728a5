//! Networks that read text, on the command line.

use std::fs;
use std::path::Path;

use crate::common::{columns_are_documented, mirage};

/// Lines of a few words in an order that can be learned.
fn text(lines: usize) -> String {
    let words = ["the", "cat", "sat", "on", "a", "mat", "and", "ran"];
    let line = |i: usize| (0..7).map(|j| words[(i + j * (1 + i % 3)) % 8]).collect::<Vec<_>>().join(" ");
    (0..lines).map(|i| line(i * i / 3) + ".\n").collect()
}

fn train(network: &str, data: &Path, folder: &Path, more: &[&str]) -> (Option<i32>, String, String) {
    let mut command = mirage();
    command.args(["train", "--network", network, "--epochs", "1"]).args(more);
    let output = command.arg("--data").arg(data).arg("-o").arg(folder).output().unwrap();
    let [out, error] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (output.status.code(), out, error)
}

#[test]
fn a_language_model_is_measured_beside_a_trigram() {
    let root = tempfile::tempdir().unwrap();
    let (data, folder) = (root.path().join("book.txt"), root.path().join("lm"));
    fs::write(&data, text(400)).unwrap();
    let more = ["--level", "word", "--arithmetic", "mirage", "--error-shape", "slip", "--error-rate", "1e-6"];
    let (code, out, error) = train("transformer-lm", &data, &folder, &more);
    assert_eq!(code, Some(0), "{error}");
    assert!(
        out.contains("3-gram, interpolated Kneser-Ney on the same 320 tokens") && out.contains("perplexity"),
        "{out}"
    );
    columns_are_documented(&folder);
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let records = read("training.csv");
    let last: Vec<&str> = records.lines().last().unwrap().split(',').collect();
    let (loss, perplexity): (f64, f64) = (last[9].parse().unwrap(), last[10].parse().unwrap());
    assert!(loss > 0.0 && (perplexity.ln() - loss).abs() < 1e-9, "{records}");
    // Forty lines of eight words and an end are held out, in windows of 64; heads and windows are repeats.
    assert!(
        read("gemms.csv").contains("transformer-lm,block0.self.scores,dX,32,64,64,"),
        "{}",
        read("gemms.csv")
    );
    assert!(read("training-layers.csv").contains("block2.self.context,dW,"));
    assert!(folder.join("test-loss.svg").exists() && !folder.join("translations.csv").exists());
}

#[test]
fn sentence_pairs_are_translated() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("translation");
    let pairs: String = text(200).lines().map(|line| format!("{line}\t{}\n", line.to_uppercase())).collect();
    // In a folder of its own, among other files.
    fs::write(root.path().join("pairs.tsv"), pairs).unwrap();
    fs::write(root.path().join("notes.txt"), "no pairs").unwrap();
    let (code, out, error) = train("translation", root.path(), &folder, &["--arithmetic", "bfp"]);
    assert_eq!(code, Some(0), "{error}");
    assert!(out.contains("3-gram"), "{out}");
    columns_are_documented(&folder);
    let said = fs::read_to_string(folder.join("translations.csv")).unwrap();
    assert_eq!(said.lines().count(), 13, "{said}");
    let mut lines = said.lines();
    assert_eq!(lines.next(), Some("arithmetic,protection,error_shape,rate,seed,source,reference,output"));
    assert!(lines.all(|line| line.starts_with("bfp,,,,1,") && line.split(',').count() == 8), "{said}");
}

#[test]
fn wrong_text_and_wrong_settings_are_answered() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("none");
    let refused = |network: &str, data: &Path, more: &[&str], says: &[&str]| {
        let (code, _, error) = train(network, data, &folder, more);
        assert_eq!(code, Some(2), "{error}");
        assert!(says.iter().all(|says| error.contains(says)), "{error}");
    };
    let missing = root.path().join("missing");
    refused("transformer-lm", &missing, &[], &["missing: no such file or folder", ".txt", "without --data"]);
    refused("translation", root.path(), &[], &["holds no such file", "a tab and its translation"]);
    fs::write(root.path().join("a.tsv"), "one\ttwo\nthree\n").unwrap();
    refused("translation", root.path(), &[], &["a.tsv, line 2: no tab"]);
    refused("small-cnn", root.path(), &["--level", "word"], &["--level is for networks that read text"]);
    refused("transformer", root.path(), &[], &["did you mean \"transformer-lm\"?"]);
    let design = mirage().args(["design", "show", "--text"]).output().unwrap().stdout;
    let design = String::from_utf8(design).unwrap();
    let (before, rest) = design.split_once("[training.language]").unwrap();
    let (_, after) = rest.split_once("# The network `translation`").unwrap();
    let path = root.path().join("design.toml");
    fs::write(&path, format!("{before}\n#{after}")).unwrap();
    let more = ["--design", path.to_str().unwrap()];
    refused("transformer-lm", root.path(), &more, &["transformer-lm needs a section [training.language]"]);
}
