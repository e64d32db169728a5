//! What the tests of the command line share.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use assert_cmd::cargo::CommandCargoExt;

/// The program under test.
pub fn mirage() -> Command {
    Command::cargo_bin("mirage").unwrap()
}

/// Every column of every table of a folder stands in docs/outputs.md, under the name of its file or among those that recur.
pub fn columns_are_documented(folder: &Path) {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/outputs.md")).unwrap();
    let common = page.split("\n## ").next().unwrap();
    let sections: Vec<&str> = page.split("\n### ").collect();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.ends_with(".csv") {
            continue;
        }
        let of_file = |s: &&&str| s.lines().next().unwrap().split(", ").any(|n| n == name);
        let section = sections.iter().find(of_file).unwrap_or_else(|| panic!("{name} is not described"));
        let text = fs::read_to_string(&path).unwrap();
        let header = text.lines().find(|line| !line.starts_with('#')).unwrap();
        for column in header.split(',').filter(|c| !c.contains('.')) {
            let short = column.trim_end_matches(|c: char| c.is_ascii_digit());
            let quoted = [format!("`{column}`"), format!("`{short}`"), format!("`{short}0`")];
            let found = quoted.iter().any(|q| section.contains(q) || common.contains(q));
            assert!(found, "{name}: column {column} is not described in docs/outputs.md");
        }
    }
}

/// A line of a table, by column.
pub type Row = BTreeMap<String, String>;

/// The lines of a table.
pub fn table(path: impl AsRef<Path>) -> Vec<Row> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    reader.deserialize().map(Result::unwrap).collect()
}

/// A number of a line.
pub fn number(row: &Row, column: &str) -> f64 {
    row[column].parse().unwrap_or_else(|_| panic!("{column}: {row:?}"))
}

/// A design with a fragment dropped in as its comments say: sections in place of those of that name where the fragment says whole,
/// else keys in place of those of that name; keys that the comments send away are gone.
pub fn dropped_in(design: &str, fragment: &str, whole: &[&str], gone: &[&str]) -> String {
    let key = |line: &str| line.split_once('=').map(|(k, _)| k.trim().to_owned());
    let mut sections: Vec<(String, Vec<&str>)> = Vec::new();
    for line in fragment.lines().filter(|l| !l.starts_with('#') && !l.is_empty()) {
        match line.strip_prefix('[') {
            Some(_) => sections.push((line.to_owned(), Vec::new())),
            None => sections.last_mut().unwrap().1.push(line),
        }
    }
    let (mut out, mut here) = (String::new(), None);
    for line in design.lines() {
        if line.starts_with('[') {
            here = sections.iter().find(|(name, _)| name == line);
            out += &format!("{line}\n");
            here.iter().for_each(|(_, lines)| out += &format!("{}\n", lines.join("\n")));
            continue;
        }
        let ours = here.is_some_and(|(name, lines)| {
            whole.contains(&name.as_str())
                || key(line).is_some_and(|k| {
                    gone.contains(&k.as_str()) || lines.iter().any(|l| key(l).as_ref() == Some(&k))
                })
        });
        if !ours {
            out += &format!("{line}\n");
        }
    }
    out
}

/// Writes a set of CIFAR-10's form: 60 training images and 10 test images, bright where their class is.
pub fn cifar(folder: &Path) {
    fs::create_dir(folder).unwrap();
    let names =
        ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"];
    for (file, name) in names.into_iter().enumerate() {
        let image = |i: usize| {
            let label = i % 10;
            let pixel =
                move |p: usize| if p / 307 == label { 200 } else { (p * 31 + i * 17 + file * 7) % 97 };
            std::iter::once(label as u8).chain((0..3072).map(move |p| pixel(p) as u8))
        };
        let images: Vec<u8> = (0..12).flat_map(image).collect();
        fs::write(folder.join(format!("{name}.bin")), images).unwrap();
    }
}

/// Writes a .npy file of float32, by the format's definition; `values` need not fill the shape.
pub fn npy(path: &Path, rows: usize, cols: usize, values: &[f32]) {
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {cols}), }}");
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|x| x.to_le_bytes()));
    fs::write(path, bytes).unwrap();
}

/// The default design with everything given that it leaves open, so that nothing has to be solved for.
pub fn given_design() -> String {
    let output = mirage().args(["design", "show", "--text"]).output().unwrap();
    let mut text = String::from_utf8(output.stdout).unwrap();
    for (key, value) in [
        ("power", "\"62 mW\""),
        ("extinction", "\"30.5 dB\""),
        ("bits", "16"),
        ("resolution", "\"3.6 mrad\""),
        ("coefficient", "1e-5"),
    ] {
        let open = format!("\n{key} = {{ value = \"required\"");
        assert!(text.contains(&open), "{key}");
        text = text.replacen(&open, &format!("\n{key} = {{ value = {value}"), 1);
    }
    text
}
