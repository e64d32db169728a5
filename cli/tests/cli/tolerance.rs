//! From error rates to devices and from devices to accuracy: sweeps of the trainer, tolerated rates, slip codes, weights of
//! another run.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{cifar, columns_are_documented, given_design, mirage, number, table};

/// Exit code, and what was said.
fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = mirage().args(arguments).arg("-o").arg(folder).output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (output.status.code(), said.concat())
}

/// As [`run`], of what must succeed.
fn succeed(folder: &Path, arguments: &[&str]) -> String {
    let (code, said) = run(folder, arguments);
    assert_eq!(code, Some(0), "{arguments:?}: {said}");
    columns_are_documented(folder);
    said
}

struct Bench {
    folder: tempfile::TempDir,
    data: String,
    design: String,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [data, design] = ["data", "given.toml"].map(|name| folder.path().join(name));
        cifar(&data);
        fs::write(&design, given_design()).unwrap();
        let [data, design] = [data, design].map(|path| path.to_str().unwrap().to_owned());
        Self { folder, data, design }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

#[test]
fn a_sweep_of_rates_says_what_is_tolerated_and_which_devices_that_takes() {
    let bench = Bench::new();
    let rates = [
        "train",
        "--sweep",
        "error-rate=1e-6:1e-3:2",
        "--epochs",
        "1",
        "--seeds",
        "2",
        "--data",
        &bench.data,
    ];
    succeed(&bench.path("slip"), &rates);
    let lines = table(bench.path("slip").join("tolerance.csv"));
    let of =
        |protection: &str| lines.iter().filter(move |l| l["protection"] == protection).collect::<Vec<_>>();
    // Runs without errors, and five protections at two rates.
    assert_eq!((lines.len(), lines[0]["rate"].as_str(), lines[0]["seeds"].as_str()), (11, "0.0", "2"));
    assert_eq!(number(of("none")[1], "detected"), 0.0);
    assert!(number(of("none")[1], "silent") > 0.0 && number(of("read-again")[1], "repeated") > 0.0);
    // Every slip is seen by one redundant modulus; two put it right.
    assert_eq!(number(of("read-again+redundant")[1], "silent"), 0.0);
    let correct = of("correct")[1];
    assert!(number(correct, "corrected") > 0.9 * number(correct, "detected"), "{correct:?}");

    let file = bench.path("slip").join("tolerance.csv");
    let file = file.to_str().unwrap();
    let given = ["tolerate", file, "--design", &bench.design, "--within", "100"];
    succeed(&bench.path("tolerated"), &given);
    let lines = table(bench.path("tolerated").join("tolerated.csv"));
    assert_eq!(lines.len(), 5);
    for line in &lines {
        // Within a hundred points of the truth, all that does not diverge is fine.
        assert_eq!((line["network"].as_str(), line["seeds"].as_str()), ("small-cnn", "2"));
        assert!(line["tolerated_rate"].is_empty() || number(line, "laser_power_w") == 0.062, "{line:?}");
    }
    let best = lines.iter().find(|l| l["protection"] == "correct").unwrap();
    assert_eq!((number(best, "tolerated_rate"), best["fails_at"].as_str()), (1e-3, ""));

    // A design that leaves its laser open is solved for the rate.
    let open = given_design().replacen("\"62 mW\"", "\"required\"", 1);
    fs::write(bench.path("open.toml"), open).unwrap();
    let open = bench.path("open.toml");
    let solved = ["tolerate", file, "--design", open.to_str().unwrap(), "--within", "100"];
    succeed(&bench.path("solved"), &solved);
    let lines = table(bench.path("solved").join("tolerated.csv"));
    let at = |protection: &str| {
        number(lines.iter().find(|l| l["protection"] == protection).unwrap(), "laser_power_w")
    };
    assert!(at("correct") > 1e-3 && at("correct") < 0.062, "{lines:?}");

    let other = bench.path("slip").join("gemms.csv");
    let (code, said) = run(&bench.path("x"), &["tolerate", other.to_str().unwrap()]);
    assert!(
        code == Some(2) && said.contains("gemms.csv") && said.contains("give the tolerance.csv"),
        "{said}"
    );
}

#[test]
fn a_sweep_of_a_key_trains_on_the_devices_as_they_are() {
    let bench = Bench::new();
    let sweep = "devices.laser.power=20mW:80mW:2:log";
    let base = ["train", "--design", &bench.design, "--data", &bench.data, "--epochs", "1", "--sweep", sweep];
    let protections = ["--protection", "read-again,read-again+slip-code,correct"];
    succeed(&bench.path("average"), &[&base[..], &protections].concat());
    let lines = table(bench.path("average").join("device-tolerance.csv"));
    assert_eq!(lines.len(), 6);
    for (low, high) in lines[..3].iter().zip(&lines[3..]) {
        assert_eq!((number(low, "laser_power_w"), number(high, "laser_power_w")), (0.02, 0.08));
        assert!(number(low, "mean_rate") > 30.0 * number(high, "mean_rate"), "{low:?} {high:?}");
        assert!(number(low, "wrong") > number(high, "wrong"));
        // Less light, less energy; a chip that checks is slower than one that never reads again.
        assert!(number(low, "joules") < number(high, "joules") && number(low, "slowdown") > 1.0);
        // Counted errors are those of the channel: its rates are for uniform residues, so within a factor.
        let counted = number(low, "wrong") / number(low, "residues");
        assert!((0.3..3.0).contains(&(counted / number(low, "mean_rate"))), "{counted} {low:?}");
    }
    // The code sees what the natural one lets pass.
    assert!(number(&lines[1], "silent") < 0.01 * number(&lines[0], "silent"));

    let chips = ["--protection", "read-again+slip-code", "--sampled-chips", "--seeds", "2"];
    succeed(&bench.path("chips"), &[&base[..], &chips].concat());
    let lines = table(bench.path("chips").join("device-tolerance.csv"));
    assert_eq!((lines.len(), lines[0]["chips"].as_str()), (2, "one for each seed"));
    assert!(number(&lines[0], "wrong") > number(&lines[1], "wrong"));

    for (more, says) in [
        (vec!["--sweep", "devices.laser.powr=20mW:80mW:2"], "did you mean `devices.laser.power`?"),
        (
            vec!["--sweep", "arithmetic.mantissa_bits=3:4:2"],
            "is no key of [devices]; give it another value with --set",
        ),
        (vec!["--sweep", "error-rate=1e-4:1e-3:2", "--sampled-chips"], "at given rates there are no chips"),
        (vec!["--sweep", sweep, "--error-shape", "design"], "--error-shape is not used in a sweep of a key"),
        (vec!["--sweep", sweep, "--protection", "corect"], "did you mean \"correct\"?"),
        (vec!["--set", "training.batch"], "there is no `=`"),
        (vec!["--set", "training.bach=5"], "did you mean `training.batch`?"),
        (vec!["--set", "training.batch=0"], "between 1 and 4096"),
    ] {
        let (code, said) = run(&bench.path("x"), &[&["train"][..], &more].concat());
        assert!(code == Some(2) && said.contains(says), "{more:?}: {said}");
    }
}

#[test]
fn another_run_begins_with_the_weights_of_one() {
    let bench = Bench::new();
    let train = ["train", "--arithmetic", "fp32", "--data", &bench.data, "--epochs"];
    let few = ["--set", "training.batch=10", "--set", "training.record_every=1"];
    succeed(&bench.path("first"), &[&train[..], &["8"], &few].concat());
    let checkpoints = fs::read_dir(bench.path("first").join("checkpoints")).unwrap();
    let last = checkpoints.map(|entry| entry.unwrap().path()).max().unwrap();
    let last = last.to_str().unwrap();
    succeed(&bench.path("second"), &[&train[..], &["1", "--weights", last], &few].concat());
    let loss = |folder: &str| number(&table(bench.path(folder).join("training.csv"))[0], "loss");
    assert!(loss("second") < 0.8 * loss("first"), "{} {}", loss("second"), loss("first"));

    let (code, said) = run(&bench.path("x"), &["train", "--weights", last]);
    assert!(code == Some(2) && said.contains("does not hold weights of small-cnn as it is here"), "{said}");
    let (code, said) = run(&bench.path("x"), &["train", "--weights", &bench.design]);
    assert!(code == Some(2) && said.contains("it is no checkpoint"), "{said}");
}

#[test]
fn the_best_slip_code_leaves_less_unseen_than_the_natural_one() {
    let bench = Bench::new();
    let said = succeed(&bench.path("codes"), &["slip-code", "--design", &bench.design, "--top", "3"]);
    assert!(said.contains("training.sweep's"), "{said}");
    let lines = table(bench.path("codes").join("slip-codes.csv"));
    let of = |what: &str| lines.iter().find(|l| l["what"].contains(what)).unwrap();
    assert_eq!(lines[0]["rank"], "1");
    assert!(number(&lines[0], "unseen") <= number(of("training.sweep's"), "unseen"));
    // Nearly all slips of modulus 32 pass the natural code; that modulus makes some part of all errors.
    assert!(
        number(of("natural"), "unseen_share") > 0.1 && number(of("training.sweep's"), "unseen_share") < 1e-3
    );
}
