//! Characterisation in depth: where the phase variance comes from, how far the light is from its limit, which tolerance
//! matters, what it may be at most, and how sampled chips do.

use mirage_arithmetic::Placement;
use mirage_devices::{
    InversionRow, InversionStudy, LimitRow, SampledChips, SobolReport, SobolStudy, Symbol, VarianceRow,
    YieldReport, YieldStudy, photon_limit, variance_budget,
};
use serde_json::json;

use crate::args::DepthArgs;
use crate::error::Result;
use crate::folder::Folder;
use crate::journal::Journal;
use crate::study::devices::{Answer, Asked, Question};

/// Operand vectors over which each row of a sampled chip is judged.
const VECTORS: usize = 256;

/// Laser power above the design's at which tolerances are inverted, dB: a design that just meets its target leaves no slack.
const MARGINS_DB: [f64; 3] = [0.0, 1.0, 3.0];

/// The long questions that were asked, each with the journal of what is already answered.
pub struct Depth {
    chips: Option<(u32, Journal)>,
    points: Option<(usize, Journal)>,
    inversion: Option<Journal>,
    chip: Option<u32>,
}

impl Depth {
    /// Opens the journals, so that kept work of another question is seen before any work is done.
    pub fn open(args: &DepthArgs, asked: &Asked, folder: &Folder) -> Result<Self> {
        let journal = |name: &str, more| asked.journal(folder, name, more);
        let chips =
            args.yield_chips.map(|n| Ok::<_, crate::error::CliError>((n, journal("yield", json!(n))?)));
        let points = args.sobol.map(|n| Ok::<_, crate::error::CliError>((n, journal("sobol", json!(n))?)));
        let inversion = args.invert.then(|| journal("inversion", json!(MARGINS_DB)));
        Ok(Self {
            chips: chips.transpose()?,
            points: points.transpose()?,
            inversion: inversion.transpose()?,
            chip: args.chip,
        })
    }

    /// Answers them, and returns what to say of the answers.
    pub fn run(self, folder: &Folder, question: &Question<'_>, answer: &Answer) -> Result<Vec<String>> {
        let mut words = Vec::new();
        if let Some(journal) = self.inversion {
            words.extend(invert(folder, question, answer, journal)?);
        }
        if let Some((points, journal)) = self.points {
            words.extend(sobol(folder, question, answer, points, journal)?);
        }
        if let Some((count, journal)) = self.chips {
            words.extend(yields(folder, question, answer, count, journal)?);
        }
        if let Some(chip) = self.chip {
            words.push(channel(folder, question, answer, chip)?);
        }
        Ok(words)
    }
}

/// The quick part, which every characterisation has: the budget of phase variance and the photon limit.
pub struct Budget {
    pub variance: Vec<VarianceRow>,
    pub limit: Vec<LimitRow>,
}

impl Budget {
    /// Writes variance-budget.csv and limit.csv with their picture.
    pub fn write(folder: &Folder, question: &Question<'_>, answer: &Answer) -> Result<Self> {
        let setting = question.setting(answer);
        let variance = variance_budget(&setting)?;
        let (laser, clock) = (&question.design.devices.laser, &question.design.system.clock);
        let symbol = Symbol { wavelength: laser.wavelength.si(), clock: clock.si() };
        let limit = photon_limit(&setting, symbol)?;
        folder.rows("variance-budget.csv", &variance)?;
        folder.rows("limit.csv", &limit)?;
        crate::plots::depth::variance(folder)?;
        Ok(Self { variance, limit })
    }

    /// The modulus whose phase errors are largest beside its sectors.
    fn worst(&self) -> Option<&VarianceRow> {
        let totals = self.variance.iter().filter(|r| r.imperfection == "total");
        totals.min_by(|a, b| a.sigmas.total_cmp(&b.sigmas))
    }

    /// The imperfections of the worst modulus, largest share of the phase variance first.
    pub fn ranking(&self) -> Vec<&VarianceRow> {
        let Some(worst) = self.worst() else { return Vec::new() };
        let own = |r: &&VarianceRow| r.modulus == worst.modulus && r.without.is_some() && r.alone > 0.0;
        let mut rows: Vec<&VarianceRow> = self.variance.iter().filter(own).collect();
        rows.sort_by(|a, b| b.share.total_cmp(&a.share));
        rows
    }

    /// What limits the design, in words.
    pub fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        if let Some(worst) = self.worst() {
            let list: Vec<String> = self
                .ranking()
                .iter()
                .filter(|r| r.share >= 0.005)
                .map(|r| format!("{} {:.0} %", r.imperfection, 100.0 * r.share))
                .collect();
            words.push(format!(
                "modulus {}, whose half sector is {:.2} standard deviations of phase wide, owes its phase variance to: {}",
                worst.modulus,
                worst.sigmas,
                list.join(", ")
            ));
        }
        for (least, all) in self.limits() {
            words.push(format!(
                "modulus {}: {:.0} photons per read would do at the quantum limit; the laser sends {:.3e}, {:.1} dB more",
                least.modulus,
                least.photons,
                all.photons,
                10.0 * (all.photons / least.photons).log10()
            ));
        }
        words
    }

    /// First and last step of each modulus.
    fn limits(&self) -> impl Iterator<Item = (&LimitRow, &LimitRow)> {
        let steps = self.limit.chunk_by(|a, b| a.modulus == b.modulus);
        steps.filter_map(|steps| Some((steps.first()?, steps.last()?)))
    }

    /// For the report.
    pub fn summary(&self) -> serde_json::Value {
        json!({ "variance": self.variance, "limit": self.limit, "ranking": self.ranking(), "words": self.words() })
    }
}

fn invert(
    folder: &Folder,
    question: &Question<'_>,
    answer: &Answer,
    journal: Journal,
) -> Result<Vec<String>> {
    let study = InversionStudy::new(question.setting(answer), &MARGINS_DB)?;
    let rows: Vec<InversionRow> = journal.study(&study, (&question.stop, question.progress))?;
    folder.rows("inversion.csv", &rows)?;
    journal.finish()?;
    let shown = rows.iter().filter(|r| r.margin_db == MARGINS_DB[1] || r.parameter == "devices.laser.power");
    let line = |r: &InversionRow| match r.limit {
        Some(limit) => format!(
            "{}: {} {limit:.3e} {} at {} dB more light (design {:.3e})",
            r.parameter, r.sense, r.unit, r.margin_db, r.design
        ),
        None => format!("{}: {} at {} dB more light", r.parameter, r.verdict, r.margin_db),
    };
    Ok(shown.map(line).collect())
}

fn sobol(
    folder: &Folder,
    question: &Question<'_>,
    answer: &Answer,
    points: usize,
    journal: Journal,
) -> Result<Vec<String>> {
    let study = SobolStudy::new(question.setting(answer), points)?;
    let report: SobolReport = journal.study(&study, (&question.stop, question.progress))?;
    folder.rows("sobol.csv", &report.rows)?;
    crate::plots::depth::sobol(folder)?;
    journal.finish()?;
    let mut words = vec![format!(
        "log10 of the error rate over all tolerances: {:.2} with a standard deviation of {:.2} ({} evaluations{})",
        report.mean,
        report.deviation,
        report.evaluations,
        if report.floored > 0.0 {
            format!(", {:.1} % of them below 1e-13", 100.0 * report.floored)
        } else {
            String::new()
        }
    )];
    words.extend(report.rows.iter().take(5).map(|r| {
        let [total, low, high] = [r.total, r.total_lower, r.total_upper];
        format!(
            "  {}: total index {total:.2} ({low:.2} to {high:.2}), first order {:.2}",
            r.parameter, r.first
        )
    }));
    Ok(words)
}

/// The design's chip, sampled.
fn chips<'a>(question: &'a Question<'_>, answer: &'a Answer) -> Result<SampledChips<'a>> {
    let placement: Placement = question.gemm.placement;
    Ok(SampledChips::new(question.setting(answer), placement, VECTORS)?)
}

fn yields(
    folder: &Folder,
    question: &Question<'_>,
    answer: &Answer,
    count: u32,
    journal: Journal,
) -> Result<Vec<String>> {
    let study = YieldStudy::new(chips(question, answer)?, count)?;
    let report: YieldReport = journal.study(&study, (&question.stop, question.progress))?;
    folder.rows("yield.csv", &report.rows)?;
    folder.rows("yield-curve.csv", &report.curve)?;
    crate::plots::depth::yields(folder, question.point.target)?;
    journal.finish()?;
    let line = |r: &mirage_devices::YieldRow| {
        let of = match (r.of, r.mapped_out) {
            ("chip", 0) => "chips".to_owned(),
            ("chip", rows) => format!("chips, {rows} rows of each array mapped out"),
            _ => "dot-product units".to_owned(),
        };
        format!(
            "yield at {:.0e}: {:.2} % of the {of} ({} of {}; 95 %: {:.2} to {:.2} %)",
            r.target,
            100.0 * r.share,
            r.passed,
            r.sampled,
            100.0 * r.lower,
            100.0 * r.upper
        )
    };
    Ok(report.rows.iter().filter(|r| r.modulus.is_none()).map(line).collect())
}

/// Writes chip-channel.csv: a residue channel of its own for each row of one sampled chip.
fn channel(folder: &Folder, question: &Question<'_>, answer: &Answer, chip: u32) -> Result<String> {
    let chips = chips(question, answer)?;
    let bar = question.progress.bar(chips.seats().len() as u64, "rows of the chip");
    let report = |_: usize, _: usize, _: &str| bar.inc(1);
    let channel =
        chips.channel(chip, &question.gemm.code, &question.provenance(), question.watch(&report))?;
    bar.finish_and_clear();
    folder.write("chip-channel.csv", |out| channel.write_csv(out))?;
    Ok(format!(
        "chip-channel.csv: chip {chip}, {} dot-product units, each with its own channel",
        chips.seats().len()
    ))
}
