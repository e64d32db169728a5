//! The physical components, beside SAX's generic ones.

use super::{
    Component, guide, interferometer, passives, ring, ring_switch, shifters, splitters, tabulated::Tabulated,
};
use std::sync::Arc;

pub(super) fn all() -> Vec<Arc<dyn Component>> {
    vec![
        Arc::new(guide::WAVEGUIDE),
        Arc::new(splitters::Y_BRANCH),
        Arc::new(splitters::DIRECTIONAL_COUPLER),
        Arc::new(splitters::MMI_SPLITTER),
        Arc::new(splitters::MMI_COUPLER),
        Arc::new(ring::RING_ALL_PASS),
        Arc::new(ring::RING_ADD_DROP),
        Arc::new(ring_switch::RING_SWITCH),
        Arc::new(interferometer::MZI),
        Arc::new(shifters::THERMO_OPTIC),
        Arc::new(shifters::DEPLETION),
        Arc::new(shifters::NOEMS),
        Arc::new(passives::CROSSING),
        Arc::new(passives::EDGE_COUPLER),
        Arc::new(passives::GRATING),
        Arc::new(Tabulated::default()),
    ]
}

#[cfg(test)]
mod tests {
    use crate::component::{
        ComponentError, GuideTable, Library, Points, Polarization, Scattering, Settings, Value,
    };
    use nalgebra::DMatrix;
    use num_complex::Complex64;
    use std::f64::consts::{FRAC_PI_2, PI, TAU};

    const WAVELENGTHS: [f64; 5] = [1.5e-6, 1.53e-6, 1.55e-6, 1.551e-6, 1.6e-6];

    /// S-matrices of a component at [`WAVELENGTHS`].
    fn matrices(name: &str, given: &[(&str, Value)]) -> Result<Vec<DMatrix<Complex64>>, ComponentError> {
        at(name, given, &WAVELENGTHS)
    }

    fn at(
        name: &str,
        given: &[(&str, Value)],
        wavelengths: &[f64],
    ) -> Result<Vec<DMatrix<Complex64>>, ComponentError> {
        let library = Library::standard();
        let component = library.get(name).unwrap();
        let mut settings = Settings::defaults(component.settings());
        for (key, value) in given {
            settings.set(key, value.clone())?;
        }
        let component = component.load(&settings)?.unwrap_or_else(|| component.clone());
        let ports = component.ports().len();
        let mut s = Scattering::new(ports, &component.couplings(), wavelengths.len());
        let points = Points::new(wavelengths.to_vec()).unwrap();
        component.scatter(&points, &settings, &mut s)?;
        assert_eq!(s.problem(), None, "{name}");
        Ok((0..wavelengths.len()).map(|k| DMatrix::from_fn(ports, ports, |o, i| s.at(o, i, k))).collect())
    }

    fn numbers(given: &[(&'static str, f64)]) -> Vec<(&'static str, Value)> {
        given.iter().map(|(name, x)| (*name, Value::Number(*x))).collect()
    }

    const ALL: [&str; 15] = [
        "waveguide",
        "y_branch",
        "directional_coupler",
        "mmi_splitter",
        "mmi_coupler",
        "ring_all_pass",
        "ring_add_drop",
        "ring_switch",
        "mzi",
        "thermo_optic_shifter",
        "depletion_shifter",
        "noems_shifter",
        "crossing",
        "edge_coupler",
        "grating",
    ];

    #[test]
    fn every_component_is_reciprocal_and_passive() {
        for name in ALL {
            for s in matrices(name, &[]).unwrap() {
                assert!((&s - s.transpose()).norm() < 1e-15, "{name}");
                let gain = s.singular_values().max();
                assert!(gain <= 1.0 + 1e-12, "{name}: {gain}");
            }
        }
    }

    #[test]
    fn lossless_components_conserve_energy() {
        let lossless = [
            ("waveguide", numbers(&[("loss_dB_cm", 0.0)])),
            ("directional_coupler", numbers(&[("loss_dB_cm", 0.0), ("bend_angle", 0.3)])),
            ("ring_all_pass", numbers(&[("loss_dB_cm", 0.0)])),
            ("ring_add_drop", numbers(&[("loss_dB_cm", 0.0), ("coupling_drop", 0.3)])),
            ("ring_switch", numbers(&[("loss_dB_cm", 0.0), ("drive", 0.7)])),
            ("mzi", numbers(&[("loss_dB_cm", 0.0), ("delta_length", 31.0), ("coupling_in", 0.4)])),
            ("depletion_shifter", numbers(&[("loss_dB_cm", 0.0), ("dloss_dV", 0.0), ("voltage", 2.0)])),
        ];
        for (name, settings) in lossless {
            for s in matrices(name, &settings).unwrap() {
                let identity = DMatrix::identity(s.nrows(), s.ncols());
                assert!((s.adjoint() * &s - identity).norm() < 1e-12, "{name}");
            }
        }
        // One splitter is lossless forwards only.
        for s in matrices("y_branch", &numbers(&[("loss_dB", 0.0), ("imbalance_dB", 1.5)])).unwrap() {
            assert!((s.column(0).norm() - 1.0).abs() < 1e-12);
            assert!((20.0 * (s[(1, 0)].norm() / s[(2, 0)].norm()).log10() - 1.5).abs() < 1e-12);
        }
    }

    /// cos^2 and sin^2 of half the phase between the arms; free spectral range c/(n_g dL).
    #[test]
    fn interferometer_of_the_textbook() {
        let even = numbers(&[("loss_dB_cm", 0.0), ("delta_length", 100.0)]);
        let mode = GuideTable::silicon_strips().unwrap().mode(0.5e-6, 0.22e-6, Polarization::Te).unwrap();
        for (s, wl) in matrices("mzi", &even).unwrap().iter().zip(WAVELENGTHS) {
            let phi = mode.wavenumber(wl) * 100e-6;
            assert!((s[(3, 0)].norm_sqr() - (phi / 2.0).cos().powi(2)).abs() < 1e-10);
            assert!((s[(2, 0)].norm_sqr() - (phi / 2.0).sin().powi(2)).abs() < 1e-10);
        }
        let range = 299_792_458.0 / (mode.ng * 100e-6);
        let apart: Vec<f64> =
            [0.0, 1.0].map(|k| 299_792_458.0 / (299_792_458.0 / 1.55e-6 + k * range)).into();
        let s = at("mzi", &even, &apart).unwrap();
        let drift = (s[0][(3, 0)].norm_sqr() - s[1][(3, 0)].norm_sqr()).abs();
        assert!(drift < 2e-2, "dispersion alone may remain: {drift}");
    }

    /// Power across is sin^2(kappa L): none at zero, all at the crossover length, half at half of it (Yariv 1973).
    #[test]
    fn coupled_modes() {
        let across = |length: f64, dkappa: f64, bend: f64| {
            let given =
                numbers(&[("length", length), ("dkappa", dkappa), ("bend_angle", bend), ("loss_dB_cm", 0.0)]);
            matrices("directional_coupler", &given).unwrap()[4][(3, 0)].norm_sqr()
        };
        let crossover = FRAC_PI_2 / 0.0405;
        assert!(across(0.0, 0.0, 0.0) < 1e-15);
        assert!((across(crossover, 0.0, 0.0) - 1.0).abs() < 1e-12);
        assert!((across(crossover / 2.0, 0.0, 0.0) - 0.5).abs() < 1e-12);
        // At 1.6 um: 0.05 um above the centre.
        let angle = (0.0405f64 + 0.2 * 0.05) * 10.0 + 0.1;
        assert!((across(10.0, 0.2, 0.1) - angle.sin().powi(2)).abs() < 1e-12);
    }

    #[test]
    fn the_fabrication_sample_and_the_temperature_move_the_phase() {
        let phase =
            |given: &[(&'static str, f64)]| matrices("waveguide", &numbers(given)).unwrap()[2][(1, 0)].arg();
        let still = phase(&[]);
        let turn = |x: f64| x - (x / TAU).round() * TAU;
        // 10 um at 1.55 um: 2 pi 10/1.55 dneff.
        let unit = TAU * 10.0 / 1.55;
        let wide = turn(phase(&[("width_error", 1.0)]) - still);
        assert!((wide - unit * (2.47492 - 2.44553) / 20.0).abs() < 1e-9);
        let thick = turn(phase(&[("thickness_error", 2.0)]) - still);
        assert!((thick - unit * (2.48129 - 2.44553) / 5.0).abs() < 1e-9);
        let hot = turn(phase(&[("temperature", 310.0)]) - still);
        assert!((hot - unit * 1.87e-3).abs() < 1e-9);
        // A ring's resonance moves by wl dneff/dT/n_g, here 69 pm/K: silicon rings are known for 50 to 100 pm/K.
        let shift = 1.55e6 * 1.87e-4 / 4.19088;
        assert!((50.0..100.0).contains(&shift));
        let edge = matrices("waveguide", &numbers(&[("width", 0.4), ("width_error", -1.0)])).unwrap_err();
        assert!(edge.problem.contains("outside the table"), "{edge}");
    }

    #[test]
    fn shifters_turn_by_half_at_their_drive() {
        let turned = |name: &str, drive: &[(&'static str, f64)]| {
            let with = matrices(name, &numbers(drive)).unwrap()[2][(1, 0)];
            with / matrices(name, &[]).unwrap()[2][(1, 0)]
        };
        assert!((turned("thermo_optic_shifter", &[("power", 24.77)]) + 1.0).norm() < 1e-12);
        // 0.1 cm at 2 V cm: 20 V for half a turn; the loss falls by 0.5 dB/cm/V x 20 V x 0.1 cm = 1 dB.
        let depleted = turned("depletion_shifter", &[("voltage", 20.0)]);
        assert!((depleted + 10f64.powf(1.0 / 20.0)).norm() < 1e-12, "{depleted}");
        let noems = turned("noems_shifter", &[("voltage", 0.5), ("length", 25.0)]);
        let bent = PI * 0.5 * (1.0 + 0.04 * 0.5) * 25e-4 / 0.0025;
        assert!((noems - Complex64::from_polar(1.0, bent)).norm() < 1e-12);
        // After one time constant 1 - 1/e of the phase is there.
        let tau = 1.0 / (TAU * 0.13);
        let half = turned("thermo_optic_shifter", &[("power", 24.77), ("time_since_step", tau)]);
        assert!((half.arg() - PI * (1.0 - (-1.0f64).exp())).abs() < 1e-12);
        let gain = matrices("depletion_shifter", &numbers(&[("voltage", 30.0)])).unwrap_err();
        assert!(gain.problem.contains("amplified"), "{gain}");
    }

    #[test]
    fn what_would_gain_power_is_refused() {
        for (name, given) in [
            ("mmi_coupler", numbers(&[("phase_error", 10.0)])),
            ("crossing", numbers(&[("loss_dB", 0.0)])),
            ("edge_coupler", numbers(&[("loss_dB", 0.01), ("reflection_dB", 10.0)])),
            ("mzi", numbers(&[("delta_length", -200.0)])),
        ] {
            assert!(matrices(name, &given).is_err(), "{name}");
        }
        let enough = numbers(&[("phase_error", 10.0), ("loss_dB", 0.8)]);
        for s in matrices("mmi_coupler", &enough).unwrap() {
            assert!(s.singular_values().max() <= 1.0 + 1e-12);
        }
        let far = at("waveguide", &[], &[1.31e-6]).unwrap_err();
        assert!(far.problem.contains("1.4 um and 1.7 um"), "{far}");
    }

    #[test]
    fn the_grating_peaks_where_light_leaves_at_its_angle() {
        let peak = |given: &[(&'static str, f64)]| {
            let grid: Vec<f64> = (0..=1000).map(|k| 1.5e-6 + 1e-10 * f64::from(k)).collect();
            let s = at("grating", &numbers(given), &grid).unwrap();
            let best = (0..grid.len()).max_by(|a, b| s[*a][(1, 0)].re.total_cmp(&s[*b][(1, 0)].re));
            grid[best.unwrap()]
        };
        assert!((peak(&[]) - 1.55e-6).abs() < 1e-10);
        assert!(peak(&[("temperature", 320.0)]) > 1.55e-6 && peak(&[("angle", 12.0)]) < 1.55e-6);
        let edge = at("grating", &[], &[1.53e-6]).unwrap()[0][(1, 0)].norm();
        assert!((-20.0 * edge.log10() - 6.0).abs() < 1e-3, "1 dB below the peak at half the bandwidth");
    }

    #[test]
    fn tables_become_components() {
        let file = |name: &str| format!("{}/../data/siepic-fdtd/{name}", env!("CARGO_MANIFEST_DIR"));
        let with = |name: &str, more: &[(&'static str, Value)]| {
            let mut given = vec![("file", Value::Text(file(name)))];
            given.extend_from_slice(more);
            matrices("tabulated", &given)
        };
        let text = |t: &str| Value::Text(t.into());
        let coupler = with("ebeam_bdc_te1550.sparam", &[]).unwrap();
        assert_eq!(coupler[0].nrows(), 4);
        let refused = with("ebeam_bdc_te1550.sparam", &[("passivity", text("test"))]).unwrap_err();
        assert!(refused.problem.contains("1.006876"), "{refused}");
        for s in with("ebeam_bdc_te1550.sparam", &[("passivity", text("enforce"))]).unwrap() {
            assert!(s.singular_values().max() <= 1.0 + 1e-12);
        }
        assert!(with("ybranch_te1550.sparam", &[("passivity", text("test"))]).is_ok());
        let tm = with("ybranch_te1550.sparam", &[("mode", Value::Number(2.0))]).unwrap();
        assert!((tm[2][(1, 0)].norm() - 0.694).abs() < 0.01);
        for (more, says) in [
            (("passivity", text("fix")), "none of ignore, test, enforce"),
            (("mode", Value::Number(1.5)), "whole number"),
            (("sweep", text("gap")), "name=value"),
            (("convention", text("rf")), "neither optics"),
        ] {
            let error = with("ybranch_te1550.sparam", &[more]).unwrap_err();
            assert!(error.problem.contains(says), "{error}");
        }
        assert!(with("nothing.sparam", &[]).unwrap_err().problem.contains("cannot be read"));
        assert!(with("LICENSE", &[]).unwrap_err().problem.contains("extension"));
        let given = [("file", Value::Text(file("ybranch_te1550.sparam")))];
        let outside = at("tabulated", &given, &[1.3e-6]).unwrap_err();
        assert!(outside.problem.contains("is outside the file's 1.499997 um"), "{outside}");
    }
}
