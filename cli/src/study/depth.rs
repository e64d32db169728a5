//! Characterisation in depth: where the phase variance comes from, how far the light is from its limit, which tolerance
//! matters, what it may be at most, and how sampled chips do.

use mirage_devices::{
    DeepRow, DeviceError, ImportanceStudy, InversionRow, InversionStudy, LimitRow, SampledChips, SobolReport,
    SobolStudy, Study, SweepSetting, Symbol, VarianceRow, YieldPowerRow, YieldPowerStudy, YieldReport,
    YieldRow, YieldStudy, photon_limit, variance_budget,
};
use serde::Serialize;
use serde_json::json;

use crate::args::DepthArgs;
use crate::design::Design;
use crate::error::{CliError, Result};
use crate::folder::{Folder, number};
use crate::journal::Journal;
use crate::study::devices::{Answer, Asked, Question};
use crate::study::spread::Spread;

/// Operand vectors over which each row of a sampled chip is judged.
pub const VECTORS: usize = 256;

/// Laser power above the design's at which tolerances are inverted, dB: a design that just meets its target leaves no slack.
const MARGINS_DB: [f64; 3] = [0.0, 1.0, 3.0];

/// Laser power above the design's at which chips are judged again, dB, and how many chips at most.
const POWER_MARGINS_DB: [f64; 4] = [1.0, 2.0, 3.0, 5.0];
const POWER_CHIPS: u32 = 8;

/// Standard errors to either side of a mean that hold it with 95 %.
const NORMAL_95: f64 = 1.96;

/// Effective draws that an interval must rest on.
const FEWEST: f64 = 30.0;

/// Parameters of the sensitivity analysis that are named.
const TOP: usize = 5;

/// Shares of the phase variance below this are not worth a word.
const SMALLEST: f64 = 1e-3;

/// The long questions that were asked, each with the journal of what is already answered.
pub struct Depth {
    spread: Option<(Spread, Journal)>,
    chips: Option<(u32, [Journal; 2])>,
    points: Option<(usize, Journal)>,
    inversion: Option<Journal>,
    draws: Option<(usize, Journal)>,
    chip: Option<u32>,
}

impl Depth {
    /// Opens the journals, so that kept work of another question is seen before any work is done.
    pub fn open(args: &DepthArgs, asked: &Asked, folder: &Folder, design: &Design) -> Result<Self> {
        let journal = |name: &str, more| asked.journal(folder, name, more);
        let yields = |n| Ok::<_, CliError>([journal("yield", json!(n))?, journal("yield-power", json!(n))?]);
        let chips = args.yield_chips.map(|n| Ok::<_, CliError>((n, yields(n)?)));
        let points = args.sobol.map(|n| Ok::<_, CliError>((n, journal("sobol", json!(n))?)));
        let inversion = args.invert.then(|| journal("inversion", json!(MARGINS_DB)));
        let draws = args.importance.map(|n| Ok::<_, CliError>((n, journal("importance", json!(n))?)));
        let spread =
            args.spread.map(|n| Ok::<_, CliError>((Spread::new(design, n)?, journal("spread", json!(n))?)));
        Ok(Self {
            spread: spread.transpose()?,
            chips: chips.transpose()?,
            points: points.transpose()?,
            inversion: inversion.transpose()?,
            draws: draws.transpose()?,
            chip: args.chip,
        })
    }

    /// Answers them, adds the answers to the summary, and returns what to say of them.
    pub fn run(&self, around: Around<'_>, summary: &mut serde_json::Value) -> Result<Vec<String>> {
        let mut words = Vec::new();
        if let Some(journal) = &self.inversion {
            let rows = around.invert(journal)?;
            words.extend(inversion_words(&rows));
            summary["inversion"] = json!(rows);
        }
        if let Some((draws, journal)) = &self.draws {
            let rows = around.importance(*draws, journal)?;
            words.extend(rows.iter().map(importance_words));
            summary["importance"] = json!(rows);
        }
        if let Some((points, journal)) = &self.points {
            let report = around.sobol(*points, journal)?;
            words.extend(sobol_words(&report));
            summary["sobol"] = json!({
                "mean": report.mean, "deviation": report.deviation, "floored": report.floored,
                "evaluations": report.evaluations, "rows": report.rows,
            });
        }
        if let Some((count, [journal, of_power])) = &self.chips {
            let report = around.yields(*count, journal)?;
            let powers = around.yields_over_power((*count).min(POWER_CHIPS), of_power)?;
            words.extend(report.rows.iter().filter(|r| r.modulus.is_none()).map(yield_words));
            words.extend(power_words(&around, &powers));
            summary["yield"] = json!({
                "mean": report.mean, "median": report.median, "worst": report.worst, "rows": report.rows,
                "over_power": powers,
            });
        }
        if let Some((spread, journal)) = &self.spread {
            let found = spread.run(around.folder, around.question, around.answer, journal)?;
            words.extend(found.words());
            summary["spread"] = json!(found);
        }
        if let Some(chip) = self.chip {
            words.push(around.channel(chip)?);
            summary["chip"] = json!(chip);
        }
        Ok(words)
    }

    /// Removes the journals, once everything is written.
    pub fn finish(self) -> Result<()> {
        let chips = self.chips.into_iter().flat_map(|c| c.1);
        let others =
            [self.spread.map(|s| s.1), self.points.map(|p| p.1), self.draws.map(|d| d.1), self.inversion];
        chips.chain(others.into_iter().flatten()).try_for_each(Journal::finish)
    }
}

/// The quick part, which every characterisation has: the budget of phase variance and the photon limit.
pub struct Budget {
    pub variance: Vec<VarianceRow>,
    /// Empty where the error rate is too small or too large for a limit.
    pub limit: Vec<LimitRow>,
    /// Why there is no limit.
    no_limit: Option<String>,
    /// The modulus that errs most.
    worst: Option<u32>,
}

impl Budget {
    /// Writes variance-budget.csv and limit.csv with their picture.
    pub fn write(folder: &Folder, question: &Question<'_>, answer: &Answer) -> Result<Self> {
        let setting = question.setting(answer);
        let variance = variance_budget(&setting)?;
        let (laser, clock) = (&question.design.devices.laser, &question.design.system.clock);
        let symbol = Symbol { wavelength: laser.wavelength.si(), clock: clock.si() };
        folder.rows("variance-budget.csv", &variance)?;
        crate::plots::depth::variance(folder)?;
        let (limit, no_limit) = match photon_limit(&setting, symbol) {
            Ok(limit) => (limit, None),
            Err(DeviceError::Question(why)) => (Vec::new(), Some(format!("no limit.csv: {why}"))),
            Err(error) => return Err(error.into()),
        };
        if no_limit.is_none() {
            folder.rows("limit.csv", &limit)?;
        }
        let rates = &answer.characterisation.rates;
        let worst = rates.iter().max_by(|a, b| a.error_rate.total_cmp(&b.error_rate)).map(|r| r.modulus);
        Ok(Self { variance, limit, no_limit, worst })
    }

    /// What the worst modulus owes its phase variance to, the largest share first.
    pub fn ranking(&self) -> Vec<&VarianceRow> {
        let own =
            |r: &&VarianceRow| Some(r.modulus) == self.worst && r.without.is_some() && r.share >= SMALLEST;
        let mut rows: Vec<&VarianceRow> = self.variance.iter().filter(own).collect();
        rows.sort_by(|a, b| b.share.total_cmp(&a.share));
        rows
    }

    /// What limits the design, in words.
    pub fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        let total = self.variance.iter().find(|r| Some(r.modulus) == self.worst && r.imperfection == "total");
        if let Some(total) = total {
            let share = |r: &&VarianceRow| format!("{} {:.1} %", r.imperfection, 100.0 * r.share);
            words.push(format!(
                "modulus {}, which errs most, has half a sector of {:.2} standard deviations of phase over all reads (its errors come from the few \
                 reads that stand far worse), and owes their variance to: {}",
                total.modulus,
                total.sigmas,
                self.ranking().iter().map(share).collect::<Vec<_>>().join(", ")
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
        words.extend(self.no_limit.clone());
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

/// The solved design that questions are asked around, and where the answers go.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    pub folder: &'a Folder,
    pub question: &'a Question<'a>,
    pub answer: &'a Answer,
}

impl<'a> Around<'a> {
    fn setting(self) -> SweepSetting<'a> {
        self.question.setting(self.answer)
    }

    fn study<S: Study>(self, study: &S, journal: &Journal) -> Result<S::Outcome> {
        journal.study(study, (&self.question.stop, self.question.progress))
    }

    fn invert(self, journal: &Journal) -> Result<Vec<InversionRow>> {
        let rows = self.study(&InversionStudy::new(self.setting(), &MARGINS_DB)?, journal)?;
        self.folder.rows("inversion.csv", &rows)?;
        Ok(rows)
    }

    /// Writes importance.csv: the channel's rates beside those of sampled chips, at any depth.
    fn importance(self, draws: usize, journal: &Journal) -> Result<Vec<ImportanceRow>> {
        let found = self.study(&ImportanceStudy::new(self.setting(), draws)?, journal)?;
        let channel = &self.answer.characterisation;
        let rows: Vec<ImportanceRow> = found
            .iter()
            .zip(channel.rates.iter().zip(&channel.bounds).zip(&self.question.operands))
            .map(|(row, ((rates, bounds), operands))| {
                let p = rates.error_rate;
                let channel = [p, p * bounds.lower_ratio, (p * bounds.upper_ratio).min(1.0)];
                ImportanceRow::new(row, channel, operands.groups().is_empty())
            })
            .collect();
        self.folder.rows("importance.csv", &rows)?;
        Ok(rows)
    }

    fn sobol(self, points: usize, journal: &Journal) -> Result<SobolReport> {
        let report = self.study(&SobolStudy::new(self.setting(), points)?, journal)?;
        self.folder.rows("sobol.csv", &report.rows)?;
        crate::plots::depth::sobol(self.folder)?;
        Ok(report)
    }

    /// The design's chip, sampled.
    fn chips(self) -> Result<SampledChips<'a>> {
        Ok(SampledChips::new(self.setting(), self.question.gemm.placement, VECTORS)?)
    }

    fn yields(self, count: u32, journal: &Journal) -> Result<YieldReport> {
        let report = self.study(&YieldStudy::new(self.chips()?, count)?, journal)?;
        self.folder.rows("yield.csv", &report.rows)?;
        self.folder.rows("yield-curve.csv", &report.curve)?;
        crate::plots::depth::yields(self.folder, self.question.point.target)?;
        Ok(report)
    }

    /// Writes yield-power.csv: how many units and chips pass with more light.
    fn yields_over_power(self, count: u32, journal: &Journal) -> Result<Vec<YieldPowerRow>> {
        let (placement, asked) = (self.question.gemm.placement, (count, &POWER_MARGINS_DB[..]));
        let study = YieldPowerStudy::new(&self.setting(), placement, VECTORS, asked)?;
        let rows = self.study(&study, journal)?;
        self.folder.rows("yield-power.csv", &rows)?;
        Ok(rows)
    }

    /// Writes chip-channel.csv: a residue channel of its own for each row of one sampled chip.
    fn channel(self, chip: u32) -> Result<String> {
        let (question, chips) = (self.question, self.chips()?);
        let units = chips.seats().len();
        let bar = question.progress.bar(units as u64, "rows of the chip");
        let report = |_: usize, _: usize, _: &str| bar.inc(1);
        let (code, provenance) = (&question.gemm.code, question.provenance());
        let channel = chips.channel(chip, code, &provenance, question.watch(&report))?;
        bar.finish_and_clear();
        self.folder.write("chip-channel.csv", |out| channel.write_csv(out))?;
        Ok(format!("chip-channel.csv: chip {chip}, {units} dot-product units, each with its own channel"))
    }
}

/// One line of importance.csv.
#[derive(Debug, Serialize)]
struct ImportanceRow {
    modulus: u32,
    draws: u64,
    effective_draws: f64,
    error_rate: f64,
    standard_error: f64,
    lower: f64,
    upper: f64,
    channel_error_rate: f64,
    channel_lower: f64,
    channel_upper: f64,
    ratio: f64,
    levels_alike_error_rate: f64,
    levels_alike_standard_error: f64,
    levels_alike_ratio: f64,
    verdict: &'static str,
}

impl ImportanceRow {
    /// `drawn` says that the groups are a sample too. What that leaves in the mean is carried by few groups and stated too small,
    /// so that the interval decides nothing.
    fn new(found: &DeepRow, [channel, channel_lower, channel_upper]: [f64; 3], drawn: bool) -> Self {
        let reach = NORMAL_95 * found.standard_error;
        let (lower, upper) = ((found.sampled - reach).max(0.0), (found.sampled + reach).min(1.0));
        // The channel takes all levels as equally likely, and is judged by what it claims.
        let (alike, alike_reach) = (found.levels_alike, NORMAL_95 * found.levels_alike_error);
        let verdict = match () {
            () if drawn => "not judged",
            () if found.effective < FEWEST => "too few draws",
            () if alike - alike_reach > channel_upper || alike + alike_reach < channel_lower => "differs",
            () if lower > channel_upper || upper < channel_lower => "agrees with levels alike",
            () => "agrees",
        };
        Self {
            modulus: found.modulus,
            draws: found.draws,
            effective_draws: found.effective,
            error_rate: found.sampled,
            standard_error: found.standard_error,
            lower,
            upper,
            channel_error_rate: channel,
            channel_lower,
            channel_upper,
            ratio: found.sampled / channel,
            levels_alike_error_rate: alike,
            levels_alike_standard_error: found.levels_alike_error,
            levels_alike_ratio: alike / channel,
            verdict,
        }
    }
}

fn importance_words(r: &ImportanceRow) -> String {
    let numbers = format!(
        "modulus {}: importance sampling gives {:.3e} ({:.2e} to {:.2e}; {:.0} effective of {} draws), and {:.3e} with all true \
         levels alike",
        r.modulus, r.error_rate, r.lower, r.upper, r.effective_draws, r.draws, r.levels_alike_error_rate
    );
    let channel = format!(
        "the channel's {:.3e} ({:.3e} to {:.3e})",
        r.channel_error_rate, r.channel_lower, r.channel_upper
    );
    match r.verdict {
        "too few draws" => format!("{numbers}: too few to judge {channel}; give --importance more draws"),
        "not judged" => {
            format!("{numbers} beside {channel}; groups were drawn, which adds more than the interval says")
        }
        "agrees with levels alike" => format!(
            "{numbers}: with all levels alike, as the channel takes them, that agrees with {channel}; at the levels of the reads \
             themselves it is {:.2} times the channel's, outside its bounds (docs/estimators.md)",
            r.ratio
        ),
        verdict => {
            format!("{numbers}: that {verdict} with {channel}").replace("differs with", "differs from")
        }
    }
}

fn inversion_words(rows: &[InversionRow]) -> Vec<String> {
    let shown = rows.iter().filter(|r| r.margin_db == MARGINS_DB[1] || r.parameter == "devices.laser.power");
    let unit = |r: &InversionRow| if r.unit == "1" { String::new() } else { format!(" {}", r.unit) };
    let line = |r: &InversionRow| match (r.limit, r.verdict) {
        (Some(limit), verdict) => format!(
            "{}: {} {}{} with {} dB more light (design {}){}",
            r.parameter,
            r.sense,
            number(limit),
            unit(r),
            r.margin_db,
            number(r.design),
            if verdict == "limit" { String::new() } else { format!(": {verdict}") }
        ),
        (None, verdict) => format!("{}: {verdict} with {} dB more light", r.parameter, r.margin_db),
    };
    shown.map(line).collect()
}

fn sobol_words(report: &SobolReport) -> Vec<String> {
    let floored = match report.floored {
        share if share > 0.0 => format!(", {:.1} % of them below 1e-13", 100.0 * share),
        _ => String::new(),
    };
    let mut words = vec![format!(
        "log10 of the error rate over all tolerances: {:.2} with a standard deviation of {:.2} ({} evaluations{floored})",
        report.mean, report.deviation, report.evaluations
    )];
    // An interval wider than its index says little more than that there is one.
    let top = || report.rows.iter().take(TOP);
    let vague: Vec<&str> =
        top().filter(|r| r.total_upper - r.total_lower > r.total).map(|r| r.parameter).collect();
    if !vague.is_empty() {
        words.push(format!(
            "too few points to rank these: the intervals of {} are wider than the indices themselves; give --sobol more base points",
            vague.join(", ")
        ));
    }
    words.extend(top().map(|r| {
        let [total, low, high] = [r.total, r.total_lower, r.total_upper];
        format!(
            "  {}: total index {total:.2} ({low:.2} to {high:.2}), first order {:.2}",
            r.parameter, r.first
        )
    }));
    words
}

/// What the target of a yield is, and what more light makes of it.
fn power_words(around: &Around<'_>, rows: &[YieldPowerRow]) -> Vec<String> {
    let (answer, point) = (around.answer, &around.question.point);
    let set = if answer.solution.power_solved { "was solved so that" } else { "is given; with a solved one" };
    let mut words = vec![format!(
        "the laser power of {:.1} mW {set} the mean over chips and reads meets {:.0e}; few units carry that mean, and a chip passes only with \
         its every unit, which takes more light:",
        1e3 * answer.solution.laser_power,
        point.target
    )];
    if rows.is_empty() {
        words.push(format!(
            "  not looked at: devices.laser.max_power = {:.1} mW leaves less than {} dB",
            1e3 * point.max_laser_power,
            POWER_MARGINS_DB[0]
        ));
    }
    words.extend(rows.iter().map(|r| {
        format!(
            "  {:.1} mW (+{} dB): {:.2} % of the dot-product units, {:.0} % of the chips ({} sampled; 95 %: {:.0} to {:.0} %), worst unit {:.1e}",
            1e3 * r.laser_power_w,
            r.margin_db,
            100.0 * r.mdpus_share,
            100.0 * r.chips_share,
            r.chips,
            100.0 * r.chips_lower,
            100.0 * r.chips_upper,
            r.worst_rate
        )
    }));
    words
}

fn yield_words(r: &YieldRow) -> String {
    let of = match (r.of, r.mapped_out) {
        ("chip", 0) => "chips".to_owned(),
        ("chip", 1) => "chips with one row of each array mapped out".to_owned(),
        ("chip", rows) => format!("chips with {rows} rows of each array mapped out"),
        _ => "dot-product units".to_owned(),
    };
    let [share, lower, upper] = [r.share, r.lower, r.upper].map(|x| 100.0 * x);
    format!(
        "yield at {:.0e}: {share:.2} % of the {of} ({} of {}; 95 %: {lower:.2} to {upper:.2} %)",
        r.target, r.passed, r.sampled
    )
}
