use mirage_design::{DesignError, Value, closest};

use crate::{BfpFormat, GemmConfig, GemmError, Moduli, Placement, Protection, Rounding, SlipCode};

/// The design file's `[arithmetic]`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArithmeticSection {
    /// Pairwise coprime moduli.
    pub moduli: Value<Vec<u32>>,
    /// Mantissa bits without the sign, 2 to 8.
    pub mantissa_bits: Value<u8>,
    /// Values that share an exponent; also the number of multiplication units in a dot-product unit.
    pub group: Value<usize>,
    /// `nearest-even`, `truncate` or `stochastic`.
    pub rounding: Value<String>,
    /// Residue change of a one-level slip, one for each modulus; all 1 is the natural code.
    pub slip_code: Value<Vec<u32>>,
    /// What is done about impossible values: `none`, `count`, `saturate` or `read-again`.
    pub range_check: Value<String>,
    /// The most repeats of a read, with `read-again`.
    pub repeats: Value<u32>,
}

const CHECKS: [&str; 4] = ["none", "count", "saturate", "read-again"];

impl ArithmeticSection {
    /// Checks every key and that moduli, format and code fit together.
    pub fn check(&self) -> Result<(), DesignError> {
        self.config(Placement { units: 1, rows: 1 }, 0).map(|_| ())
    }

    /// The products' configuration on a chip of this many units and rows.
    pub fn config(&self, placement: Placement, seed: u64) -> Result<GemmConfig, DesignError> {
        let moduli =
            Moduli::new(&self.moduli).map_err(|e| self.moduli.invalid(format!("cannot be used: {e}")))?;
        let rounding: Rounding =
            self.rounding.parse().map_err(|e| self.rounding.invalid(format!("cannot be used: {e}")))?;
        let format = BfpFormat { mantissa_bits: *self.mantissa_bits, group: *self.group, rounding };
        format.check().map_err(|e| match e {
            crate::FormatError::MantissaBits(_) => self.mantissa_bits.invalid(format!("cannot be used: {e}")),
            crate::FormatError::Group(_) => self.group.invalid(format!("cannot be used: {e}")),
        })?;
        format.check_range(&moduli).map_err(|e| self.moduli.invalid(format!("cannot be used: {e}")))?;
        let code = SlipCode::with_changes(&moduli, &self.slip_code)
            .map_err(|e| self.slip_code.invalid(format!("cannot be used: {e}")))?;
        Ok(GemmConfig { moduli, format, code, protection: self.protection()?, placement, seed })
    }

    fn protection(&self) -> Result<Protection, DesignError> {
        match self.range_check.as_str() {
            "none" => Ok(Protection::None),
            "count" => Ok(Protection::Count),
            "saturate" => Ok(Protection::Saturate),
            "read-again" if (1..=255).contains(&*self.repeats) => {
                Ok(Protection::ReadAgain { repeats: *self.repeats })
            }
            "read-again" => Err(self.repeats.invalid(GemmError::Repeats { repeats: *self.repeats })),
            other => {
                let error = self.range_check.invalid(format!("is no range check: use {}", CHECKS.join(", ")));
                Err(match closest(other, CHECKS) {
                    Some(near) => error.with_help(format!("did you mean `{near}`?")),
                    None => error,
                })
            }
        }
    }
}
