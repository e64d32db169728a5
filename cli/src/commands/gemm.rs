//! `mirage gemm`

use mirage_arithmetic::{EmulatedGemm, Pass, ResidueChannel, Site};

use crate::args::GemmArgs;
use crate::design::Design;
use crate::error::{CliError, Result, open_text};
use crate::npy::{self, Npy};

pub fn run(args: &GemmArgs) -> Result<()> {
    let design = Design::read(args.design.as_deref())?;
    let (a, b) = (Npy::read(&args.a)?, Npy::read(&args.b)?);
    let (a, b) = (a.matrix(), b.matrix());
    if a.cols() != b.rows() {
        return Err(CliError::message(format!(
            "{} is {} x {} and {} is {} x {}: the columns of the first must equal the rows of the second",
            args.a.display(),
            a.rows(),
            a.cols(),
            args.b.display(),
            b.rows(),
            b.cols()
        )));
    }
    for (path, operand) in [(&args.a, a), (&args.b, b)] {
        let (rows, columns) = (operand.rows(), operand.cols());
        if u32::try_from(rows.max(columns)).is_err() {
            return Err(CliError::message(format!(
                "{}: {rows} x {columns} is too large: rows and columns must stay below 2^32, by which draws of errors are numbered",
                path.display()
            )));
        }
    }
    let channel = match &args.channel {
        Some(path) => Some(ResidueChannel::read_csv(
            open_text(path, "a residue channel (CSV)")?,
            &path.display().to_string(),
        )?),
        None => None,
    };
    let gemm = EmulatedGemm::new(design.gemm(design.seed(args.common.seed))?, channel)?;
    let size = a.rows().checked_mul(b.cols()).ok_or_else(|| CliError::message("the product is too large"))?;
    let mut c: Vec<f32> = Vec::new();
    let room = c.try_reserve_exact(size);
    room.map_err(|_| {
        CliError::message(format!("a {} x {} product does not fit into memory", a.rows(), b.cols()))
    })?;
    c.resize(size, 0.0);
    let site = Site { layer: 0, pass: Pass::Forward, step: 0 };
    let counters = if args.reference {
        gemm.multiply_reference(site, a, b, &mut c)
    } else {
        gemm.multiply(site, a, b, &mut c)
    };
    npy::write(&args.output, a.rows(), b.cols(), &c)?;
    let wild = c.iter().filter(|x| !x.is_finite()).count();
    let shape = [a.rows(), a.cols(), b.cols()];
    if args.common.json {
        let summary = serde_json::json!({
            "m": shape[0], "k": shape[1], "n": shape[2],
            "residues": counters.residues, "wrong": counters.wrong, "detected": counters.detected,
            "not_finite": wild, "corrected": counters.corrected, "repeated": counters.repeated, "exhausted": counters.exhausted, "silent": counters.silent,
        });
        say!("{summary}");
    } else {
        say!(
            "{} x {} x {}: {} residues read, {} wrong, {} reads detected, {} corrected, {} repeated, {} exhausted, {} silently wrong",
            shape[0],
            shape[1],
            shape[2],
            counters.residues,
            counters.wrong,
            counters.detected,
            counters.corrected,
            counters.repeated,
            counters.exhausted,
            counters.silent
        );
        if wild > 0 {
            say!(
                "{wild} elements of the product are not finite: a group with a NaN or an infinity has no meaning in block floating point"
            );
        }
        let format = gemm.config().format;
        say!(
            "wrote {}: operands in block floating point, {} mantissa bits in groups of {}, so that it differs from FP32's product",
            args.output.display(),
            format.mantissa_bits,
            format.group
        );
    }
    Ok(())
}
