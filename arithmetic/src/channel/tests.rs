use super::*;

#[test]
fn given_rates_are_what_they_say() {
    let moduli = Moduli::mirage();
    let code = SlipCode::with_changes(&moduli, &[17, 23, 17]).unwrap();
    for channel in
        [ResidueChannel::uniform(&moduli, 1e-3).unwrap(), ResidueChannel::slip(&moduli, &code, 1e-3).unwrap()]
    {
        for &m in moduli.as_slice() {
            let table = channel.table(m).unwrap();
            for t in 0..m {
                assert!((table.rate(t) - 1e-3).abs() < 1e-15);
                let sum: f64 = (0..m).map(|r| table.probability(t, r)).sum();
                assert!((sum - 1.0).abs() < 1e-12);
            }
        }
    }
    assert!(ResidueChannel::uniform(&moduli, 1.5).is_err());
}

#[test]
fn picks_follow_the_row() {
    let mut p = vec![0.0; 9];
    p[1] = 0.1;
    p[2] = 0.3;
    let table = ChannelTable::new(3, p, None).unwrap();
    assert_eq!(table.pick(0, 0.2), 1);
    assert_eq!(table.pick(0, 0.26), 2);
    assert_eq!(table.pick(0, 0.999_999), 2);
}

/// Also at the edges of residues, and for probabilities of all sizes.
#[test]
fn quick_picks_are_the_slow_ones() {
    for (m, seed) in [(2u32, 1), (3, 2), (5, 3), (31, 4), (32, 5), (33, 6), (257, 7)] {
        let word = |i: u32| crate::philox::philox([i, seed, 9, 9], [1, 2]);
        let value = |i: u32| match word(i) {
            [x, y, ..] if !x.is_multiple_of(3) => {
                f64::from(y) / f64::from(u32::MAX) * 2f64.powi(-(x as i32 & 31))
            }
            _ => 0.0,
        };
        let values: Vec<f64> = (0..m * m).map(value).collect();
        let scale = f64::from(m);
        let table = ChannelTable::new(m, values.iter().map(|p| p / scale).collect(), None).unwrap();
        let mut quick = 0;
        for truth in (0..m).filter(|&t| table.rate(t) > 0.0) {
            let mut sum = 0.0;
            for r in (0..m).filter(|&r| r != truth) {
                sum += table.probability(truth, r);
                let edge = (sum / table.rate(truth)).clamp(2f64.powi(-53), 1.0 - 2f64.powi(-53));
                let near = [-(1i64 << 30), -(1 << 29), -2, -1, 0, 1, 2, 1 << 29, 1 << 30];
                let near = near.map(|i| f64::from_bits((edge.to_bits() as i64 + i) as u64));
                let [x, y, ..] = word(truth * m + r);
                for u in near.into_iter().filter(|&u| u < 1.0).chain([crate::philox::uniform(x, y)]) {
                    assert_eq!(table.pick(truth, u), table.pick_slowly(truth, u), "{m} {truth} {u}");
                }
                let found = table.picks.pick(m as usize, truth as usize, crate::philox::uniform(x, y));
                quick += u32::from(found.is_some());
            }
        }
        assert!(quick >= m / 2, "modulus {m}: the quick way hardly ever tells");
    }
}

#[test]
fn moduli_can_have_factors_of_their_own() {
    let moduli = Moduli::mirage();
    let mut base = ResidueChannel::slip(&moduli, &SlipCode::natural(&moduli), 1e-4).unwrap();
    base.set_again(31, &[0.3]);
    let more = base.times(|m| if m == 31 { 10.0 } else { 2.0 }).unwrap();
    for (m, rate) in [(31, 1e-3), (32, 2e-4), (33, 2e-4)] {
        assert!((more.error_rate(m).unwrap() / rate - 1.0).abs() < 1e-12);
    }
    // A share (0.3 - 1e-4)/(1 - 1e-4) of the wrong reads is static; the others are wrong again at the new rate.
    let fixed = (0.3 - 1e-4) / (1.0 - 1e-4);
    assert!((more.again(31).unwrap()[0] - (1e-3 + fixed * (1.0 - 1e-3))).abs() < 1e-12);
    // Of a given rate nothing is static: a second attempt is wrong as often as the first.
    assert!((more.again(32).unwrap()[0] - 2e-4).abs() < 1e-12);
    for factor in [-1.0, f64::NAN, 1e5] {
        assert!(base.times(|_| factor).is_err(), "{factor}");
    }
}

#[test]
fn a_scaled_channel_keeps_its_shape() {
    let moduli = Moduli::mirage();
    let base = ResidueChannel::slip(&moduli, &SlipCode::natural(&moduli), 1e-8).unwrap();
    let scaled = base.scaled(1e-3).unwrap();
    assert!((scaled.error_rate(32).unwrap() - 1e-3).abs() < 1e-12);
    assert_eq!(scaled.table(32).unwrap().probability(5, 8), 0.0);
    let other = SlipCode::with_changes(&moduli, &[17, 23, 17]).unwrap();
    assert!(base.check(&moduli, &other).is_err());
}

/// One modulus errs a thousand times more often than the others, and goes on to.
#[test]
fn a_scaled_channel_keeps_which_modulus_errs() {
    let moduli = Moduli::mirage();
    let base = ResidueChannel::slip(&moduli, &SlipCode::natural(&moduli), 1e-9).unwrap();
    let base = base.times(|m| if m == 32 { 1e3 } else { 1.0 }).unwrap();
    let scaled = base.scaled(3e-3).unwrap();
    let rates = [31, 32, 33].map(|m| scaled.error_rate(m).unwrap());
    assert!((rates.iter().sum::<f64>() / 3.0 / 3e-3 - 1.0).abs() < 1e-12, "{rates:?}");
    assert!((rates[1] / rates[0] / 1e3 - 1.0).abs() < 1e-9 && (rates[0] / rates[2] - 1.0).abs() < 1e-12);
}

/// What repeats of a wrong read do at another rate: independent attempts stay independent, static errors stay static.
#[test]
fn scaling_keeps_the_static_share() {
    let moduli = Moduli::mirage();
    let mut base = ResidueChannel::uniform(&moduli, 1e-3).unwrap();
    base.set_again(32, &[0.25, 0.5]);
    base.set_again(33, &[1e-4]);
    for p in [0.0, 1e-8, 0.5] {
        let scaled = base.scaled(p).unwrap();
        let near = |m: u32, again: f64| (scaled.again(m).unwrap()[0] - again).abs() < 1e-12;
        assert!(near(31, p), "a given rate means fresh errors at every attempt");
        assert!(near(32, p + (0.25 - 1e-3) / (1.0 - 1e-3) * (1.0 - p)));
        assert!(near(33, p));
        let second = p + (0.5 - 1e-3) / (1.0 - 1e-3) * (1.0 - p);
        assert!((scaled.again(32).unwrap()[1] - second).abs() < 1e-12);
    }
    let back = base.scaled(0.5).unwrap().scaled(1e-3).unwrap();
    assert!((back.again(32).unwrap()[0] - 0.25).abs() < 1e-12);
    for p in [-0.1, f64::NAN, 1.1] {
        assert!(base.scaled(p).is_err(), "{p}");
    }
}

#[test]
fn a_chips_rate_weighs_its_rows() {
    let moduli = Moduli::new(&[3, 4]).unwrap();
    let table = |m: u32, p: f64| ResidueChannel::uniform(&moduli, p).unwrap().table(m).unwrap().clone();
    let bad = ChannelKey { chip: Some(1), place: Some(Place { unit: 1, row: 2 }) };
    let beyond = ChannelKey { place: Some(Place { unit: 7, row: 0 }), ..bad };
    let tables = [(ChannelKey::default(), table(3, 0.01)), (bad, table(3, 0.5)), (beyond, table(3, 0.9))];
    let mixed = ResidueChannel::keyed(tables.to_vec());
    let placement = Placement { units: 2, rows: 4 };
    assert!((mixed.error_rate_on(placement, 3).unwrap() - (7.0 * 0.01 + 0.5) / 8.0).abs() < 1e-12);
    assert_eq!(mixed.error_rate(3), Some(mixed.table(3).unwrap().mean_rate()));
    assert!(mixed.error_rate_on(placement, 4).is_err());
    let rows = ResidueChannel::keyed(tables[1..].to_vec());
    let error = rows.error_rate_on(placement, 3).unwrap_err();
    assert_eq!(error, ChannelError::MissingRow { unit: 0, row: 0, modulus: 3 });
    assert!((rows.error_rate(3).unwrap() - 0.7).abs() < 1e-12);
}

#[test]
fn a_row_repeats_its_own_errors_and_the_others_those_of_the_average() {
    let moduli = Moduli::new(&[3]).unwrap();
    let average = ResidueChannel::uniform(&moduli, 0.1).unwrap();
    let table = average.table(3).unwrap().clone();
    let place = Place { unit: 0, row: 1 };
    let key = ChannelKey { chip: Some(4), place: Some(place) };
    let mut channel = ResidueChannel::keyed(vec![(ChannelKey::default(), table.clone()), (key, table)]);
    channel.set_again(3, &[0.7]);
    assert_eq!(channel.again_at(place, 3), None, "nothing is said of the row: its attempts are independent");
    channel.set_again_of(key, 3, &[0.2, 0.4]);
    assert_eq!(channel.again_at(place, 3), Some(&[0.2, 0.4][..]));
    assert_eq!(channel.again_at(Place { unit: 0, row: 0 }, 3), Some(&[0.7][..]));
    let shares = channel.shares(Placement { units: 1, rows: 4 }, 3).unwrap();
    let again: Vec<_> = shares.iter().map(|share| (share.share, share.again)).collect();
    assert_eq!(again, [(0.25, Some(&[0.2, 0.4][..])), (0.75, Some(&[0.7][..]))]);
    let scaled = channel.scaled(0.05).unwrap();
    let fixed = (0.2 - 0.1) / 0.9;
    assert!((scaled.again_of(key, 3).unwrap()[0] - (0.05 + fixed * 0.95)).abs() < 1e-12);
}
