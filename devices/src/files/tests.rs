use super::*;
use num_complex::Complex64;
use std::f64::consts::TAU;

const HALF_RING: &str = include_str!("../../../data/siepic-fdtd/halfring_r10um_g100nm.dat");
const COUPLER: &str = include_str!("../../../data/siepic-fdtd/ebeam_bdc_te1550.sparam");
const BRANCH: &str = include_str!("../../../data/siepic-fdtd/ybranch_te1550.sparam");

fn select(text: &str, selection: &Selection) -> Result<SParameters, FileError> {
    InterconnectFile::read(text, "t.dat")?.select(selection)
}

/// Deviation and singular value were computed from the files by NumPy.
#[test]
fn published_tables_read_and_are_known_to_be_inexact() {
    for (text, ports, points, deviation, singular_value) in [
        (HALF_RING, 4, 101, 0.002_724_394_699_520_755_3, 1.009_007_639_382_176_7),
        (COUPLER, 4, 51, 0.003_289_759_193_923_786, 1.006_875_679_767_731_4),
        (BRANCH, 3, 51, 0.005_400_780_129_050_812, 0.995_646_063_742_958_4),
    ] {
        let table = select(text, &Selection::default()).unwrap();
        assert_eq!((table.ports().len(), table.frequencies().len()), (ports, points));
        assert_eq!(table.ports()[0], "port_1");
        assert!((table.reciprocity().deviation - deviation).abs() < 1e-14);
        assert!((table.passivity().singular_value - singular_value).abs() < 1e-12);
        let enforced = table.enforced();
        assert!(enforced.passivity().singular_value <= 1.0 + 1e-12);
        if singular_value < 1.0 {
            assert_eq!(enforced, table);
        }
    }
}

/// Out comes first: from port 1 the half ring passes 0.9615 to port 3 and couples 0.2744 to port 4.
#[test]
fn the_first_port_is_the_output() {
    let table = select(HALF_RING, &Selection::default()).unwrap();
    assert!((table.value(2, 0, 50).norm() - 0.961_494).abs() < 1e-6);
    assert!((table.value(3, 0, 50).norm() - 0.274_353).abs() < 1e-6);
    let swapped =
        HALF_RING.replacen("\"port 1\",\"mode 1\",1,\"port 2\"", "\"port 2\",\"mode 1\",1,\"port 2\"", 1);
    assert!(select(&swapped, &Selection::default()).unwrap_err().problem.contains("already"));
}

#[test]
fn modes_are_chosen() {
    let file = InterconnectFile::read(BRANCH, "y.sparam").unwrap();
    assert_eq!(file.modes(), [1, 2]);
    let second = file.select(&Selection { mode: Some(2), ..Selection::default() }).unwrap();
    // Line 478 and 2 + 25 rows on: TM, port 1 to itself.
    assert!((second.value(0, 0, 25).norm() - 0.007_107_55).abs() < 1e-8);
    let error = file.select(&Selection { mode: Some(3), ..Selection::default() }).unwrap_err();
    assert!(error.to_string().starts_with("y.sparam: mode 3 is not in the file"), "{error}");
}

/// A guide of delay tau, sampled so that neighbours differ by 0.9 of half a turn: the complex mean of neighbours would dip.
#[test]
fn unwrapped_phase_is_interpolated_whichever_way_frequencies_run() {
    let (tau, step) = (0.45e-12, 1e12);
    let phase = |f: f64| TAU * tau * f;
    let frequencies: Vec<f64> = (0..20).map(|k| 190e12 + step * f64::from(k)).collect();
    let row = |f: &f64| format!("{f:e} 0.9 {}", (phase(*f) + 3.0).rem_euclid(TAU) - 3.0);
    let falling: Vec<String> = frequencies.iter().rev().map(row).collect();
    let text = format!("[1,0]\n('a','TE',1,'a',1,'transmission')\n(20,3)\n{}\n", falling.join("\n"));
    let table = select(&text, &Selection::default()).unwrap();
    assert_eq!(table.range(), (190e12, 209e12));
    for f in [190e12, 190.5e12, 200.25e12, 209e12] {
        let s = table.at(f).unwrap()[(0, 0)];
        assert!((s - Complex64::from_polar(0.9, phase(f))).norm() < 1e-9, "{f}: {s}");
    }
    assert!(table.at(189.99e12).is_none() && table.at(209.01e12).is_none() && table.at(f64::NAN).is_none());
}

#[test]
fn a_group_delay_is_added_about_the_middle_of_the_band() {
    let text = "(\"a\",\"TE\",1,\"a\",1,\"transmission\",1e-12)\n(3,3)\n1e14 1 0.1\n1.001e14 1 0.1\n1.002e+014 1 0.1\n";
    let table = select(text, &Selection::default()).unwrap();
    for (f, turns) in [(1e14, -0.1), (1.001e14, 0.0), (1.002e14, 0.1)] {
        let want = Complex64::from_polar(1.0, 0.1 + TAU * turns);
        assert!((table.at(f).unwrap()[(0, 0)] - want).norm() < 1e-6);
    }
}

#[test]
fn sweeps_are_chosen_by_value() {
    let text = "[\"a, b\",\"LEFT\"]\n('a, b','TE',1,'a, b',1,'transmission',\"gap;width\")\n(4,5)\n\
                1e-7 5e-7 2e14 0.2 0\n1e-7 5e-7 1e14 0.1 0\n2e-7 5e-7 2e14 0.4 0\n2e-7 5e-7 1e14 0.3 0\n";
    let sweep = |gap: f64| Selection {
        mode: None,
        sweep: [("gap".to_owned(), gap), ("width".to_owned(), 5e-7)].into(),
    };
    assert_eq!(select(text, &sweep(2e-7)).unwrap().value(0, 0, 0).re, 0.3);
    assert_eq!(select(text, &sweep(1e-7)).unwrap().ports(), ["a,_b"]);
    assert!(select(text, &sweep(3e-7)).unwrap_err().problem.contains("no row"));
    let none = select(text, &Selection::default()).unwrap_err();
    assert!(none.problem.contains("sweeps `gap`") && none.problem.contains("2e-7"), "{none}");
    let wrong = Selection { mode: None, sweep: [("gab".to_owned(), 1.0)].into() };
    assert!(select(text, &wrong).unwrap_err().problem.contains("did you mean `gap`?"));
}

#[test]
fn faults_of_interconnect_files_are_shown_with_their_line() {
    const GOOD: &str =
        "[\"p\",\"LEFT\"]\n('p','TE',1,'p',1,'transmission')\n(3,3)\n3e14 0.1 0\n2e14 0.1 0\n1e14 0.1 0\n";
    select(GOOD, &Selection::default()).unwrap();
    let faults = [
        ("(3,3)", "(4,3)", Some(3), "4 rows declared, 3 found"),
        ("(3,3)", "(2,3)", Some(6), "more rows than the 2 declared"),
        ("(3,3)", "(4000000000,3)", Some(3), "3 found"),
        ("(3,3)", "(3,4)", Some(3), "4 columns declared, but 3"),
        ("(3,3)", "3,3", Some(3), "expected `(...)`"),
        ("(3,3)", "(0,3)", Some(3), "size of the block"),
        ("2e14", "3e14", Some(5), "twice"),
        ("1e14", "2.5e14", Some(6), "all rise or all fall"),
        ("2e14 0.1", "2e14 x", Some(5), "`x` is not a number"),
        ("2e14 0.1", "2e14 NaN", Some(5), "`NaN` is not finite"),
        ("2e14 0.1", "2e14 -0.1", None, "magnitude -0.1"),
        ("2e14 0.1", "2e14", Some(5), "2 numbers where 3 are due"),
        ("1e14", "-1e14", None, "positive"),
        ("'transmission'", "'reflection'", Some(2), "not `transmission`"),
        ("'transmission'", "'transmission',fast", Some(2), "not a number"),
        ("'p',1,'t", "'p',x,'t", Some(2), "mode `x` is not a whole number"),
        ("'p',1,'t", "'q',1,'t", Some(2), "port `q` is not in the header"),
        ("'p',1,'t", "'p,1,'t", Some(2), ""),
        ("[\"p\",\"LEFT\"]", "[1,1]", Some(1), "2 ports declared, 1"),
        ("[\"p\",\"LEFT\"]", "[4000000000,4000000000]", Some(1), "header line"),
        ("[\"p\",\"LEFT\"]", "[\"p\",\"L\"]\n[\"p\",\"R\"]", Some(2), "twice in the header"),
        ("[\"p\",\"LEFT\"]", "[\"p\",\"L\"]\n[\"q\",\"R\"]", None, "port `q` of the header has no block"),
        ("[\"p\",\"LEFT\"]\n('p'", "('q'", None, "no block for out `q` from in `q`"),
    ];
    for (old, new, line, says) in faults {
        assert!(GOOD.contains(old), "{old}");
        let error = select(&GOOD.replacen(old, new, 1), &Selection::default()).unwrap_err();
        assert!(error.problem.contains(says), "{new}: {error}");
        assert_eq!(error.line, line, "{new}: {error}");
    }
    assert!(select("", &Selection::default()).unwrap_err().problem.contains("no block"));
}

#[test]
fn touchstone_reads_its_own_and_others_dialects() {
    // 2-port order 11 21 12 22, any case and order of options, a comment at the end of a line, a noise block.
    let text = "! ports: left, right\n  # ma s GHZ r 75\n1 0.1 0 0.2 90 0.3 180 0.4 -90 ! first\n2 0.1 0 0.2 90 0.3 180 0.4 -90\n\
                1 2.0 0.5 30 0.3\n2 2.1 0.5 30 0.3\n";
    let read = read_touchstone(text, "a.S2P", TimeConvention::Engineering).unwrap();
    assert_eq!((read.resistance, read.noise_rows), (75.0, 2));
    let table = &read.parameters;
    assert_eq!(table.ports(), ["left", "right"]);
    assert_eq!(table.range(), (1e9, 2e9));
    // S21 = 0.2 e^{j 90 degrees}; its conjugate here.
    assert!((table.value(1, 0, 0) - Complex64::new(0.0, -0.2)).norm() < 1e-15);
    assert!((table.value(0, 1, 0) - Complex64::new(-0.3, 0.0)).norm() < 1e-15);
    let decibel = "# DB\n1 -20 90\n";
    let read = read_touchstone(decibel, "a.s1p", TimeConvention::Optics).unwrap();
    assert!((read.parameters.value(0, 0, 0) - Complex64::new(0.0, 0.1)).norm() < 1e-15);
    assert_eq!(read.parameters.range().0, 1e9);
}

#[test]
fn touchstone_round_trips() {
    for (text, ports) in [(HALF_RING, 4), (BRANCH, 3)] {
        let table = select(text, &Selection::default()).unwrap();
        for convention in [TimeConvention::Optics, TimeConvention::Engineering] {
            let written = write_touchstone(&table, convention);
            assert!(written.lines().all(|line| line.split_whitespace().count() <= 9));
            let back = read_touchstone(&written, &format!("x.s{ports}p"), convention).unwrap().parameters;
            assert_eq!((back.ports(), back.frequencies()), (table.ports(), table.frequencies()));
            for (out, input, k) in [(0, 0, 0), (2, 1, 17), (1, 2, 50)] {
                assert!((back.value(out, input, k) - table.value(out, input, k)).norm() < 1e-14);
            }
        }
    }
    // Two ports: their order differs from all others.
    let values = [0.1, 0.2, 0.3, 0.4].map(|re| Complex64::new(re, 0.05));
    let two = SParameters::from_complex(vec!["a".into(), "b".into()], vec![2e14], &values).unwrap();
    let written = write_touchstone(&two, TimeConvention::Engineering);
    assert!(written.contains("2e14 1e-1 -5e-2 3"), "{written}");
    let back = read_touchstone(&written, "x.s2p", TimeConvention::Engineering).unwrap().parameters;
    assert!((back.value(0, 1, 0) - two.value(0, 1, 0)).norm() < 1e-15);
}

#[test]
fn faults_of_touchstone_files_are_shown_with_their_line() {
    let three = "# Hz S RI\n1 1 0 1 0 1 0\n1 0 1 0 1 0\n1 0 1 0 1 0\n2 1 0 1 0 1 0\n";
    let faults = [
        ("# GHz S MA R 50\n1 1 0\n1 1 0\n", "a.s1p", Some(3), "does not rise"),
        ("# GHz S MA R 50\n1 1 0\n# GHz\n", "a.s1p", Some(3), "one option line"),
        ("# GHz Z MA R 50\n1 1 0\n", "a.s1p", Some(1), "only S"),
        ("# GHz S MA R\n1 1 0\n", "a.s1p", Some(1), "needs a resistance"),
        ("# GHz S MA R -1\n1 1 0\n", "a.s1p", Some(1), "not positive"),
        ("# GHz Hz\n1 1 0\n", "a.s1p", Some(1), "said already"),
        ("# THz\n1 1 0\n", "a.s1p", Some(1), "`thz` is no option"),
        ("[Version] 2.0\n", "a.s1p", Some(1), "version 2"),
        ("1 1\n", "a.s1p", Some(1), "2 numbers"),
        ("1 1 inf\n", "a.s1p", Some(1), "not finite"),
        ("# DB\n1 1e9 0\n", "a.s1p", None, "magnitude"),
        ("1 1 0\n", "a.sxp", None, ".sNp"),
        ("1 1 0\n", "a.s4000000000p", None, ".sNp"),
        ("1 1 0\n", "a", None, ".sNp"),
        ("! ports: a, b\n1 1 0\n", "a.s1p", None, "2 names"),
        ("", "a.s1p", None, "no data"),
        (three, "a.s3p", None, "ends in the middle"),
        ("1 1 0 1 0 1 0 1 0\n1 1 0 1 0 1 0 1 0\n", "a.s2p", Some(2), "does not rise"),
        ("1 1 0 1 0 1 0 1 0\n1 1 0 1 0\n1 1 0 1 0\n", "a.s2p", Some(3), "must rise"),
        ("1 1 0 1 0 1 0 1 0\n1 1 0 1 0\n2 1 0 1 0 1 0 1 0\n", "a.s2p", Some(3), "noise block"),
    ];
    for (text, file, line, says) in faults {
        let error = read_touchstone(text, file, TimeConvention::Optics).unwrap_err();
        assert!(error.problem.contains(says), "{text}: {error}");
        assert_eq!(error.line, line, "{text}: {error}");
    }
}

#[test]
fn tables_are_checked() {
    let table = |ports: &[&str], f: &[f64], n: usize| {
        let ports = ports.iter().map(|p| (*p).to_owned()).collect();
        SParameters::from_polar(ports, f.to_vec(), &vec![(0.5, 0.0); n])
    };
    assert!(table(&["a"], &[1.0, 2.0], 2).is_ok());
    for wrong in [
        table(&[], &[1.0], 0),
        table(&["a", "a"], &[1.0], 4),
        table(&["a"], &[], 0),
        table(&["a"], &[2.0, 1.0], 2),
        table(&["a"], &[0.0], 1),
        table(&["a"], &[1.0], 2),
        SParameters::from_polar(vec!["a".into()], vec![1.0], &[(f64::NAN, 0.0)]),
        SParameters::from_polar(vec!["a".into()], vec![1.0], &[(1.0, f64::INFINITY)]),
    ] {
        assert!(wrong.is_err());
    }
}
