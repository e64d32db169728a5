use super::*;
use mirage_arithmetic::Placement;
use mirage_devices::variation::{Floor, Process, Variation};
use mirage_devices::{
    Adc, Codes, ConverterNoise, Crosstalk, Dac, Encoding, FrontEnd, MdpuParameters, Operands, OwnBus,
    SampledChips, SweepSetting, Trim,
};
use std::f64::consts::PI;

/// A unit like that of the built-in design, what that leaves open given: each path by itself, as far from the others as the
/// foundry's variation within a wafer.
fn parameters() -> MdpuParameters {
    let mut p = MdpuParameters::ideal(16);
    (p.rings.pass_loss_db, p.rings.drop_loss_db, p.rings.extinction_db) = (0.2, 0.2, 30.5);
    (p.shifters.loss_db, p.shifters.curvature, p.shifters.max_voltage) = (0.91, 0.1, 2.5);
    p.dac = Dac { codes: Codes::Nearest, bits: 15, inl: 0.3, dnl: 0.2 };
    p.trim = Trim { fabrication: foundry().path_deviation(true), resolution: 3.6e-3, range: PI };
    p.crosstalk = Crosstalk {
        coefficient: 1e-5,
        decay: 50e-6,
        pitch: 40e-6,
        own_bus: OwnBus::Distance(20e-6),
        heaters: None,
    };
    (p.link.rin, p.link.linewidth, p.link.delay_mismatch) = (1e-15, 1e6, 2e-12);
    p.detector.responsivity = 1.1;
    p.detector.front_end = FrontEnd::InputNoise(1.128e-6);
    p.adc = Adc { bits: Some(8), headroom: 1.0 };
    p.noise = ConverterNoise { adc: 0.3, jitter: 1e-13, sampling_time: 100e-12, ..p.noise };
    p
}

fn foundry() -> Variation {
    let process = Process::find("Electron Beam Lithography (Applied Nanotools)").unwrap();
    Variation::of(process, 1.55e-6, 240e-6, 20e-6, Floor::CLOSE).unwrap()
}

/// Trims MDPU 0 of chip 0 of a modulus; the error rate before and after, what was found, and with parts thought perfect.
fn trimmed(
    p: &MdpuParameters,
    m: u32,
    power: f64,
    plan: TrimPlan,
    look: impl FnOnce(&SampledChips, &mut Lab, &Trimmed),
) -> (f64, f64) {
    let (moduli, operands) = ([m], [Operands::uniform(m)]);
    let setting = SweepSetting {
        parameters: p,
        laser_power: power,
        max_laser_power: 1.0,
        target: 1e-8,
        moduli: &moduli,
        operands: &operands,
        seed: 5,
    };
    let chips = SampledChips::new(setting, Placement { units: 1, rows: 1 }, 128).unwrap();
    let mut lab = chips.lab(0, 0).unwrap();
    let before = chips.rate_of(0, &lab).0;
    let found = trim(&mut lab, plan, |_, _| ()).unwrap();
    let after = chips.rate_of(0, &lab).0;
    look(&chips, &mut lab, &found);
    (before, after)
}

/// Laser power at which shot noise is nothing, W.
const NO_SHOT: f64 = 1e15;

const PLAN: TrimPlan = TrimPlan { reads: 64, passes: 4 };

fn rms(lists: &[Vec<f64>]) -> f64 {
    let n = lists.iter().map(Vec::len).sum::<usize>() as f64;
    (lists.iter().flatten().map(|x| x * x).sum::<f64>() / n).sqrt()
}

#[test]
fn a_chip_of_the_foundry_goes_from_useless_to_the_target() {
    for (m, encoding) in
        [(31, Encoding::Natural), (32, Encoding::Centred), (33, Encoding::Natural), (33, Encoding::Centred)]
    {
        let p = MdpuParameters { encoding, ..parameters() };
        let (before, after) = trimmed(&p, m, 2e-3, PLAN, |_, _, found| {
            assert_eq!((found.out_of_range, found.found.len()), (0, 16));
            assert!(found.reads > 10_000 && found.reads < 1_000_000, "{found:?}");
        });
        assert!(before > 0.5, "{m} {encoding:?}: {before}");
        assert!(after < 1e-8, "{m} {encoding:?}: {after}");
    }
}

#[test]
fn paths_that_vary_alike_need_little_but_a_rotation() {
    let mut p = parameters();
    (p.trim.fabrication, p.variation) = (foundry().path_deviation(false), Some(foundry()));
    let (before, after) = trimmed(&p, 31, 2e-3, PLAN, |chips, _, found| {
        let mut rotated = chips.lab(0, 0).unwrap();
        // Bus and detour of a stage, 20 um apart, differ by little; it was found as well as 64 reads allow, and light past rings.
        let made = rotated.differences();
        assert!(rms(&made) < 4.0 * foundry().path_difference(20e-6));
        let off: Vec<f64> =
            found.found.iter().flatten().zip(made.iter().flatten()).map(|(f, m)| f - m).collect();
        assert!(rms(&[off]) < 2e-3);
        rotate(&mut rotated, 64).unwrap();
        assert!(chips.rate_of(0, &rotated).0 < 0.1);
    });
    assert!(before > 0.5 && after < 1e-8, "{before} {after}");
}

#[test]
fn what_is_too_coarse_stops_it() {
    let after = |change: fn(&mut MdpuParameters), reads| {
        let mut p = parameters();
        change(&mut p);
        trimmed(&p, 31, 2e-3, TrimPlan { reads, ..PLAN }, |_, _, _| ()).1
    };
    assert!(after(|p| p.trim.resolution = 40e-3, 64) > 1e-4);
    assert!(after(|p| p.dac.bits = 11, 64) > 1e-4);
    let (few, many) = (after(|_| (), 1), after(|_| (), 64));
    assert!(few > 10.0 * many, "{few} {many}");
}

#[test]
fn without_noise_and_steps_nothing_is_left() {
    let mut p = MdpuParameters::ideal(16);
    p.trim = Trim { fabrication: 2.7, resolution: 0.0, range: PI };
    for m in [31, 33] {
        trimmed(&p, m, NO_SHOT, TrimPlan { reads: 1, passes: 1 }, |_, lab, _| {
            assert!(rms(&lab.differences()) < 1e-9, "{}", rms(&lab.differences()));
            assert!(lab.deviation(200) < 1e-9);
        });
    }
}

#[test]
fn steps_leave_an_even_error_of_their_width() {
    let mut p = MdpuParameters::ideal(64);
    p.trim = Trim { fabrication: 2.7, resolution: 0.05, range: PI };
    trimmed(&p, 32, NO_SHOT, TrimPlan { reads: 1, passes: 1 }, |_, lab, _| {
        let (left, even) = (rms(&lab.differences()), 0.05 / 12f64.sqrt());
        // 320 stages; the mean square of an even distribution is known to sqrt(0.8/n), its root to half of that.
        assert!((left / even - 1.0).abs() < 4.0 * 0.5 * (0.8f64 / 320.0).sqrt(), "{left} {even}");
    });
    // With a range of a quarter of a turn the bus takes the other half; with less, something cannot be reached.
    p.trim.range = 0.5 * PI + 0.05;
    trimmed(&p, 32, NO_SHOT, PLAN, |_, lab, found| {
        assert!(found.out_of_range == 0 && rms(&lab.differences()) < 0.03)
    });
    p.trim.range = 0.3;
    trimmed(&p, 32, NO_SHOT, PLAN, |_, _, found| assert!(found.out_of_range > 100, "{}", found.out_of_range));
}

#[test]
fn gains_are_found_and_taken_off() {
    let mut p = MdpuParameters::ideal(16);
    p.shifters.mismatch = 0.03;
    for m in [31, 32, 33] {
        trimmed(&p, m, NO_SHOT, TrimPlan { reads: 1, passes: 1 }, |_, lab, found| {
            let weights = lab.unit().digits().weights();
            for (errors, found) in lab.in_use().mmus.iter().zip(&found.gains) {
                let square = |d: usize| f64::from(weights[d] * weights[d]);
                let sum: f64 = (0..weights.len()).map(|d| square(d) * errors.gain[d]).sum();
                let mean = sum / (0..weights.len()).map(square).sum::<f64>();
                assert!((found - mean).abs() < 1e-9, "{m}: {found} {mean}");
            }
        });
    }
    // A reference beyond what the driver gives is refused, not clipped.
    (p.shifters.mismatch, p.shifters.max_voltage) = (0.1, 1.95);
    let (moduli, operands) = ([33], [Operands::uniform(33)]);
    let setting = SweepSetting {
        parameters: &p,
        laser_power: 1e-3,
        max_laser_power: 1.0,
        target: 1e-8,
        moduli: &moduli,
        operands: &operands,
        seed: 5,
    };
    let chips = SampledChips::new(setting, Placement { units: 1, rows: 1 }, 1).unwrap();
    let refused = trim(&mut chips.lab(0, 0).unwrap(), PLAN, |_, _| ()).unwrap_err().to_string();
    assert!(refused.contains("the driver gives 1.950 V"), "{refused}");
    let none = TrimPlan { reads: 0, passes: 1 };
    assert!(trim(&mut chips.lab(0, 0).unwrap(), none, |_, _| ()).is_err() && chips.lab(0, 1).is_err());
}

#[test]
fn what_compensation_leaves_is_measured_away() {
    let mut p = parameters();
    (p.crosstalk.coefficient, p.heat.compensation) = (6e-4, Some(0.1));
    trimmed(&p, 32, 2e-3, PLAN, |chips, lab, _| {
        let raw = chips.lab(0, 0).unwrap();
        let heat = |lab: &Lab| lab.in_use().mmus.iter().map(|e| e.heat).collect::<Vec<f64>>();
        let (before, after) = (rms(&[heat(&raw)]), rms(&[heat(lab)]));
        assert!(before > 1e-4 && after < 0.1 * before, "{before} {after}");
    });
}

#[test]
fn the_same_seed_gives_the_same_knobs() {
    let knobs = || {
        let mut set = None;
        trimmed(&parameters(), 32, 2e-3, TrimPlan { reads: 4, passes: 2 }, |_, lab, _| {
            set = Some(lab.knobs().clone())
        });
        set.unwrap()
    };
    assert_eq!(knobs(), knobs());
}

#[test]
fn tracking_leaves_what_the_filter_says() {
    let mut p = parameters();
    p.trim.resolution = 1e-4;
    let looks = 2000u32;
    let drift = Drift { deviation: 0.1, memory: 1.0, interval: 2e-3, reads: 16, looks };
    trimmed(&p, 31, 2e-3, PLAN, |_, lab, _| {
        let before = lab.knobs().clone();
        let tracked = track(lab, drift, 4, 0).unwrap();
        let square = |pick: fn(&TrackedStep) -> f64| {
            tracked.steps.iter().map(|s| pick(s).powi(2)).sum::<f64>() / f64::from(looks)
        };
        let (left, drifted) = (square(|s| s.left).sqrt(), square(|s| s.drifted).sqrt());
        // Errors forget over 1/gain looks; the angle of the trimming's own end adds a constant of the size of one reading.
        let samples = f64::from(looks) * tracked.gain;
        assert!(tracked.gain > 0.05 && tracked.gain < 0.95, "{}", tracked.gain);
        let allowed = 4.0 / (2.0 * samples).sqrt() + 0.1;
        assert!((left / tracked.expected - 1.0).abs() < allowed, "{left} {} {allowed}", tracked.expected);
        assert!(drifted > 10.0 * left, "{drifted} {left}");
        assert_eq!(&before, lab.knobs());
        for bad in [
            Drift { interval: 2.0, ..drift },
            Drift { deviation: 0.0, ..drift },
            Drift { reads: 0, ..drift },
            Drift { memory: f64::NAN, ..drift },
        ] {
            assert!(track(lab, bad, 4, 0).is_err());
        }
    });
}

/// Mean squares of what is left and of what drifted in, and how often the arm was set, of a drift followed by `track`.
fn followed(p: &MdpuParameters, drift: Drift) -> (f64, f64, Tracked) {
    let mut found = None;
    trimmed(p, 31, 2e-3, PLAN, |_, lab, _| found = Some(track(lab, drift, 4, 1).unwrap()));
    let tracked = found.unwrap();
    let square = |pick: fn(&TrackedStep) -> f64| {
        tracked.steps.iter().map(|s| pick(s).powi(2)).sum::<f64>() / tracked.steps.len() as f64
    };
    (square(|s| s.left), square(|s| s.drifted), tracked)
}

#[test]
fn following_never_leaves_more_than_the_drift() {
    let drift = Drift { deviation: 0.0, memory: 0.1, interval: 2e-3, reads: 64, looks: 4000 };
    // A drift far below a step: nothing is set.
    let p = parameters();
    let (left, drifted, tracked) = followed(&p, Drift { deviation: 0.09 * p.trim.resolution, ..drift });
    assert_eq!(tracked.settings, 0);
    assert!((left / drifted - 1.0).abs() < 1e-9, "{left} {drifted}");
    assert!(tracked.expected <= 0.09 * p.trim.resolution * (1.0 + 1e-9));
    // Readings far worse than the drift: the estimate hardly leaves zero. A filter that never forgets would leave twice the drift.
    let mut fine = parameters();
    fine.trim.resolution = 1e-4;
    let (left, drifted, tracked) = followed(&fine, Drift { deviation: 1e-3, reads: 1, ..drift });
    assert!(tracked.reading > 5e-3 && tracked.gain < 0.05, "{} {}", tracked.reading, tracked.gain);
    assert!(left < 1.05 * drifted, "{left} {drifted}");
    assert!(tracked.expected < 1e-3);
    // A drift like a step, read well: what is left is what the filter and the rounding of its estimate say. Some 40 memories of the
    // drift pass, each worth two independent squares or more.
    let sigma = 0.7 * p.trim.resolution;
    let (left, _, tracked) = followed(&p, Drift { deviation: sigma, looks: 8000, ..drift });
    assert!(tracked.expected < 0.6 * sigma && tracked.settings > 0);
    assert!((left / tracked.expected.powi(2) - 1.0).abs() < 0.25, "{left} {}", tracked.expected.powi(2));
}
