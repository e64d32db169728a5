//! Published figures, to be shown beside ours, each with its mark and source.

use mirage_design::Mark;

/// One published figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// What it is a figure of: `Mirage`, or a network.
    pub subject: String,
    /// Which quantity.
    pub quantity: String,
    /// Its value, in SI units.
    pub value: f64,
    /// The unit, empty for pure numbers.
    pub unit: String,
    /// How sure it is.
    pub mark: Mark,
    /// Where it stands.
    pub source: String,
}

/// Figures of the Mirage chip (`data/published/mirage.csv`).
#[must_use]
pub fn mirage() -> Vec<Figure> {
    read(include_str!("../../data/published/mirage.csv"), Some("Mirage"))
}

/// Parameters and MACs of the seven networks (`data/published/networks.csv`).
#[must_use]
pub fn networks() -> Vec<Figure> {
    read(include_str!("../../data/published/networks.csv"), None)
}

/// One figure of the Mirage chip by its quantity.
#[must_use]
pub fn mirage_figure(quantity: &str) -> Option<Figure> {
    mirage().into_iter().find(|figure| figure.quantity == quantity)
}

/// Reads an embedded table; a test holds that no row of either is skipped.
fn read(text: &str, subject: Option<&str>) -> Vec<Figure> {
    let mut reader =
        csv::ReaderBuilder::new().comment(Some(b'#')).trim(csv::Trim::All).from_reader(text.as_bytes());
    reader.records().filter_map(|record| figure(&record.ok()?, subject)).collect()
}

fn figure(record: &csv::StringRecord, subject: Option<&str>) -> Option<Figure> {
    let skip = usize::from(subject.is_none());
    let subject = subject.or_else(|| record.get(0))?;
    let field = |index: usize| record.get(index + skip);
    Some(Figure {
        subject: subject.to_owned(),
        quantity: field(0)?.to_owned(),
        value: field(1)?.parse().ok().filter(|value: &f64| value.is_finite())?,
        unit: field(2)?.to_owned(),
        mark: field(3)?.parse().ok()?,
        source: field(4)?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_read_and_has_a_source() {
        let tables = [
            (mirage(), include_str!("../../data/published/mirage.csv")),
            (networks(), include_str!("../../data/published/networks.csv")),
        ];
        for (figures, text) in tables {
            let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()).count();
            assert_eq!(figures.len(), lines - 1);
            assert!(figures.iter().all(|figure| !figure.source.is_empty()));
        }
        assert_eq!(mirage_figure("power").unwrap().value, 19.95);
        assert_eq!(mirage_figure("power").unwrap().mark, Mark::Recalled);
    }
}
