use mirage_arithmetic::{ChannelTable, Moduli};

use super::*;

fn sweep() -> Sweep {
    let base = GemmConfig::mirage(0);
    Sweep {
        shapes: vec![ErrorShape::Slip, ErrorShape::Design],
        protections: SweepProtection::ALL.to_vec(),
        rates: vec![1e-5, 1e-3],
        seeds: vec![4, 5],
        code: SlipCode::with_changes(&base.moduli, &[18, 27, 23]).unwrap(),
        base,
        redundant: vec![35, 37],
        repeats: 3,
        design: None,
        config: TrainConfig::default(),
    }
}

/// A channel that slips up only, twice as often from odd levels.
fn lopsided(moduli: &Moduli) -> ResidueChannel {
    let table = |&m: &u32| {
        let mut p = vec![0.0; (m * m) as usize];
        for t in 0..m {
            p[(t * m + (t + 1) % m) as usize] = 1e-6 * f64::from(1 + t % 2);
        }
        ChannelTable::new(m, p, None).unwrap()
    };
    ResidueChannel::average(moduli.as_slice().iter().map(table).collect())
}

#[test]
fn plans_come_in_their_order() {
    let plans = sweep().plans().unwrap();
    // Without a design's channel only slips are left.
    assert_eq!(plans.len(), 5 * 2 * 2);
    let label = |index: usize| {
        let label = &plans[index].label;
        (label.error_shape.as_str(), label.protection.as_str(), label.rate.unwrap(), label.seed)
    };
    assert_eq!(label(0), ("slip", "none", 1e-5, 4));
    assert_eq!(label(1), ("slip", "none", 1e-5, 5));
    assert_eq!(label(2), ("slip", "none", 1e-3, 4));
    assert_eq!(label(4), ("slip", "read-again", 1e-5, 4));
    assert_eq!(label(11), ("slip", "read-again+slip-code", 1e-3, 5));
    assert_eq!(label(12), ("slip", "read-again+redundant", 1e-5, 4));
    assert_eq!(label(16), ("slip", "correct", 1e-5, 4));
    let moduli = |index: usize| match &plans[index].arithmetic {
        Arithmetic::Mirage(config, _) => config.moduli.as_slice().to_vec(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        [moduli(0), moduli(12), moduli(16)],
        [vec![31, 32, 33], vec![31, 32, 33, 35], vec![31, 32, 33, 35, 37]]
    );
    for plan in &plans {
        assert_eq!(plan.config.seed, plan.label.seed);
        let Arithmetic::Mirage(config, channel) = &plan.arithmetic else { panic!("{plan:?}") };
        assert!((channel.error_rate(32).unwrap() - plan.label.rate.unwrap()).abs() < 1e-12);
        assert_eq!(config.protection == Protection::None, plan.label.protection == "none");
        // What the sweep calls a protection is what the arithmetic itself would be called; a modulus more is no name.
        let own = plan.arithmetic.label("slip", 4).protection;
        assert_eq!(own, plan.label.protection.trim_end_matches("+redundant"));
        assert!(plan.arithmetic.gemm(1).is_ok());
    }
}

#[test]
fn the_designs_channel_keeps_its_levels_whatever_the_code() {
    let sweep =
        Sweep { shapes: vec![ErrorShape::Design], design: Some(lopsided(&Moduli::mirage())), ..sweep() };
    let plans = sweep.plans().unwrap();
    assert_eq!(plans.len(), 12);
    for plan in &plans {
        let Arithmetic::Mirage(config, channel) = &plan.arithmetic else { panic!("{plan:?}") };
        assert!(plan.arithmetic.gemm(1).is_ok());
        let table = channel.table(33).unwrap();
        let rate = plan.label.rate.unwrap();
        for level in 0..33 {
            let at = |level: u32| config.code.residue(2, level % 33);
            let p = table.probability(at(level), at(level + 1));
            // Levels 0 to 32 hold 16 odd ones, those of the others 15 and 16: the mean weight over all three.
            let mean = (46.0 / 31.0 + 48.0 / 32.0 + 49.0 / 33.0) / 3.0;
            let want = rate * f64::from(1 + level % 2) / mean;
            assert!((p - want).abs() < 1e-9 * rate, "{level}: {p} {want}");
        }
    }
}

#[test]
fn too_high_a_rate_is_an_error() {
    let high = Sweep { rates: vec![2.0], ..sweep() };
    assert!(matches!(high.plans(), Err(RunError::Channel(_))));
}

const GOOD: &str = r#"
[training]
shapes = ["slip", "uniform"]
protections = ["none", "read-again", "read-again+slip-code"]
rates = [1e-5, 1e-3]
seeds = 2
epochs = 1
slip_code = [18, 27, 23]
redundant = [35, 37]
repeats = 3
"#;

fn read(text: &str) -> Result<Sweep, DesignError> {
    let document = mirage_design::Document::new(text, "d.toml")?;
    let section: SweepSection = document.section("training")?;
    let config = TrainConfig { seed: 7, ..TrainConfig::default() };
    section.sweep(&GemmConfig::mirage(0), None, &config).map_err(|error| document.locate(error))
}

#[test]
fn a_section_becomes_a_sweep() {
    let sweep = read(GOOD).unwrap();
    assert_eq!((sweep.seeds.as_slice(), sweep.config.epochs), ([7, 8].as_slice(), 1));
    // Uniform errors do not know the code: two shapes of three and two protections, two rates, two seeds.
    assert_eq!(sweep.plans().unwrap().len(), 20);
}

#[test]
fn every_value_out_of_range_is_an_error_with_its_line() {
    for (from, to, line, says) in [
        ("\"uniform\"", "\"unifrom\"", 3, "did you mean \"uniform\"?"),
        ("\"none\"", "\"nothing\"", 4, "\"nothing\" is no protection: use none, read-again"),
        ("1e-5", "0.0", 5, "holds 0"),
        ("1e-3", "1.0", 5, "holds 1"),
        ("[1e-5, 1e-3]", "[]", 5, "at least one rate"),
        ("[1e-5, 1e-3]", "[1e-5, 1e-3, 0.00001]", 5, "holds 0.00001 twice"),
        ("[\"slip\", \"uniform\"]", "[]", 3, "at least one name"),
        ("\"uniform\"", "\"slip\"", 3, "holds \"slip\" twice"),
        ("[\"none\", \"read-again\", \"read-again+slip-code\"]", "[]", 4, "at least one name"),
        ("\"none\"", "\"read-again\"", 4, "holds \"read-again\" twice"),
        ("seeds = 2", "seeds = 0", 6, "between 1 and 1000"),
        ("epochs = 1", "epochs = 0", 7, "between 1"),
        ("[18, 27, 23]", "[18, 2, 23]", 8, "cannot be used"),
        ("[18, 27, 23]", "[18]", 8, "cannot be used"),
        ("repeats = 3", "repeats = 256", 10, "between 1 and 255"),
        ("repeats", "repeat", 10, "repeats"),
    ] {
        let error = read(&GOOD.replace(from, to)).unwrap_err();
        assert_eq!(error.line(), Some(line), "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn redundant_moduli_must_fit_where_they_are_used() {
    // Not used, so not looked at.
    assert!(read(&GOOD.replace("[35, 37]", "[2]")).is_ok());
    let text = GOOD.replace("\"read-again+slip-code\"", "\"read-again+redundant\", \"correct\"");
    assert_eq!(read(&text).unwrap().redundant, [35, 37]);
    for (moduli, says) in [
        ("[35, 36]", "share the factor"),
        ("[29, 37]", "would weaken"),
        ("[35]", "correct needs 2 redundant moduli, and 1 are given"),
        ("[]", "read-again+redundant needs 1"),
    ] {
        let error = read(&text.replace("[35, 37]", moduli)).unwrap_err();
        assert_eq!(error.line(), Some(9), "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
}
