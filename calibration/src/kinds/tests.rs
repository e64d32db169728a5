//! Measured spectra.

use super::*;

fn input(name: &str) -> Input {
    let path = format!("{}/../data/openebl-2024-10/{name}", env!("CARGO_MANIFEST_DIR"));
    Input { file: name.into(), bytes: std::fs::read(path).unwrap() }
}

fn ask(
    kind: &str,
    files: &[&str],
    reference: Option<&str>,
    set: &[&str],
) -> Result<Outcome, CalibrationError> {
    let kind = Kind::named(kind)?;
    let inputs: Vec<Input> = files.iter().map(|f| input(f)).collect();
    kind.fit(&inputs, reference.map(input).as_ref(), &Given::read(set, kind.settings)?)
}

fn print(outcome: &Outcome) {
    for e in &outcome.fit.parameters {
        println!(
            "{:24} {:>14.6} +- {:<12.3e} [{:.6?}, {:.6?}] {}",
            e.name,
            e.value,
            e.standard_error.unwrap_or(f64::NAN),
            e.lower.unwrap_or(f64::NAN),
            e.upper.unwrap_or(f64::NAN),
            e.unit
        );
    }
    println!("chi2 {:.1} dof {}", outcome.fit.chi2, outcome.fit.dof);
    for n in &outcome.fit.notes {
        println!("note: {n}");
    }
    for s in &outcome.series {
        let rms = (s.data.iter().zip(&s.model).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / s.x.len() as f64)
            .sqrt();
        println!("{} rms {rms:.3}", s.name);
    }
    for t in &outcome.tables {
        println!("{} {:?}", t.name, t.columns);
        for r in &t.rows {
            println!(
                "{}",
                r.iter().map(|c| c.map_or("-".into(), |c| format!("{c:.4}"))).collect::<Vec<_>>().join(" ")
            );
        }
    }
    println!("{}", outcome.fragment);
}

#[test]
fn look() {
    let which = std::env::var("LOOK").unwrap_or_default();
    let t = std::time::Instant::now();
    let o = match which.as_str() {
        "envelope" => ask("envelope", &["mzi_reference.csv"], None, &[]),
        "guide" => ask("waveguide", &["waveguide_0um.csv", "waveguide_34909um.csv"], None, &[]),
        "series" => ask("series", &["ybranch_0.csv", "ybranch_56.csv"], None, &[]),
        "mzi" => ask("mzi", &["mzi_dl100um.csv"], None, &[]),
        "mziref" => ask("mzi", &["mzi_dl100um.csv"], Some("mzi_reference.csv"), &[]),
        "ring" => ask("ring", &["ring_double_r10um_g80nm.csv"], None, &[]),
        "ringeq" => ask("ring", &["ring_double_r10um_g80nm.csv"], None, &["couplers=equal"]),
        "ringall" => ask("ring", &["ring_double_r10um_g80nm.csv"], None, &["type=all-pass"]),
        "coupler" => {
            ask("coupler", &["dc_length0um.csv", "dc_length5um.csv"], None, &["structure=interferometer"])
        }
        _ => return,
    };
    println!("{:?}", t.elapsed());
    match o {
        Ok(o) => print(&o),
        Err(e) => println!("ERROR {e}"),
    }
}
