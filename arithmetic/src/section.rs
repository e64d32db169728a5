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
    /// The most repeats of a read, with `read-again` and `correct`.
    pub repeats: Value<u32>,
    /// How many of the moduli, the last ones, are redundant; with `correct` alone.
    pub redundant: Option<Value<usize>>,
}

/// The [`Protection`] that a design file asks for: `none`, `count`, `saturate`, `read-again` or `correct`.
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
    /// Decoded by redundant moduli, and read again where that does not do.
    Correct,
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
        let protection = self.protection(moduli.len())?;
        let config = GemmConfig { moduli, format, code, protection, placement, seed };
        // What no single key is to blame for: redundant moduli that are too small, or information moduli that are.
        crate::gemm::decoder(&config).map_err(|e| self.moduli.invalid(format!("cannot be used: {e}")))?;
        Ok(config)
    }

    fn protection(&self, moduli: usize) -> Result<Protection, DesignError> {
        let repeats = *self.repeats;
        let redundant = match (&self.redundant, *self.range_check) {
            (None, RangeCheck::Correct) => {
                let missing =
                    "needs the key `redundant`: how many of the moduli, the last ones, are redundant";
                return Err(self.range_check.invalid(missing));
            }
            (None, _) => 0,
            (Some(redundant), RangeCheck::Correct) if (1..moduli).contains(&**redundant) => **redundant,
            (Some(redundant), RangeCheck::Correct) => {
                let error = GemmError::Redundant { redundant: **redundant, moduli };
                return Err(redundant.invalid(format!("cannot be used: {error}")));
            }
            (Some(redundant), other) => {
                let other = other.text();
                return Err(redundant.invalid(format!("is for range_check = \"correct\", not \"{other}\"")));
            }
        };
        let protection = match *self.range_check {
            RangeCheck::None => Protection::None,
            RangeCheck::Count => Protection::Count,
            RangeCheck::Saturate => Protection::Saturate,
            RangeCheck::ReadAgain => Protection::ReadAgain { repeats },
            RangeCheck::Correct => Protection::Correct { redundant, repeats },
        };
        if protection.repeats().is_some_and(|repeats| !(1..=255).contains(&repeats)) {
            return Err(self.repeats.invalid(format!("cannot be used: {}", GemmError::Repeats { repeats })));
        }
        Ok(protection)
    }
}

impl RangeCheck {
    fn text(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Count => "count",
            Self::Saturate => "saturate",
            Self::ReadAgain => "read-again",
            Self::Correct => "correct",
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
    fn redundant_moduli_correct() {
        let text = GOOD
            .replace("[31, 32, 33]", "[31, 32, 33, 35, 37]")
            .replace("[17, 23, 17]", "[1, 1, 1, 1, 1]")
            .replace("\"read-again\"", "\"correct\"\nredundant = 2");
        let config = read(&text).unwrap();
        assert_eq!(config.protection, Protection::Correct { redundant: 2, repeats: 3 });
        assert!(config.protection.corrects());
        for (from, to, line, says) in [
            ("redundant = 2", "redundant = 5", 8, "5 of 5 moduli cannot be redundant"),
            ("redundant = 2\n", "", 7, "needs the key `redundant`"),
            ("\"correct\"", "\"count\"", 8, "is for range_check"),
            ("35, 37]", "35, 29]", 2, "would weaken"),
            ("redundant = 2", "redundant = 4", 2, "do not fit the range ±15 of the information moduli"),
        ] {
            let error = read(&text.replace(from, to)).unwrap_err();
            assert_eq!(error.line(), Some(line), "{error}");
            assert!(error.to_string().contains(says), "{error}");
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
