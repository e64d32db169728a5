//! SAX's generic models against numbers worked out by hand from their definitions, and against SAX's own.

use num_complex::Complex64;

use super::{Library, Points, Scattering, Settings, Value, port_index};

/// Elements (out, in) of a component at a wavelength in um.
fn elements(name: &str, settings: &[(&str, f64)], wl: f64) -> impl Fn(&str, &str) -> Complex64 {
    let component = Library::standard().get(name).unwrap().clone();
    let mut given = Settings::defaults(component.settings());
    settings.iter().for_each(|(k, v)| given.set(k, Value::Number(*v)).unwrap());
    let component = component.load(&given).unwrap().unwrap_or(component);
    let ports: Vec<String> = component.ports().iter().map(|p| (*p).to_owned()).collect();
    let points = Points::new(vec![wl * 1e-6]).unwrap();
    let mut s = Scattering::new(ports.len(), &component.couplings(), 1);
    component.scatter(&points, &given, &mut s).unwrap();
    move |out, input| {
        let names: Vec<&str> = ports.iter().map(String::as_str).collect();
        let index = |name| port_index(&names, name).unwrap();
        s.at(index(out), index(input), 0)
    }
}

fn near(found: Complex64, re: f64, im: f64) {
    assert!((found - Complex64::new(re, im)).norm() < 1e-9, "{found} is not {re} + {im}i");
}

/// `sax-0.18.2.csv`: every generic model with its defaults and with other settings, at three wavelengths.
#[test]
fn models_are_those_of_sax() {
    let mut reader = csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .from_reader(include_bytes!("sax-0.18.2.csv").as_slice());
    let mut models = std::collections::BTreeMap::new();
    for record in reader.records().map(Result::unwrap) {
        let number = |column: usize| record[column].parse::<f64>().unwrap();
        let settings = record[1].split_terminator(';').map(|text| text.split_once('=').unwrap());
        let settings: Vec<(&str, f64)> = settings.map(|(k, v)| (k, v.parse().unwrap())).collect();
        let s = elements(&record[0], &settings, number(2));
        near(s(&record[3], &record[4]), number(5), number(6));
        *models.entry(record[0].to_owned()).or_insert(0) += 1;
    }
    assert!(models.len() == 13 && models.values().all(|count| *count >= 6), "{models:?}");
}

#[test]
fn guides() {
    // One turn: 2.0 x 1.55 um / 1.55 um = 2 turns; a quarter turn more with 0.19375 um.
    let s = elements("straight", &[("neff", 2.0), ("ng", 2.0), ("length", 1.55)], 1.55);
    near(s("out0", "in0"), 1.0, 0.0);
    let s = elements("straight", &[("neff", 2.0), ("ng", 2.0), ("length", 1.55 + 0.19375)], 1.55);
    near(s("o2", "o1"), 0.0, 1.0);
    near(s("o1", "o2"), 0.0, 1.0);
    // 20 dB/cm over 1 cm leave a tenth of the amplitude.
    let s = elements("straight", &[("length", 1e4), ("loss_dB_cm", 20.0)], 1.55);
    assert!((s("out0", "in0").norm() - 0.1).abs() < 1e-12);
    // n = 2.34 - 0.05 x 1.06/1.55 at 1.6 um.
    let phase = std::f64::consts::TAU * (2.34 - 0.05 * 1.06 / 1.55) * 10.0 / 1.6;
    near(elements("straight", &[], 1.6)("out0", "in0"), phase.cos(), phase.sin());
    // Half a volt is a quarter turn.
    let s = elements("phase_shifter", &[("length", 0.0), ("voltage", 0.5)], 1.55);
    near(s("out0", "in0"), 0.0, 1.0);
    assert!(
        (elements("attenuator", &[("loss", 3.0)], 1.5)("out0", "in0").norm_sqr() - 0.501_187_233_6).abs()
            < 1e-9
    );
    assert!(
        (elements("bend", &[("length", 1e5)], 1.5)("out0", "in0").norm() - 10f64.powf(-0.05)).abs() < 1e-9
    );
}

#[test]
fn couplers_and_splitters() {
    let s = elements("coupler_ideal", &[("coupling", 0.36)], 1.55);
    near(s("out0", "in0"), 0.8, 0.0);
    near(s("out1", "in0"), 0.0, 0.6);
    near(s("o3", "o1"), 0.0, 0.6);
    near(s("in1", "out0"), 0.0, 0.6);
    let s = elements("splitter_ideal", &[("coupling", 0.36)], 1.55);
    near(s("out0", "in0"), 0.8, 0.0);
    near(s("out1", "in0"), 0.6, 0.0);
    // At wl0 the angle is coupling0 + pi dn length/wl = 0.2 + pi/4 for 19.375 um.
    let angle = 0.2 + std::f64::consts::FRAC_PI_4;
    let s = elements("coupler", &[("length", 19.375)], 1.55);
    near(s("out0", "in0"), angle.cos(), 0.0);
    near(s("out1", "in0"), 0.0, -angle.sin());
    // 10 nm away: 0.2 + 0.012435 + 0.5 x 5.3022e-4 without length.
    let angle: f64 = 0.2 + 0.012_435 + 0.5 * 5.3022e-4;
    near(elements("coupler", &[], 1.56)("out1", "in1"), angle.cos(), 0.0);
    let s = elements("crossing_ideal", &[], 1.55);
    near(s("o3", "o1"), 1.0, 0.0);
    near(s("o4", "o1"), 0.0, 0.0);
}

#[test]
fn interference_couplers() {
    let loss = 10f64.powf(-0.3 / 20.0);
    near(elements("mmi1x2", &[], 1.55)("out1", "in0"), loss * 0.5f64.sqrt(), 0.0);
    near(elements("mmi1x2_ideal", &[], 1.5)("out0", "in0"), 0.5f64.sqrt(), 0.0);
    near(elements("mmi2x2_ideal", &[], 1.5)("out1", "in0"), 0.0, 0.5f64.sqrt());
    // The centre is shifted to 1.555 um; o1 to o3 is through, o1 to o4 across.
    let settings = [("splitting_ratio_thru", 0.36), ("loss_dB_cross", 20.0), ("shift", 0.005)];
    let s = elements("mmi2x2", &settings, 1.555);
    near(s("o3", "o1"), 0.6 * loss, 0.0);
    near(s("o4", "o1"), 0.0, 0.1 * 0.5f64.sqrt());
    // Frequencies half the full width away from the centre: half the amplitude.
    let (f0, half) = (1.0 / 1.55, (1.0 / 1.45 - 1.0 / 1.65) / 2.0);
    let s = elements("mmi1x2", &[], 1.0 / (f0 + half));
    near(s("out1", "in0"), loss * 0.5f64.sqrt() / 2.0, 0.0);
}

#[test]
fn ends_and_mirrors() {
    // Half the power at half the bandwidth from the centre.
    let s = elements("grating_coupler", &[("loss", 3.0), ("reflection", 0.1)], 1.57);
    assert!((s("out0", "in0").norm_sqr() - 0.5 * 10f64.powf(-0.3)).abs() < 1e-9);
    near(s("in0", "in0"), 0.1, 0.0);
    near(s("out0", "out0"), 0.0, 0.0);
    let s = elements("reflector", &[("reflection", 0.36)], 1.55);
    near(s("in0", "in0"), 0.6, 0.0);
    near(s("out0", "in0"), 0.8, 0.0);
    near(elements("mirror", &[], 1.55)("in0", "in0"), 1.0, 0.0);
    near(elements("terminator", &[("reflection", 0.01)], 1.55)("in0", "in0"), 0.1, 0.0);
    let s = elements("circulator", &[], 1.55);
    near(s("o2", "o1"), 1.0, 0.0);
    near(s("o1", "o2"), 0.01, 0.0);
    near(elements("unitary", &[("num_inputs", 1.0), ("num_outputs", 4.0)], 1.55)("out3", "in0"), 0.5, 0.0);
    let s = elements("passthru", &[("num_links", 3.0)], 1.55);
    near(s("out2", "in2"), 1.0, 0.0);
    near(s("out1", "in2"), 0.0, 0.0);
}
