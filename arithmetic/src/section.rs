use mirage_design::{DesignError, Value};

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
    pub rounding: Value<Rounding>,
    /// Residue change of a one-level slip, one for each modulus; all 1 is the natural code.
    pub slip_code: Value<Vec<u32>>,
    /// What is done about impossible values.
    pub range_check: Value<RangeCheck>,
    /// The most repeats of a read, with `read-again`.
    pub repeats: Value<u32>,
}

/// The [`Protection`] that a design file asks for: `none`, `count`, `saturate` or `read-again`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RangeCheck {
    /// Nobody looks.
    None,
    /// Counted, and used as it is.
    Count,
    /// Replaced by the nearest value that is possible.
    Saturate,
    /// Read again, at most `repeats` times.
    ReadAgain,
}

impl ArithmeticSection {
    /// Checks every key and that moduli, format and code fit together.
    pub fn check(&self) -> Result<(), DesignError> {
        self.config(Placement { units: 1, rows: 1 }, 0).map(|_| ())
    }

    /// The products' configuration on a chip of this many units and rows.
    pub fn config(&self, placement: Placement, seed: u64) -> Result<GemmConfig, DesignError> {
        let moduli =
            Moduli::new(&self.moduli).map_err(|e| self.moduli.invalid(format!("cannot be used: {e}")))?;
        let format =
            BfpFormat { mantissa_bits: *self.mantissa_bits, group: *self.group, rounding: *self.rounding };
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
        match *self.range_check {
            RangeCheck::None => Ok(Protection::None),
            RangeCheck::Count => Ok(Protection::Count),
            RangeCheck::Saturate => Ok(Protection::Saturate),
            RangeCheck::ReadAgain if (1..=255).contains(&*self.repeats) => {
                Ok(Protection::ReadAgain { repeats: *self.repeats })
            }
            RangeCheck::ReadAgain => {
                let error = GemmError::Repeats { repeats: *self.repeats };
                Err(self.repeats.invalid(format!("cannot be used: {error}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mirage_design::Document;

    const GOOD: &str = "[arithmetic]\nmoduli = [31, 32, 33]\nmantissa_bits = 4\ngroup = 16\n\
        rounding = \"nearest-even\"\nslip_code = [17, 23, 17]\nrange_check = \"read-again\"\nrepeats = 3\n";

    fn read(text: &str) -> Result<GemmConfig, DesignError> {
        let document = Document::new(text, "x.toml")?;
        let section: ArithmeticSection = document.section("arithmetic")?;
        section.check().map_err(|e| document.locate(e))?;
        section.config(Placement { units: 8, rows: 32 }, 1)
    }

    #[test]
    fn every_choice_is_read() {
        let config = read(GOOD).unwrap();
        assert_eq!(config.protection, Protection::ReadAgain { repeats: 3 });
        assert_eq!(config.code.changes(), [17, 23, 17]);
        for rounding in [Rounding::NearestEven, Rounding::Truncate, Rounding::Stochastic] {
            let text = GOOD.replace("nearest-even", &rounding.to_string());
            assert_eq!(read(&text).unwrap().format.rounding, rounding);
        }
        for protection in [Protection::None, Protection::Count, Protection::Saturate] {
            let text = GOOD.replace("read-again", &protection.to_string());
            assert_eq!(read(&text).unwrap().protection, protection);
        }
    }

    #[test]
    fn wrong_values_say_where_and_what_else() {
        for (from, to, line, says) in [
            ("nearest-even", "nearest-evn", 5, "did you mean `nearest-even`?"),
            ("nearest-even", "up", 5, "known here: nearest-even, truncate, stochastic"),
            ("read-again", "read-agian", 7, "did you mean `read-again`?"),
            ("\"read-again\"", "3", 7, ""),
            ("repeats = 3", "repeats = 0", 8, "0 repeats are not supported"),
            ("group = 16", "group = 2000", 4, "a group of 2000 values"),
            ("mantissa_bits = 4", "mantissa_bits = 9", 3, "9 mantissa bits"),
            ("[31, 32, 33]", "[3, 4, 5]", 2, "larger moduli"),
            ("[17, 23, 17]", "[17, 22, 17]", 6, "no unit modulo 32"),
        ] {
            let error = read(&GOOD.replace(from, to)).unwrap_err();
            assert_eq!(error.line(), Some(line), "{error}");
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
