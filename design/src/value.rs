use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, Range};

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, Deserialize, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};

use crate::{DesignError, hint};

/// How sure a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mark {
    /// `P`: published, read in the primary paper.
    Published,
    /// `S`: read in a secondary source.
    Secondary,
    /// `R+`: recalled, consistent with other numbers.
    RecalledConsistent,
    /// `R`: recalled, not checked.
    Recalled,
    /// `R-`: a guess.
    Guess,
    /// `D`: derived.
    Derived,
    /// `M`: measured, and fitted by `mirage calibrate`; the source holds the interval.
    Measured,
    /// `required`: solved for, the loosest value that reaches the target.
    Required,
    /// `choice`: not a fact but a decision of the design.
    Choice,
}

const MARKS: [(&str, Mark, &str); 9] = [
    ("P", Mark::Published, "published"),
    ("M", Mark::Measured, "measured"),
    ("S", Mark::Secondary, "secondary source"),
    ("R+", Mark::RecalledConsistent, "recalled, consistent"),
    ("R", Mark::Recalled, "recalled"),
    ("R-", Mark::Guess, "guess"),
    ("D", Mark::Derived, "derived"),
    ("required", Mark::Required, "solved for"),
    ("choice", Mark::Choice, "choice of this design"),
];

impl Mark {
    /// All of them, the surest first, with what they mean in words.
    pub fn all() -> impl Iterator<Item = (Self, &'static str)> {
        MARKS.iter().map(|(_, mark, meaning)| (*mark, *meaning))
    }

    /// Whether a number stands on something that was published or measured, or follows from such numbers.
    pub fn is_sure(self) -> bool {
        matches!(self, Self::Published | Self::Measured | Self::Secondary | Self::Derived)
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MARKS.iter().find(|(_, m, _)| m == self).map_or("", |(t, _, _)| t))
    }
}

impl std::str::FromStr for Mark {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        MARKS.iter().find(|(t, _, _)| *t == text).map(|(_, m, _)| *m).ok_or_else(|| {
            let known = MARKS.map(|(t, _, _)| t).join(", ");
            format!("`{text}` is not a mark: use one of {known}")
        })
    }
}

/// A value of the design file with its source, its mark and the place where it stands.
///
/// Read from `key = VALUE` or from `key = { value = VALUE, source = "…", mark = "R+" }`; a number may have a standard deviation
/// beside it, `sigma = …`, of the same kind.
#[derive(Debug, Clone)]
pub struct Value<T> {
    value: T,
    /// Where the number comes from.
    pub source: Option<String>,
    /// How sure it is.
    pub mark: Option<Mark>,
    span: Option<Range<usize>>,
}

impl<T> Value<T> {
    /// A value that was not read from a file.
    pub fn new(value: T) -> Self {
        Self { value, source: None, mark: None, span: None }
    }

    /// The value itself.
    pub fn get(&self) -> &T {
        &self.value
    }

    /// The error that this value is wrong, with its place; `reason` continues the sentence "this value …".
    pub fn invalid(&self, reason: impl fmt::Display) -> DesignError {
        DesignError::new(format!("this value {reason}")).with_span(self.span.clone())
    }
}

impl<T: PartialOrd + fmt::Display> Value<T> {
    /// Whether it lies in a range, both ends included.
    ///
    /// # Errors
    /// At the value, with the range.
    pub fn within(&self, smallest: T, largest: T) -> Result<(), DesignError> {
        if (&smallest..=&largest).contains(&self.get()) {
            return Ok(());
        }
        Err(self.invalid(format!("must lie between {smallest} and {largest}")))
    }
}

impl<T> Deref for Value<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// A setting that is given, or that the toolkit is asked to find: the loosest value that reaches the target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Setting<T> {
    /// Given in the design file.
    Given(T),
    /// Written as `"required"`.
    Required,
}

impl<T> Setting<T> {
    /// The given value, if there is one.
    pub fn given(self) -> Option<T> {
        match self {
            Self::Given(value) => Some(value),
            Self::Required => None,
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Setting<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(Scalar(PhantomData::<T>, |text| text == crate::edit::REQUIRED))
            .map(|v| v.map_or(Self::Required, Self::Given))
    }
}

/// Visits one value that is not a table; `None` when the predicate holds for its text.
struct Scalar<T>(PhantomData<T>, fn(&str) -> bool);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Scalar<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, or a table with `value`, `source` and `mark`")
    }

    fn visit_str<E: de::Error>(self, v: &str) -> Result<Option<T>, E> {
        if (self.1)(v) {
            return Ok(None);
        }
        T::deserialize(v.into_deserializer()).map(Some)
    }

    fn visit_i64<E: de::Error>(self, v: i64) -> Result<Option<T>, E> {
        T::deserialize(v.into_deserializer()).map(Some)
    }

    fn visit_u64<E: de::Error>(self, v: u64) -> Result<Option<T>, E> {
        T::deserialize(v.into_deserializer()).map(Some)
    }

    fn visit_f64<E: de::Error>(self, v: f64) -> Result<Option<T>, E> {
        if !v.is_finite() {
            return Err(E::custom("the number must be finite"));
        }
        T::deserialize(v.into_deserializer()).map(Some)
    }

    fn visit_bool<E: de::Error>(self, v: bool) -> Result<Option<T>, E> {
        T::deserialize(v.into_deserializer()).map(Some)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Option<T>, A::Error> {
        T::deserialize(SeqAccessDeserializer::new(seq)).map(Some)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Option<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Some)
    }
}

/// A value with or without its table of provenance.
struct Bare<T> {
    value: T,
    source: Option<String>,
    mark: Option<Mark>,
}

const FIELDS: &[&str] = &["value", "sigma", "source", "mark"];

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Bare<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);

        impl<T> Either<T> {
            fn scalar() -> Scalar<T> {
                Scalar(PhantomData, |_| false)
            }
        }

        fn bare<T, E: de::Error>(value: Option<T>) -> Result<Bare<T>, E> {
            let value = value.ok_or_else(|| E::missing_field("value"))?;
            Ok(Bare { value, source: None, mark: None })
        }

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = Bare<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Self::scalar().expecting(f)
            }

            fn visit_str<E: de::Error>(self, v: &str) -> Result<Bare<T>, E> {
                Self::scalar().visit_str(v).and_then(bare)
            }

            fn visit_i64<E: de::Error>(self, v: i64) -> Result<Bare<T>, E> {
                Self::scalar().visit_i64(v).and_then(bare)
            }

            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Bare<T>, E> {
                Self::scalar().visit_u64(v).and_then(bare)
            }

            fn visit_f64<E: de::Error>(self, v: f64) -> Result<Bare<T>, E> {
                Self::scalar().visit_f64(v).and_then(bare)
            }

            fn visit_bool<E: de::Error>(self, v: bool) -> Result<Bare<T>, E> {
                Self::scalar().visit_bool(v).and_then(bare)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Bare<T>, A::Error> {
                Self::scalar().visit_seq(seq).and_then(bare)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Bare<T>, A::Error> {
                let (mut value, mut source, mut mark) = (None, None, None);
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "value" => value = Some(map.next_value()?),
                        // Read, and checked against the value, by [`crate::Document::uncertain`].
                        "sigma" => drop(map.next_value::<toml::Value>()?),
                        "source" => source = Some(map.next_value()?),
                        "mark" => {
                            let text: String = map.next_value()?;
                            mark = Some(text.parse().map_err(de::Error::custom)?);
                        }
                        other => {
                            let hint = hint(other, FIELDS.iter().copied());
                            return Err(de::Error::custom(format!(
                                "unknown key `{other}` in a value's table (it has value, sigma, source, mark){hint}"
                            )));
                        }
                    }
                }
                let value = value.ok_or_else(|| de::Error::missing_field("value"))?;
                Ok(Bare { value, source, mark })
            }
        }
        d.deserialize_any(Either(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Value<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let spanned = toml::Spanned::<Bare<T>>::deserialize(d)?;
        let span = Some(spanned.span());
        let Bare { value, source, mark } = spanned.into_inner();
        Ok(Self { value, source, mark, span })
    }
}
