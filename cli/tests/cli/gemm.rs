//! `mirage gemm`: the same bytes with and without the reference, on any number of threads, with errors as well.

use std::fs;
use std::path::Path;

use crate::common::{mirage, npy};
use assert_cmd::assert::OutputAssertExt;
use mirage_arithmetic::{Moduli, ResidueChannel};

fn matrix(path: &Path, rows: usize, cols: usize, seed: u32) {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    let values: Vec<f32> = (0..rows * cols).map(|_| next()).collect();
    npy(path, rows, cols, &values);
}

#[test]
fn the_same_bytes_every_way() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    matrix(&at("a.npy"), 150, 333, 1);
    matrix(&at("b.npy"), 333, 70, 2);
    let channel = ResidueChannel::uniform(&Moduli::mirage(), 1e-3).unwrap();
    channel.write_csv(fs::File::create(at("channel.csv")).unwrap()).unwrap();
    for channel in [false, true] {
        let mut results = Vec::new();
        for extra in [&["--threads", "1"][..], &["--threads", "2"], &["--threads", "8"], &["--reference"]] {
            let mut command = mirage();
            command
                .arg("gemm")
                .arg(at("a.npy"))
                .arg(at("b.npy"))
                .arg("-o")
                .arg(at("c.npy"))
                .args(["--seed", "7"]);
            command.args(extra);
            if channel {
                command.arg("--channel").arg(at("channel.csv"));
            }
            let output = command.assert().success().get_output().stdout.clone();
            results.push((fs::read(at("c.npy")).unwrap(), output));
        }
        assert!(results.iter().all(|r| *r == results[0]));
        let text = String::from_utf8(results[0].1.clone()).unwrap();
        assert_eq!(text.contains(" 0 wrong"), !channel, "{text}");
    }
}

#[test]
fn empty_matrices_of_a_size_that_cannot_be_numbered_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    npy(&at("a.npy"), 0, 5_000_000_000, &[]);
    npy(&at("b.npy"), 5_000_000_000, 0, &[]);
    let mut command = mirage();
    command.arg("gemm").arg(at("a.npy")).arg(at("b.npy")).arg("-o").arg(at("c.npy"));
    let output = command.assert().code(2).get_output().stderr.clone();
    let text = String::from_utf8(output).unwrap();
    assert!(text.contains("a.npy: 0 x 5000000000 is too large"), "{text}");
}
