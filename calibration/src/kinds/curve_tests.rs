//! Tables of drives, times, powers and places: what is refused and why, and what the fits mean.

use super::*;

fn ask(kind: &str, text: &str, set: &[&str]) -> Result<Outcome, CalibrationError> {
    let kind = Kind::named(kind)?;
    let input = Input { file: "t.csv".into(), bytes: text.as_bytes().to_vec() };
    kind.fit(&[input], None, &Given::read(set, kind.settings)?)
}

fn rows(header: &str, count: u32, row: impl Fn(f64) -> String) -> String {
    (0..count).fold(format!("{header}\n"), |text, i| text + &row(f64::from(i)) + "\n")
}

#[test]
fn what_cannot_be_used_is_refused_with_its_reason() {
    let curve = rows("voltage_v,phase_rad", 12, |i| format!("{},{}", 0.5 * i, 0.3 * i));
    let constant = rows("voltage_v,phase_rad", 12, |i| format!("{i},1.5"));
    let still = rows("voltage_v,phase_rad", 12, |i| {
        format!("{i},{}", if (i as u32).is_multiple_of(2) { 0.1 } else { -0.1 })
    });
    let same = rows("voltage_v,phase_rad", 12, |i| format!("2,{i}"));
    let coarse =
        rows("voltage_v,phase_rad", 12, |i| format!("{i},{}", (2.8 * i).rem_euclid(std::f64::consts::TAU)));
    let response = rows("time_s,signal", 40, |i| format!("{},{}", 1e-6 * i, 1.0 - (-i / 8.0).exp()));
    let back = response.replacen("0.000012", "0.000002", 1);
    let light = rows("power_w,current_a", 8, |i| format!("{},{}", 1e-6 * i, 1.1e-6 * i));
    let dark = rows("power_w,current_a", 8, |i| {
        format!("{},{}", 1e-6 * i, if (i as u32).is_multiple_of(2) { 1e-6 } else { 2e-6 })
    });
    let pair =
        "heater,guide,drive_rad,phase_rad\n0.0,0.1,1,0.02\n0.0,0.1,2,0.04\n0.1,0.0,1,0.03\n0.1,0.0,2,0.06\n";
    let flat = rows("x_mm,y_mm,value", 30, |i| format!("{},{},7", i, (i * i) % 7.0));
    let one = rows("x_mm,y_mm,value", 30, |i| format!("1,1,{}", (i * 7.0) % 11.0));
    let white = rows("x_mm,y_mm,value", 60, |i| {
        format!("{},{},{}", i % 8.0, (i / 8.0).floor(), (i * 37.0 % 61.0) - (i * i) % 13.0)
    });
    let survey = "year,sndr_db,power_w,fsnyq_hz\n2000,40,1e-3,1e9\n";
    for (kind, text, set, word) in [
        ("phase-shifter", "", &[][..], "one column of voltage_v, power_w is needed"),
        ("phase-shifter", "voltage_v,phase_rad\n", &[], "a header and no row"),
        ("phase-shifter", "wavelength_nm,channel_2_dbm\n1550,-20\n", &[], "the columns are wavelength_nm"),
        ("phase-shifter", "voltage_v,power_w,phase_rad\n1,1,1\n", &[], "say the same thing"),
        ("phase-shifter", &curve.replacen("0.5,0.3", "0.5,x", 1), &[], "t.csv:3: `x` in column `phase_rad`"),
        ("phase-shifter", &curve.replacen("0.5,0.3", "0.5,", 1), &[], "t.csv:3: `phase_rad` is missing"),
        ("phase-shifter", &curve.replacen("0.5,0.3", "0.5,inf", 1), &[], "t.csv:3: `inf`"),
        ("phase-shifter", &constant, &[], "1 different values of `phase_rad`"),
        ("phase-shifter", &same, &[], "1 different values of `voltage_v`"),
        ("phase-shifter", &still, &[], "does not follow the drive"),
        ("phase-shifter", &coarse, &["phase=wrapped"], "too near half a turn"),
        ("phase-shifter", &curve, &["length=3"], "has no unit"),
        ("phase-shifter", &curve, &["length=3 dB"], "no unit that can be turned into um"),
        ("phase-shifter", &curve, &["lenght=3um"], "did you mean `length`?"),
        (
            "phase-shifter",
            &curve.replace("voltage_v", "power_w"),
            &["resistance=50ohm"],
            "has the power itself",
        ),
        (
            "phase-shifter",
            &curve.replace("voltage_v", "power_w").replacen("0.5,", "-0.5,", 1),
            &[],
            "below 0",
        ),
        ("step-response", &response.replace("time_s", "time_us"), &[], "no column `time_s`"),
        ("step-response", &back, &[], "does not rise"),
        (
            "step-response",
            &rows("time_s,signal", 40, |i| format!("{i},1")),
            &[],
            "different values of `signal`",
        ),
        ("step-response", &response, &["onset=1s"], "outside the measured"),
        ("photodiode", &light, &["noise_bandwidth=1GHz"], "no column variance_a2"),
        ("photodiode", &dark, &[], "does not rise with the light"),
        ("photodiode", &light.replacen("0.000002,", "-1,", 1), &[], "below 0"),
        ("photodiode", "power_w,current_a,variance_a2\n1,1,1\n2,2,2\n3,3,3\n", &[], "--set samples"),
        ("thermal-crosstalk", &pair.replacen("0.1,0.0,1,0.03\n0.1,0.0,2,0.06\n", "", 1), &[], "not measured"),
        (
            "thermal-crosstalk",
            &pair.replacen("0.0,0.1,2", "0.1,0.1,2", 1),
            &[],
            "t.csv:3: heater `0.1` on its own guide",
        ),
        ("thermal-crosstalk", &pair.replace(",2,", ",1,"), &["offset=fitted"], "drives are all alike"),
        (
            "thermal-crosstalk",
            "heater,guide,drive_rad,phase_rad\na,b,1,1\nb,a,1,1\n",
            &[],
            "no degree of freedom",
        ),
        ("thermal-crosstalk", "heater,guide,drive_rad,phase_rad\n,b,1,1\n", &[], "has no name"),
        ("variation", &flat, &[], "1 different values"),
        ("variation", &one, &[], "1 different places"),
        ("variation", "x_mm,y_mm,value\n1,1,1\n2,2,2\n3,3,3\n", &[], "20 to 800 are needed"),
        ("variation", &white, &["compare=width"], "name it `value_nm`"),
        ("variation", &flat.replace("x_mm", "x_um"), &[], "no column `x_mm`"),
        ("converters", survey, &[], "a quantile of 0.1 needs 50"),
        ("converters", &survey.replace("year,", ""), &[], "no column `year`"),
        ("converters", survey, &["rate=1 W"], "no unit that can be turned into Hz"),
    ] {
        match ask(kind, text, set) {
            Ok(outcome) => panic!("{kind} {set:?}: accepted where `{word}` was expected: {:?}", outcome.fit),
            Err(error) => {
                assert!(error.to_string().contains(word), "{kind} {set:?}: {error} instead of {word}")
            }
        }
    }
    let input = Input { file: "t.csv".into(), bytes: vec![0xff, 0xfe, 0, 1] };
    for kind in
        ["phase-shifter", "step-response", "photodiode", "thermal-crosstalk", "variation", "converters"]
    {
        let kind = Kind::named(kind).unwrap();
        assert!(
            kind.fit(std::slice::from_ref(&input), None, &Given::default())
                .unwrap_err()
                .to_string()
                .contains("UTF-8")
        );
    }
}

#[test]
fn order_and_repeated_drives_do_not_matter() {
    let row = |i: f64| format!("{},{}", 0.5 * i, 0.2 + 0.6 * i + 0.01 * (7.0 * i).sin());
    let text = rows("voltage_v,phase_rad", 15, row);
    let mut lines: Vec<&str> = text.lines().skip(1).collect();
    let forward = ask("phase-shifter", &text, &[]).unwrap().fit;
    lines.reverse();
    let reversed = format!("voltage_v,phase_rad\n{}\n", lines.join("\n"));
    let backward = ask("phase-shifter", &reversed, &[]).unwrap().fit;
    let value = |fit: &crate::fit::Fit| fit.get("v_pi").unwrap().value;
    assert!((value(&forward) / value(&backward) - 1.0).abs() < 1e-6);
    let twice = format!("{text}{}\n", lines.join("\n"));
    assert!((value(&ask("phase-shifter", &twice, &[]).unwrap().fit) / value(&forward) - 1.0).abs() < 1e-6);
}

#[test]
fn a_matrix_of_crosstalk_is_what_a_design_reads() {
    let mut text = "heater,guide,drive_rad,phase_rad\n".to_owned();
    for (heater, guide, slope) in [("0.0", "1.0", 0.01), ("1.0", "0.0", 0.02)] {
        for drive in [1.0, 2.0, 3.0] {
            text += &format!("{heater},{guide},{drive},{}\n", slope * drive);
        }
    }
    let outcome = ask("thermal-crosstalk", &text, &[]).unwrap();
    let (name, matrix) = &outcome.files[0];
    assert_eq!(*name, "design-heaters.csv");
    let map = mirage_devices::heat::HeaterMap::read_matrix(matrix, name).unwrap();
    assert_eq!(map.size(), (2, 1));
    assert!(
        matrix
            .lines()
            .any(|l| l.starts_with("0.0,0,") && (l[6..].parse::<f64>().unwrap() - 0.02).abs() < 1e-12),
        "{matrix}"
    );
    assert!(outcome.fragment.text().contains("matrix = { value = \"design-heaters.csv\""));
    // Names of any kind survive: that of the file in the source, those of heaters in the matrix.
    let kind = Kind::named("thermal-crosstalk").unwrap();
    let named = |file: &str, text: &str| {
        let input = Input { file: file.into(), bytes: text.as_bytes().to_vec() };
        kind.fit(&[input], None, &Given::default()).unwrap()
    };
    let odd = named("a\n\"b\".csv", &text).fragment.text();
    assert!(odd.contains(r#"source = "a\u000A\"b\".csv: slopes"#), "{odd}");
    let strange = "\"h, \"\"1\"\"\nbelow\"";
    let (_, matrix) = &named("t.csv", &text.replace("1.0,", &format!("{strange},"))).files[0];
    let mut reader = csv::Reader::from_reader(matrix.as_bytes());
    assert_eq!(reader.headers().unwrap().get(2), Some("h, \"1\"\nbelow"), "{matrix}");
    assert!(reader.records().all(|r| r.unwrap().len() == 3), "{matrix}");
    // Names that are no stages still give the matrix, and a reason why no design can name it.
    let other = ask("thermal-crosstalk", &text.replace("1.0,", "h1,"), &[]).unwrap();
    assert!(
        other.fragment.is_empty() && other.fit.notes.iter().any(|n| n.contains("cannot name this matrix"))
    );
}

#[test]
fn the_survey_has_both_laws_and_an_envelope_as_published() {
    let survey = include_str!("../../../data/adc-survey/adc_survey_2025.csv");
    let outcome = ask("converters", survey, &["resamples=50"]).unwrap();
    let value = |name: &str| outcome.fit.get(name).unwrap_or_else(|| panic!("{name}")).value;
    let law = crate::AdcSurvey::read(survey, "s").unwrap().law(1e9).unwrap();
    assert_eq!((value("k1_three_best"), value("k2_three_best")), (law.k1, law.k2));
    // By its definition a tenth of the converters lies below the quantile's law.
    let (k1, k2) = (value("k1_quantile"), value("k2_quantile"));
    let read = crate::AdcSurvey::read(survey, "s").unwrap();
    let fast: Vec<_> = read.converters().iter().filter(|c| c.rate >= 1e9).collect();
    let below = fast.iter().filter(|c| c.energy < k1 * c.bits + k2 * 4f64.powf(c.bits)).count() as f64;
    assert!((below / fast.len() as f64 - 0.1).abs() < 0.02, "{below}");
    // Murmann, "The race for the extra decibel" (IEEE Solid-State Circuits Magazine, 2015): the envelope of the Schreier figure of
    // merit rises by about 1 dB a year, stands near 180 dB and falls by 10 dB a decade at high rates.
    assert!((170.0..190.0).contains(&value("schreier_slow_2020")), "{}", value("schreier_slow_2020"));
    assert!((0.2..1.5).contains(&value("schreier_per_year")), "{}", value("schreier_per_year"));
    assert!((6.0..18.0).contains(&value("schreier_slope_fast")), "{}", value("schreier_slope_fast"));
    for estimate in &outcome.fit.parameters {
        assert!(estimate.lower.unwrap() <= estimate.upper.unwrap(), "{estimate:?}");
    }
}

#[test]
fn a_chip_of_the_foundry_is_within_its_table() {
    use mirage_devices::variation::{CorrelatedField, Process};
    let width = Process::find("Electron Beam Lithography (University of Washington)").unwrap().width;
    let field = CorrelatedField::new((0.0, 40e-3), (0.0, 40e-3), width.correlation).unwrap();
    let places: Vec<f64> = (0..10).map(|i| 4e-3 * f64::from(i)).collect();
    let points: Vec<(usize, usize)> = (0..100).map(|i| (i % 10, i / 10)).collect();
    let map = field.sample(&mut rand_pcg::Pcg64::new(11, 1));
    let values = field.at(&map, &places, &places, &points);
    let mut text = "x_mm,y_mm,value_nm\n".to_owned();
    for ((i, j), value) in points.iter().zip(values) {
        text +=
            &format!("{},{},{}\n", 1e3 * places[*i], 1e3 * places[*j], 500.0 + 1e9 * width.deviation * value);
    }
    let outcome = ask("variation", &text, &["compare=width"]).unwrap();
    let note = outcome.fit.notes.iter().find(|n| n.contains("University of Washington")).unwrap();
    assert_eq!(note.matches("within the interval").count(), 2, "{note}");
    assert!(outcome.tables[0].rows.len() > 10);
    assert!(
        outcome.fit.notes.iter().any(|n| n.contains("maps drawn of the fitted law")),
        "{:?}",
        outcome.fit.notes
    );
    assert!(!outcome.fit.notes.iter().any(|n| n.contains("misses")), "{:?}", outcome.fit.notes);
}

/// Waves over the chip: far devices are alike again, which no law that falls with distance has.
#[test]
fn a_law_that_does_not_hold_is_said() {
    let mut random = rand_pcg::Pcg64::new(3, 1);
    let mut text = "x_mm,y_mm,value\n".to_owned();
    for i in 0..100 {
        let (x, y) = (f64::from(i % 10), f64::from(i / 10));
        let wave = (std::f64::consts::TAU * x / 4.0).sin();
        text += &format!("{x},{y},{}\n", wave + 0.2 * crate::fit::tests::normal(&mut random));
    }
    let outcome = ask("variation", &text, &[]).unwrap();
    assert!(
        outcome.fit.notes.iter().any(|n| n.contains("the law misses the variogram")),
        "{:?}",
        outcome.fit.notes
    );
}
