use super::*;

fn csv(rows: impl Iterator<Item = (f64, String)>) -> String {
    rows.fold("wavelength_nm,channel_2_dbm\n".to_owned(), |text, (w, p)| format!("{text}{w},{p}\n"))
}

fn error(text: &str) -> String {
    Spectrum::read(text.as_bytes(), "s.csv").unwrap_err().to_string()
}

fn grid() -> impl DoubleEndedIterator<Item = f64> {
    (0..30).map(|i| 1500.0 + f64::from(i))
}

fn good(w: f64) -> (f64, String) {
    (w, format!("{}", -20.0 - 0.01 * (w - 1500.0)))
}

#[test]
fn a_measured_spectrum_is_read_and_cut() {
    let bytes = include_bytes!("../../../data/openebl-2024-10/waveguide_0um.csv");
    let all = Spectrum::read(bytes, "w.csv").unwrap();
    assert_eq!((all.wavelengths.len(), all.channels().len()), (20_000, 1));
    assert!((all.wavelengths[0] - 1500.004e-9).abs() < 1e-18 && all.channel(2).unwrap()[0] == -43.525);
    let part = all.between(1540e-9, 1541e-9).unwrap();
    assert!(part.wavelengths.len() == 251 && part.channel(2).unwrap().len() == 251);
    let text = all.channel(1).unwrap_err().to_string();
    assert_eq!(text, "w.csv: there is no channel 1; the file has 2");
    let text = all.between(1600e-9, 1700e-9).unwrap_err().to_string();
    assert!(text.contains("0 points lie between 1600.000 nm and 1700.000 nm"), "{text}");
}

#[test]
fn wrong_units_order_and_cells_are_named() {
    let read = |text: &str| Spectrum::read(text.as_bytes(), "s.csv");
    assert!(read(&csv(grid().map(good))).is_ok());
    let micro = csv(grid().map(|w| (w / 1000.0, "-20".into())));
    assert!(error(&micro).contains("looks like micrometres; nanometres are needed"));
    assert!(error(&csv(grid().map(|w| (w * 1e-9, "-20".into())))).contains("looks like metres"));
    let hertz = csv(grid().rev().map(|w| (2.998e17 / w, "-20".into())));
    assert!(error(&hertz).contains("looks like frequencies in hertz"));
    assert!(error(&csv(grid().map(|w| (w, "0.01".into())))).contains("looks like milliwatts"));
    assert!(
        error(&csv(grid().map(|w| (w, "-2000".into()))))
            .starts_with("s.csv:2: -2000 in channel 2 is no power")
    );
    assert!(error(&csv(grid().rev().map(good))).contains("turn the rows round"));
    let twice = csv(grid().map(|w| good(if w == 1510.0 { 1509.0 } else { w })));
    assert_eq!(error(&twice), "s.csv:12: the wavelength 1509 nm stands twice");
    let back = csv(grid().map(|w| good(if w == 1510.0 { 1501.5 } else { w })));
    assert_eq!(error(&back), "s.csv:12: the wavelength 1501.5 nm does not rise above the 1509 nm before it");
    let hole = csv(grid().map(|w| (w, if w == 1510.0 { String::new() } else { "-20".into() })));
    assert_eq!(error(&hole), "s.csv:12: the cell of `channel_2_dbm` is empty");
    assert!(error(&csv(grid().map(|w| (w, String::new())))).contains("there is no channel with data"));
    assert!(
        error(&csv(grid().map(|w| (w, "x".into())))).starts_with("s.csv:2: `x` in column `channel_2_dbm`")
    );
    assert!(error(&csv(grid().take(5).map(good))).contains("5 points: a spectrum needs at least 20"));
    assert!(error("a,b\n1,2\n").contains("no column `channel_1_dbm`"));
    assert!(error("channel_1_dbm\n-1\n").contains("no column `wavelength_nm`"));
    assert!(error("wavelength_nm,channel_1_dbm,power\n1,2,3\n").contains("the column `power` is neither"));
    assert!(error("wavelength_nm,channel_1_dbm,channel_01_dbm\n1,2,3\n").contains("channel 1 stands twice"));
}

#[test]
fn files_of_other_kinds_are_named() {
    let of = |bytes: &[u8]| Spectrum::read(bytes, "f").unwrap_err().to_string();
    assert!(
        of(b"MATLAB 7.3 MAT-file, Platform")
            .contains("MATLAB 7.3 file (HDF5); save it with save(name, '-v7')")
    );
    let mut hdf = vec![0; 600];
    hdf[512..516].copy_from_slice(b"\x89HDF");
    assert!(of(&hdf).contains("MATLAB 7.3"));
    assert!(of(b"PK\x03\x04...").contains("ZIP"));
    assert!(of(b"wavelength_nm\xff").contains("byte 14 is no text in UTF-8"));
}

/// The seeds were written by SciPy's `savemat` from a thinned measured spectrum, plain and compressed.
#[test]
fn files_of_scipy_give_the_numbers_of_the_csv() {
    let plain = include_bytes!("../../../fuzz/seeds/matlab/ring-plain.mat").as_slice();
    let packed = include_bytes!("../../../fuzz/seeds/matlab/ring-compressed.mat").as_slice();
    let [plain, packed] = [plain, packed].map(|bytes| Spectrum::read(bytes, "r.mat").unwrap());
    assert_eq!(plain, packed);
    assert_eq!((plain.wavelengths.len(), plain.channels().len()), (50, 3));
    // Rows 1, 401 and 801 of ring_double_r10um_g80nm.csv.
    let nm: Vec<f64> = plain.wavelengths[..3].iter().map(|w| w * 1e9).collect();
    assert!(nm.iter().zip([1500.004, 1501.604, 1503.204]).all(|(a, b)| (a - b).abs() < 1e-9));
    assert_eq!(plain.channel(1).unwrap()[..3], [-54.059, -59.051, -54.913]);
    assert_eq!(plain.channel(3).unwrap()[..3], [-62.495, -64.801, -62.495]);
}

#[test]
fn damaged_matlab_files_are_refused() {
    let plain = include_bytes!("../../../fuzz/seeds/matlab/ring-plain.mat");
    let of = |bytes: &[u8]| Spectrum::read(bytes, "r.mat").unwrap_err().to_string();
    for length in [0, 100, 128, 130, 200, 500, plain.len() - 9] {
        let error = of(&plain[..length]);
        assert!(error.starts_with("r.mat: "), "{length}: {error}");
    }
    let mut other = plain.to_vec();
    // The field `rows` by another name.
    let place = other.windows(4).position(|w| w == b"rows").unwrap();
    other[place..place + 4].copy_from_slice(b"cols");
    assert!(of(&other).contains("no variable has `header.wavelength` and `rows.channel_1`"));
    let packed = include_bytes!("../../../fuzz/seeds/matlab/ring-compressed.mat");
    let mut broken = packed.to_vec();
    broken[200] ^= 0xff;
    assert!(of(&broken).starts_with("r.mat: "));
}

/// Bytes changed at random: an error or a spectrum, never a panic.
#[test]
fn no_damage_makes_the_reader_panic() {
    use rand::{RngExt, SeedableRng};
    let plain = include_bytes!("../../../fuzz/seeds/matlab/ring-plain.mat").as_slice();
    let packed = include_bytes!("../../../fuzz/seeds/matlab/ring-compressed.mat").as_slice();
    let mut random = rand_pcg::Pcg64::seed_from_u64(1);
    let mut refused = 0;
    for round in 0..4000 {
        let mut bytes = if round % 2 == 0 { plain } else { packed }.to_vec();
        for _ in 0..random.random_range(1..6) {
            let at = random.random_range(0..bytes.len());
            bytes[at] = random.random();
        }
        bytes.truncate(random.random_range(bytes.len() / 2..=bytes.len()));
        refused += u32::from(Spectrum::read(&bytes, "r.mat").is_err());
    }
    assert!(refused > 2000, "{refused}");
}
