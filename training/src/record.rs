//! What a run tells.

use serde::Serialize;

use mirage_arithmetic::{Counters, Pass};

use crate::trainer::Measured;

/// Which run of a comparison or sweep a record belongs to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Label {
    /// `fp32`, `bfp` or `mirage`.
    pub arithmetic: String,
    /// What is done about errors, such as `none` or `read-again`; empty where there are none.
    pub protection: String,
    /// How errors are distributed, such as `slip`, `uniform`, `design`; empty where there are none.
    pub error_shape: String,
    /// Rate of errors per residue read, averaged over the moduli; empty where there are none.
    pub rate: Option<f64>,
    /// Seed of initial weights, order of images and errors.
    pub seed: u64,
}

/// One line of `training.csv`.
///
/// Counters are those of the training products since the start of the run; products of evaluation are
/// not in them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    /// `fp32`, `bfp` or `mirage`.
    pub arithmetic: String,
    /// As in [`Label`].
    pub protection: String,
    /// As in [`Label`].
    pub error_shape: String,
    /// As in [`Label`].
    pub rate: Option<f64>,
    /// As in [`Label`].
    pub seed: u64,
    /// Epoch, from 1.
    pub epoch: u32,
    /// Steps done since the start of the run.
    pub step: u64,
    /// Mean loss of the steps since the record before.
    pub loss: f64,
    /// Share of test images or tokens whose class is found, at the end of an epoch and where a run stops early.
    pub test_accuracy: Option<f64>,
    /// Mean cross-entropy of the same in nats.
    pub test_loss: Option<f64>,
    /// e to the power of it, where the classes are tokens.
    pub perplexity: Option<f64>,
    /// Residues read.
    pub residues: u64,
    /// Residues read wrongly.
    pub residue_errors: u64,
    /// Dot products found out of range.
    pub detected: u64,
    /// Dot products that redundant moduli put right without another read.
    pub corrected: u64,
    /// Dot products read again.
    pub repeated: u64,
    /// Dot products still out of range after the last attempt.
    pub exhausted: u64,
    /// Wrong dot products that nobody noticed.
    pub silent: u64,
}

impl Record {
    pub(crate) fn new(label: &Label, epoch: u32, step: u64, loss: f64, counters: Counters) -> Self {
        let label = label.clone();
        Self {
            arithmetic: label.arithmetic,
            protection: label.protection,
            error_shape: label.error_shape,
            rate: label.rate,
            seed: label.seed,
            epoch,
            step,
            loss,
            test_accuracy: None,
            test_loss: None,
            perplexity: None,
            residues: counters.residues,
            residue_errors: counters.wrong,
            detected: counters.detected,
            corrected: counters.corrected,
            repeated: counters.repeated,
            exhausted: counters.exhausted,
            silent: counters.silent,
        }
    }

    /// Puts down what was measured on the test set, a text or images.
    pub(crate) fn measure(&mut self, Measured { accuracy, loss }: Measured, is_text: bool) {
        self.test_accuracy = Some(accuracy);
        self.test_loss = Some(loss);
        self.perplexity = is_text.then(|| libm::exp(loss));
    }
}

/// What the training products of one layer met in one pass, over a whole run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerRecord {
    /// As in [`Label`].
    pub arithmetic: String,
    /// As in [`Label`].
    pub protection: String,
    /// As in [`Label`].
    pub error_shape: String,
    /// As in [`Label`].
    pub rate: Option<f64>,
    /// As in [`Label`].
    pub seed: u64,
    /// Name of the layer, as in the GEMM list.
    pub layer: String,
    /// `forward`, `dX` or `dW`.
    pub pass: String,
    /// Residues read.
    pub residues: u64,
    /// Residues read wrongly.
    pub residue_errors: u64,
    /// Dot products found out of range.
    pub detected: u64,
    /// Dot products that redundant moduli put right without another read.
    pub corrected: u64,
    /// Dot products read again.
    pub repeated: u64,
    /// Dot products still out of range after the last attempt.
    pub exhausted: u64,
    /// Wrong dot products that nobody noticed.
    pub silent: u64,
}

impl LayerRecord {
    /// The columns of training-layers.csv.
    pub const COLUMNS: [&str; 14] = [
        "arithmetic",
        "protection",
        "error_shape",
        "rate",
        "seed",
        "layer",
        "pass",
        "residues",
        "residue_errors",
        "detected",
        "corrected",
        "repeated",
        "exhausted",
        "silent",
    ];

    pub(crate) fn new(label: &Label, layer: &str, pass: Pass, counters: Counters) -> Self {
        let label = label.clone();
        Self {
            arithmetic: label.arithmetic,
            protection: label.protection,
            error_shape: label.error_shape,
            rate: label.rate,
            seed: label.seed,
            layer: layer.into(),
            pass: pass.to_string(),
            residues: counters.residues,
            residue_errors: counters.wrong,
            detected: counters.detected,
            corrected: counters.corrected,
            repeated: counters.repeated,
            exhausted: counters.exhausted,
            silent: counters.silent,
        }
    }
}

/// Writes records as CSV with a header line; numbers that are not finite stand as `NaN`, `inf`, `-inf`.
///
/// # Errors
/// What the writer says.
pub fn write_records<'r, R: Serialize + 'r>(
    out: impl std::io::Write,
    records: impl IntoIterator<Item = &'r R>,
) -> Result<(), csv::Error> {
    let mut writer = csv::Writer::from_writer(out);
    for record in records {
        writer.serialize(record)?;
    }
    writer.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_become_lines() {
        let label = Label {
            arithmetic: "mirage".into(),
            protection: "read-again".into(),
            error_shape: "slip".into(),
            rate: Some(1e-4),
            seed: 5,
        };
        let counters = Counters {
            residues: 9,
            wrong: 8,
            detected: 7,
            corrected: 2,
            repeated: 6,
            exhausted: 5,
            silent: 4,
            groups_hit: 3,
        };
        let mut record = Record::new(&label, 2, 77, f64::NAN, counters);
        let mut text = Vec::new();
        write_records(&mut text, [&record]).unwrap();
        let text = String::from_utf8(text).unwrap();
        let (head, line) = text.trim_end().split_once('\n').unwrap();
        assert_eq!(
            head,
            "arithmetic,protection,error_shape,rate,seed,epoch,step,loss,test_accuracy,test_loss,perplexity,residues,\
             residue_errors,\
             detected,corrected,repeated,exhausted,silent"
        );
        assert_eq!(line, "mirage,read-again,slip,0.0001,5,2,77,NaN,,,,9,8,7,2,6,5,4");
        for (is_text, says) in [(false, ",NaN,0.5,0.0,,9"), (true, ",NaN,0.5,0.0,1.0,9")] {
            record.measure(Measured { accuracy: 0.5, loss: 0.0 }, is_text);
            let mut text = Vec::new();
            write_records(&mut text, [&record]).unwrap();
            assert!(String::from_utf8(text).unwrap().contains(says));
        }
    }

    #[test]
    fn columns_of_layers_are_those_that_are_written() {
        let label = Label {
            arithmetic: "bfp".into(),
            protection: String::new(),
            error_shape: String::new(),
            rate: None,
            seed: 1,
        };
        let mut out = Vec::new();
        write_records(&mut out, [&LayerRecord::new(&label, "a", Pass::Forward, Counters::default())])
            .unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().next().unwrap(), LayerRecord::COLUMNS.join(","));
    }
}
