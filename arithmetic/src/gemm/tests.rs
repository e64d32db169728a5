use proptest::prelude::*;

use crate::*;

fn operand(len: usize, seed: u64) -> Vec<f32> {
    let word = |i: usize| crate::philox::philox([i as u32, 7, 7, 7], [seed as u32, 3]);
    (0..len)
        .map(|i| {
            let w = word(i);
            let x = (w[0] as f32 / u32::MAX as f32 - 0.5) * 2f32.powi((w[1] % 16) as i32 - 8);
            if w[2] % 5 == 0 { 0.0 } else { x }
        })
        .collect()
}

fn both(gemm: &EmulatedGemm, (m, k, n): (usize, usize, usize), seed: u64) -> (Vec<u32>, Counters) {
    let (a, b) = (operand(m * k, seed), operand(k * n, seed + 1));
    let site = Site { layer: 3, pass: Pass::Forward, step: seed };
    let va =
        if (seed / 2).is_multiple_of(2) { Matrix::new(&a, m, k) } else { Matrix::new(&a, k, m).transposed() };
    let vb = if seed.is_multiple_of(2) { Matrix::new(&b, k, n) } else { Matrix::new(&b, n, k).transposed() };
    on_all_paths(gemm, site, va, vb)
}

fn paths() -> impl Iterator<Item = CpuPath> {
    CpuPath::ALL.into_iter().filter(|path| path.available())
}

/// The reference's result, which the fast path must have with any instructions.
fn on_all_paths(gemm: &EmulatedGemm, site: Site, a: Matrix<'_>, b: Matrix<'_>) -> (Vec<u32>, Counters) {
    let (m, k, n) = (a.rows(), a.cols(), b.cols());
    let mut slow = vec![0.25; m * n];
    let counters = gemm.multiply_reference(site, a, b, &mut slow);
    for path in paths() {
        let gemm = gemm.clone().on(path).unwrap();
        let mut fast = vec![0.5; m * n];
        assert_eq!(gemm.multiply(site, a, b, &mut fast), counters, "{m} x {k} x {n}, {path}");
        assert_eq!(bits(&fast), bits(&slow), "{m} x {k} x {n}, {path}");
    }
    (bits(&slow), counters)
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

const SHAPES: [(usize, usize, usize); 9] = [
    (1, 1, 1),
    (3, 16, 5),
    (33, 47, 18),
    (5, 0, 4),
    (0, 3, 4),
    (4, 3, 0),
    (2, 1100, 9),
    (40, 160, 33),
    (7, 15, 100),
];

/// Every kind of word, values along K and across, so small that Miri can take it.
#[test]
fn small_products_agree() {
    let mut all = Counters::default();
    for (seed, (mantissa_bits, group)) in [(4, 16), (4, 6), (7, 1)].into_iter().enumerate() {
        let format = BfpFormat { mantissa_bits, group, rounding: Rounding::NearestEven };
        let protection = Protection::ReadAgain { repeats: 1 };
        let config = GemmConfig { format, protection, ..GemmConfig::mirage(1) };
        let channel = ResidueChannel::uniform(&config.moduli, 0.3).unwrap();
        let gemm = EmulatedGemm::new(config, Some(channel)).unwrap();
        all += both(&gemm, (4, 18, 3), seed as u64).1;
    }
    assert!(all.wrong > 0 && all.repeated > 0);
}

#[test]
fn fast_equals_reference_without_errors() {
    let gemm = EmulatedGemm::new(GemmConfig::mirage(1), None).unwrap();
    for (i, shape) in SHAPES.into_iter().enumerate() {
        both(&gemm, shape, i as u64);
    }
}

#[test]
fn fast_equals_reference_with_errors_and_every_protection() {
    for protection in
        [Protection::None, Protection::Count, Protection::Saturate, Protection::ReadAgain { repeats: 3 }]
    {
        for rate in [1e-4, 3e-2, 0.9] {
            let config = GemmConfig { protection, ..GemmConfig::mirage(9) };
            let mut channel = ResidueChannel::slip(&config.moduli, &config.code, rate).unwrap();
            channel.set_again(32, &[0.3, 0.6]);
            let gemm = EmulatedGemm::new(config, Some(channel)).unwrap();
            for (i, shape) in SHAPES.into_iter().enumerate() {
                let (_, counters) = both(&gemm, shape, 50 + i as u64);
                assert!(rate < 0.01 || counters.residues < 300 || counters.wrong > 0);
            }
        }
    }
}

#[test]
fn every_format_and_rounding_agrees() {
    let moduli = Moduli::new(&[2047, 2048, 2049]).unwrap();
    for mantissa_bits in 2..=8 {
        for (group, rounding) in [
            (16, Rounding::NearestEven),
            (15, Rounding::NearestEven),
            (7, Rounding::Truncate),
            (33, Rounding::Stochastic),
        ] {
            let format = BfpFormat { mantissa_bits, group, rounding };
            let code = SlipCode::natural(&moduli);
            let config = GemmConfig { moduli: moduli.clone(), format, code, ..GemmConfig::mirage(2) };
            let channel = ResidueChannel::uniform(&moduli, 1e-2).unwrap();
            both(&EmulatedGemm::new(config, Some(channel)).unwrap(), (9, 70, 21), u64::from(mantissa_bits));
        }
    }
    // Wrong values of more than vectors hold, in several chunks of groups.
    let config = GemmConfig { code: SlipCode::natural(&moduli), moduli, ..GemmConfig::mirage(2) };
    let channel = ResidueChannel::uniform(&config.moduli, 3e-3).unwrap();
    let (_, counters) = both(&EmulatedGemm::new(config, Some(channel)).unwrap(), (9, 2600, 21), 3);
    assert!(counters.wrong > 100);
}

#[test]
fn extreme_values_agree() {
    let gemm = EmulatedGemm::new(GemmConfig::mirage(1), None).unwrap();
    let site = Site { layer: 0, pass: Pass::Forward, step: 0 };
    for special in [f32::MAX, f32::MIN_POSITIVE, 1e-45, f32::NAN, f32::INFINITY, 0.0, -0.0] {
        let mut a = operand(3 * 40, 5);
        a[17] = special;
        for b in [vec![special; 40 * 3], operand(40 * 3, 6)] {
            on_all_paths(&gemm, site, Matrix::new(&a, 3, 40), Matrix::new(&b, 40, 3));
        }
    }
}

/// Large enough for several threads, several slabs of columns and several strips of rows.
#[test]
fn threads_do_not_change_a_bit() {
    let config = GemmConfig { protection: Protection::ReadAgain { repeats: 2 }, ..GemmConfig::mirage(4) };
    let rows = [(1, 3), (0, 31), (7, 0)];
    for kind in [1, 3] {
        let channel = channel(kind, (1e-3, 0.2), true, &rows, &config);
        let gemm = EmulatedGemm::new(config.clone(), channel).unwrap();
        let (a, b) = (operand(200 * 1900, 1), operand(1900 * 250, 2));
        let (a, b) = (Matrix::new(&a, 1900, 200).transposed(), Matrix::new(&b, 250, 1900).transposed());
        let site = Site { layer: 1, pass: Pass::WeightGradient, step: 12 };
        let run = |threads, path| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let gemm = gemm.clone().on(path).unwrap();
            let mut out = vec![0.0; 200 * 250];
            let counters = pool.install(|| gemm.multiply(site, a, b, &mut out));
            (bits(&out), counters)
        };
        let one = run(1, CpuPath::Portable);
        assert!(one.1.repeated > 0);
        for (threads, path) in [1, 2, 3, 8].into_iter().flat_map(|n| paths().map(move |path| (n, path))) {
            assert!(one == run(threads, path), "{threads} threads, {path}");
        }
    }
}

/// Candidates are so frequent here that strips of rows become small.
#[test]
fn frequent_errors_agree_and_take_little_memory() {
    let config = GemmConfig::mirage(3);
    let channel = ResidueChannel::uniform(&config.moduli, 0.9).unwrap();
    both(&EmulatedGemm::new(config, Some(channel)).unwrap(), (50, 3000, 40), 3);
}

#[test]
fn a_path_that_is_not_there_is_refused() {
    for path in CpuPath::ALL {
        let gemm = EmulatedGemm::new(GemmConfig::mirage(1), None).unwrap();
        match gemm.on(path) {
            Ok(gemm) => assert!(path.available() && gemm.path() == path),
            Err(error) => {
                assert!(!path.available());
                assert!(error.to_string().contains(&format!("the path `{path}`")), "{error}");
            }
        }
    }
    assert!(CpuPath::Portable.available() && CpuPath::best().available());
}

/// Without errors the product is BFP's own: checked against f64 sums of the quantised values.
#[test]
fn the_product_is_that_of_the_quantised_values() {
    let gemm = EmulatedGemm::new(GemmConfig::mirage(1), None).unwrap();
    let (a, b) = (operand(6 * 50, 11), operand(50 * 7, 12));
    let mut out = vec![0.0; 42];
    gemm.multiply(
        Site { layer: 0, pass: Pass::Forward, step: 0 },
        Matrix::new(&a, 6, 50),
        Matrix::new(&b, 50, 7),
        &mut out,
    );
    let format = BfpFormat::mirage();
    let quantise = |x: &[f32]| -> Vec<f64> {
        x.chunks(format.group)
            .flat_map(|g| {
                let top = g.iter().fold(0f64, |m, &x| m.max(f64::from(x.abs())));
                let unit = 2f64.powi(top.log2().floor() as i32 - 3);
                g.iter().map(move |&x| {
                    if top == 0.0 {
                        0.0
                    } else {
                        (f64::from(x) / unit).round_ties_even().clamp(-15.0, 15.0) * unit
                    }
                })
            })
            .collect()
    };
    for m in 0..6 {
        for n in 0..7 {
            let row = quantise(&a[m * 50..(m + 1) * 50]);
            let column: Vec<f32> = (0..50).map(|k| b[k * 7 + n]).collect();
            let exact: f64 = row.iter().zip(quantise(&column)).map(|(x, y)| x * y).sum();
            let size: f64 = row.iter().zip(quantise(&column)).map(|(x, y)| (x * y).abs()).sum();
            assert!((f64::from(out[m * 7 + n]) - exact).abs() <= size * 1e-6, "{m} {n}");
        }
    }
}

/// The share of wrong reads follows the given rate within four standard errors, for each protection's first read.
#[test]
fn errors_come_at_their_rate() {
    let config = GemmConfig::mirage(77);
    let channel = ResidueChannel::uniform(&config.moduli, 2e-3).unwrap();
    let gemm = EmulatedGemm::new(config, Some(channel)).unwrap();
    let (_, counters) = both(&gemm, (64, 512, 64), 3);
    let expected = counters.residues as f64 * 2e-3;
    assert!((counters.wrong as f64 - expected).abs() < 4.0 * expected.sqrt(), "{counters:?}");
}

/// Errors of one modulus and one true residue only: their number is that of the reads that hold this residue, times the rate.
#[test]
fn errors_strike_the_modulus_and_residue_of_their_table() {
    let moduli = Moduli::mirage();
    let (a, b) = (operand(64 * 512, 3), operand(512 * 64, 4));
    let (a, b) = (Matrix::new(&a, 64, 512), Matrix::new(&b, 512, 64));
    let site = Site { layer: 3, pass: Pass::Forward, step: 5 };
    let mut histogram = OperandHistogram::new(BfpFormat::mirage());
    EmulatedGemm::new(GemmConfig::mirage(7), None).unwrap().observe(site, a, b, &mut histogram);
    for (struck, truth, p) in [(0, 1, 0.2), (1, 0, 0.05), (1, 31, 0.6), (2, 17, 0.4), (2, 32, 1.0)] {
        let table = |(index, &m): (usize, &u32)| {
            let mut probability = vec![0.0; (m * m) as usize];
            if index == struck {
                probability[(truth * m + (truth + 5) % m) as usize] = p;
            }
            ChannelTable::new(m, probability, None).unwrap()
        };
        let channel = ResidueChannel::average(moduli.as_slice().iter().enumerate().map(table).collect());
        let gemm = EmulatedGemm::new(GemmConfig::mirage(7), Some(channel)).unwrap();
        let mut out = vec![0.0; 64 * 64];
        let counters = gemm.multiply(site, a, b, &mut out);
        let held = histogram.dots().filter(|(value, _)| moduli.residue(*value, struck) == truth);
        let share: f64 = held.map(|(_, share)| share).sum();
        let expected = share * histogram.reads() as f64 * p;
        assert!(expected > 20.0, "{expected}: too few to compare");
        assert!(
            (counters.wrong as f64 - expected).abs() <= 4.0 * (expected * (1.0 - p)).sqrt() + 1e-6,
            "{counters:?}, expected {expected}"
        );
        assert_eq!(counters.groups_hit, counters.wrong);
    }
}

/// Rows are numbered by 32 bits in the draws: larger products are refused, not repeated.
#[test]
#[should_panic(expected = "must stay below 2^32")]
fn more_rows_than_draws_are_refused() {
    let gemm = EmulatedGemm::new(GemmConfig::mirage(1), None).unwrap();
    let site = Site { layer: 0, pass: Pass::Forward, step: 0 };
    gemm.multiply(site, Matrix::new(&[], 1 << 32, 0), Matrix::new(&[], 0, 0), &mut []);
}

/// A channel of one kind of many: none, given rates, or an average with some rows of a chip beside it.
fn channel(
    kind: u8,
    rates: (f64, f64),
    again: bool,
    rows: &[(u32, u32)],
    config: &GemmConfig,
) -> Option<ResidueChannel> {
    let uniform = |p| ResidueChannel::uniform(&config.moduli, p).unwrap();
    let slip = |p| ResidueChannel::slip(&config.moduli, &config.code, p).unwrap();
    let mut channel = match kind {
        0 => return None,
        1 => uniform(rates.0),
        2 => slip(rates.0),
        _ => {
            let chip = (kind == 3).then_some(6);
            let average = slip(rates.0);
            let mut tables: Vec<_> = average.tables().map(|(key, table)| (key, table.clone())).collect();
            for (i, &(unit, row)) in rows.iter().enumerate() {
                let key = ChannelKey { chip, place: Some(Place { unit, row }) };
                let own = uniform(rates.1 / (i + 1) as f64);
                tables.extend(own.tables().map(|(_, table)| (key, table.clone())));
            }
            ResidueChannel::keyed(tables)
        }
    };
    let first = config.moduli.as_slice()[0];
    if again {
        let keys: Vec<_> = channel.tables().filter(|t| t.1.modulus() == first).map(|t| t.0).collect();
        for (i, key) in keys.into_iter().enumerate() {
            channel.set_again_of(key, first, &[0.6 / (1 + i) as f64, 0.8]);
        }
    }
    Some(channel)
}

fn protection() -> impl Strategy<Value = Protection> {
    prop_oneof![
        Just(Protection::None),
        Just(Protection::Count),
        Just(Protection::Saturate),
        (1u32..=4).prop_map(|repeats| Protection::ReadAgain { repeats }),
        (1usize..=2, 1u32..=3).prop_map(|(redundant, repeats)| Protection::Correct { redundant, repeats }),
    ]
}

fn format() -> impl Strategy<Value = BfpFormat> {
    let rounding =
        prop::sample::select(vec![Rounding::NearestEven, Rounding::Truncate, Rounding::Stochastic]);
    let usual = Just(BfpFormat::mirage());
    prop_oneof![
        usual,
        (2u8..=8, 1usize..=16, rounding.clone()).prop_map(|(mantissa_bits, group, rounding)| BfpFormat {
            mantissa_bits,
            group,
            rounding
        }),
        (2u8..=8, 17usize..=200, rounding).prop_map(|(mantissa_bits, group, rounding)| BfpFormat {
            mantissa_bits,
            group,
            rounding
        })
    ]
}

fn config() -> impl Strategy<Value = GemmConfig> {
    (format(), protection(), 1u32..=4, 1u32..=6, any::<u64>(), any::<bool>()).prop_map(
        |(format, protection, units, rows, seed, natural)| {
            let sets = [&[31, 32, 33][..], &[127, 128, 129], &[251, 253, 255, 256]];
            let mut sets = sets.into_iter().map(|set| Moduli::new(set).unwrap());
            let moduli = sets.find(|moduli| format.check_range(moduli).is_ok()).unwrap();
            let more = if let Protection::Correct { redundant, .. } = protection { redundant } else { 0 };
            // Coprime to the set and among themselves, and none smaller.
            let redundant = [(33, [35, 37]), (129, [131, 133]), (256, [257, 259])];
            let (_, redundant) = redundant.iter().find(|(last, _)| moduli.as_slice().contains(last)).unwrap();
            let moduli = Moduli::new(&[moduli.as_slice(), &redundant[..more]].concat()).unwrap();
            let change = |(index, &m): (usize, &u32)| match index {
                _ if natural => 1,
                0..3 => [19, 29, 19][index],
                _ => 2 + (m + 1) % 2,
            };
            let changes: Vec<u32> = moduli.as_slice().iter().enumerate().map(change).collect();
            let code = SlipCode::with_changes(&moduli, &changes).unwrap();
            let placement = Placement { units, rows };
            GemmConfig { moduli, format, code, protection, placement, seed }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn fast_equals_reference_everywhere(
        config in config(),
        shape in (0usize..40, 0usize..80, 0usize..40),
        kind in 0u8..=4,
        rates in (0.0..0.3f64, 0.0..1.0f64),
        again in any::<bool>(),
        rows in prop::collection::vec((0u32..5, 0u32..7), 0..4),
        seed in 0u64..1000,
    ) {
        let channel = channel(kind, rates, again, &rows, &config);
        both(&EmulatedGemm::new(config, channel).unwrap(), shape, seed);
    }

    /// Operands of all exponents, with subnormals, infinities and NaN among them, in groups and by themselves.
    #[test]
    fn fast_equals_reference_for_all_exponents(
        config in config(),
        shape in (1usize..20, 1usize..80, 1usize..20),
        kind in 0u8..=3,
        (shift, sum, spread) in (-150i32..=120, -160i32..=110, 0i32..60),
        odd in 0u32..40,
        transposed in (any::<bool>(), any::<bool>()),
        seed in 0u32..1000,
    ) {
        let (m, k, n) = shape;
        let values = |len: usize, shift: i32| -> Vec<f32> {
            let value = |i: usize| {
                let w = crate::philox::philox([i as u32 / 20, i as u32, seed, len as u32], [1, 2]);
                let of_group = crate::philox::philox([i as u32 / 20, 0, seed, len as u32], [3, 4]);
                let e = shift + (of_group[0] % (spread as u32 + 1)) as i32 - spread / 2;
                let x = (f64::from(w[0]) / f64::from(u32::MAX) - 0.5) * 2f64.powi(e);
                if w[1] % 4000 < odd { f32::from_bits(w[2]) } else { x as f32 }
            };
            (0..len).map(value).collect()
        };
        let (a, b) = (values(m * k, shift), values(k * n, sum - shift));
        let a = if transposed.0 { Matrix::new(&a, k, m).transposed() } else { Matrix::new(&a, m, k) };
        let b = if transposed.1 { Matrix::new(&b, n, k).transposed() } else { Matrix::new(&b, k, n) };
        let channel = channel(kind, (0.01, 0.2), false, &[(0, 1)], &config);
        let gemm = EmulatedGemm::new(config, channel).unwrap();
        on_all_paths(&gemm, Site { layer: 0, pass: Pass::InputGradient, step: 1 }, a, b);
    }
}
