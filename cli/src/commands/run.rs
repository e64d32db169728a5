//! `mirage run`: from the laser to the loss curve.

use std::time::Instant;

use mirage_arithmetic::{GemmConfig, GemmEntry, OperandHistogram};
use mirage_design::{Mark, Provenance};
use mirage_system::design::Dataflow;
use mirage_system::{NetworkResult, Options, published};
use mirage_training::{Part, PlanResult};
use serde_json::json;

use crate::args::RunArgs;
use crate::design::Design;
use crate::error::Result;
use crate::folder::{Folder, number};
use crate::progress::Progress;
use crate::report;
use crate::study::depth::Budget;
use crate::study::devices::{self, Answer, Question, Swept};
use crate::study::seeds::{self, Tolerance};
use crate::study::training::{self, RunSummary, Setup};
use crate::study::{rivals, system};

/// Performance of published converters, 1997 to 2025.
const ADC_SURVEY: &str = include_str!("../../../data/adc-survey/adc_survey_2025.csv");

/// Images of a quick look.
const QUICK: (usize, usize) = (2000, 500);

/// Less demanding targets, for which the report says what light they would save.
const EASIER_TARGETS: [f64; 3] = [1e-6, 1e-4, 1e-3];

/// Standard deviations beyond which two counts are said to differ: once in two thousand runs by chance.
const DIFFERENT: f64 = 3.5;

pub fn run(args: &RunArgs) -> Result<()> {
    let design = Design::read(args.design.as_deref())?;
    let folder = Folder::create(&args.output)?;
    let study = Study::new(args, &design)?;
    let mut timing = Timing::default();

    let operands =
        timing.stage("operands", || training::written_operands(&folder, &study.setup, &study.gemm))?;
    let (histogram, groups) = &operands;
    let named = devices::operands_from(groups, &study.gemm, &study.setup.operands_name())?;
    let question = Question::new(&design, study.gemm.clone(), named, study.seed, study.setup.progress);
    let answer = timing.stage("devices", || question.answer())?;
    devices::write(&folder, &answer)?;
    let budget = timing.stage("budget", || Budget::write(&folder, &question, &answer))?;
    let sweeps = timing.stage("sweeps", || question.sweeps(&folder, &answer, None))?;
    let trained = timing.stage("training", || study.train(&folder, &answer))?;
    let simulated = timing.stage("system", || study.simulate(&folder, &answer, histogram))?;

    let mut summary = study.summary(&question, &answer, &trained, &simulated, sweeps)?;
    summary["budget"] = budget.summary();
    folder.repeatable(&design, &crate::command_line(study.seed))?;
    provenance(&folder, &design)?;
    folder.json("summary.json", &summary)?;
    timing.stage("report", || report::write(&folder, &summary))?;
    timing.write(&folder)?;
    folder.finish();
    if args.common.json {
        say!("{}", serde_json::to_string_pretty(&summary)?);
    } else {
        say!("{}", training::table(&trained.comparison));
        say!("{}", system::table(&simulated.networks));
        say!("open {}", folder.path().join("report.html").display());
    }
    Ok(())
}

/// Wall-clock times, kept apart from everything that must be the same bytes each time.
#[derive(Default)]
struct Timing(Vec<(&'static str, f64)>);

impl Timing {
    fn stage<T>(&mut self, name: &'static str, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.0.push((name, start.elapsed().as_secs_f64()));
        result
    }

    fn write(&self, folder: &Folder) -> Result<()> {
        let rows = self.0.iter().map(|(name, seconds)| [name.to_string(), format!("{seconds:.3}")]);
        folder.table("timing.csv", &["stage", "seconds"], rows)
    }
}

/// What is run on what.
struct Study<'a> {
    args: &'a RunArgs,
    design: &'a Design,
    gemm: GemmConfig,
    setup: Setup,
    seed: u64,
}

/// The outcome of the training stage.
struct Trained {
    comparison: Vec<RunSummary>,
    tolerances: Vec<Tolerance>,
    /// Accuracy of the comparison's arithmetics after as many epochs as the sweep has.
    baselines: Vec<(String, f64)>,
}

impl Trained {
    fn baseline(&self, arithmetic: &str) -> Option<f64> {
        self.baselines.iter().find(|(name, _)| name == arithmetic).map(|(_, accuracy)| *accuracy)
    }
}

/// The outcome of the system stage.
struct Simulated {
    networks: Vec<NetworkResult>,
    trained: NetworkResult,
}

impl<'a> Study<'a> {
    fn new(args: &'a RunArgs, design: &'a Design) -> Result<Self> {
        let seed = design.seed(args.common.seed);
        let mut setup = Setup::new(design, args.common.seed, Progress::new(args.common.json))?;
        if args.quick {
            setup.data = setup.data.few(QUICK.0, QUICK.1);
            setup.config.epochs = 1;
        }
        Ok(Self { args, design, gemm: design.gemm(seed)?, setup, seed })
    }

    /// The comparison of arithmetics and the coarse sweep of error rates, all runs side by side.
    fn train(&self, folder: &Folder, answer: &Answer) -> Result<Trained> {
        let setup = &self.setup;
        let channel = &answer.characterisation.channel;
        let mut plans = training::comparison(setup, &self.gemm, channel);
        let compared = plans.len();
        if self.design.training.sweep.is_some() {
            let mut sweep = self.design.sweep(&self.gemm, Some(channel.clone()), &setup.config)?;
            if self.args.quick {
                sweep.rates = sweep.rates.iter().copied().step_by(2).collect();
                sweep.seeds.truncate(1);
                sweep.config.epochs = 1;
            }
            plans.extend(sweep.plans()?);
        }
        let results: Vec<PlanResult> = training::run(setup, &plans, "training")?;
        let mut runs = training::summaries(&results);
        training::write(folder, &setup.network, &results)?;
        folder.write("gemms.csv", |out| GemmEntry::write_csv(&training::gemms(setup), out))?;
        let tolerances = seeds::tolerances(&setup.network, &runs.split_off(compared));
        folder.rows("tolerance.csv", &tolerances)?;
        let is_compared = |row: &crate::table::Row<'_>| matches!(row.text("error_shape"), "" | "design");
        crate::plots::training::curves(folder, "training.csv", is_compared)?;
        if !tolerances.is_empty() {
            crate::plots::training::tolerance(folder)?;
        }
        let baselines = training::accuracies_after(&results[..compared], self.sweep_epochs());
        Ok(Trained { comparison: runs, tolerances, baselines })
    }

    fn simulate(&self, folder: &Folder, answer: &Answer, operands: &OperandHistogram) -> Result<Simulated> {
        let chip = system::chip(&self.design.system, &self.gemm, &answer.budget)?;
        let repeats = system::repeat_model(&self.gemm, &answer.characterisation.channel, operands)?;
        let options = Options { repeats, seed: self.seed, ..Options::default() };
        let mut results = system::simulate_products(&chip, &training::gemms(&self.setup), &options)?;
        let count = if self.args.quick { 1 } else { self.design.run.networks.len() };
        let names: Vec<&str> = self.design.run.networks.iter().take(count).map(String::as_str).collect();
        let steps = rivals::steps(&names, *self.design.system.batch)?;
        results.extend(system::simulate(
            &chip,
            &steps,
            &options,
            self.setup.progress,
            "simulating the chip",
        )?);
        system::write(folder, &results)?;
        system::draw(folder, &results)?;
        let networks: Vec<NetworkResult> = results.into_iter().map(|result| result.network).collect();
        let trained = networks[0].clone();
        Ok(Simulated { networks, trained })
    }

    fn summary(
        &self,
        question: &Question<'_>,
        answer: &Answer,
        trained: &Trained,
        simulated: &Simulated,
        sweeps: Swept,
    ) -> Result<serde_json::Value> {
        let provenance = self.design.document.provenance()?;
        let largest = simulated.networks[1..].iter().max_by_key(|n| n.macs);
        let power = published::mirage_figure("power");
        Ok(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "command": self.command(),
            "quick": self.args.quick,
            "seed": self.seed,
            "batch": *self.design.system.batch,
            "design": {
                "name": self.design.document.file(), "sha256": self.design.sha256(),
                "heaters": self.design.heaters.as_ref().map(|file| json!({
                    "name": file.name, "sha256": devices::sha256(file.text.as_bytes()),
                })),
            },
            "devices": self.device_summary(question, answer, trained),
            "sweeps": sweeps.pictures,
            "unreachable": question.shortfall(answer)?.into_iter().chain(sweeps.unreachable).collect::<Vec<_>>(),
            "training": self.training_summary(trained),
            "tolerance": trained.tolerances,
            "tolerance_epochs": self.sweep_epochs(),
            "baselines": trained.baselines,
            "tolerance_seeds": self.design.training.sweep.as_ref().map(|s| if self.args.quick { 1 } else { *s.seeds }),
            "networks": simulated.networks.iter().map(system::summary).collect::<Vec<_>>(),
            "trained": system::summary(&simulated.trained),
            "largest": largest.map(system::summary),
            "system_notes": self.system_notes(largest)?,
            "repeats": repeats(&trained.comparison, &simulated.trained, self.gemm.moduli.len()),
            "published": { "power": { "value": power.as_ref().map(|p| p.value), "mark": power.map(|p| p.mark.to_string()) } },
            "published_rows": published_rows(largest),
            "marks": marks(&provenance),
            "unsure": provenance.iter().filter(|p| !p.mark.parse().is_ok_and(Mark::is_sure)).collect::<Vec<_>>(),
        }))
    }

    /// The devices' summary with what a slip code would save, in words.
    fn device_summary(
        &self,
        question: &Question<'_>,
        answer: &Answer,
        trained: &Trained,
    ) -> serde_json::Value {
        let mut summary = devices::summary(question, answer);
        let mut notes = Vec::new();
        for target in EASIER_TARGETS {
            let Some(power) = devices::power_for(question, answer, target) else { continue };
            let saved = 10.0 * (answer.solution.laser_power / power).log10();
            let mut note = format!(
                "A target of {target:.0e} would need {:.2} mW for each laser, {saved:.2} dB less.",
                power * 1e3
            );
            let point = trained.tolerances.iter().find(|p| {
                (p.error_shape.as_str(), p.protection.as_str()) == ("slip", "read-again+slip-code")
                    && p.rate == target
            });
            if let (Some(point), Some(bfp)) = (point, trained.baseline("bfp")) {
                note += &format!(
                    " In the coarse sweep below, slips at that rate, read again with a slip code, end at {:.1} % where no errors \
                     give {:.1} %; those errors are fresh, while a chip's own are partly static.",
                    100.0 * point.accuracy_mean,
                    100.0 * bfp
                );
            }
            notes.push(note);
        }
        summary["notes"] = json!(notes);
        summary
    }

    fn training_summary(&self, trained: &Trained) -> serde_json::Value {
        let of = |name: &str| trained.comparison.iter().find(|r| r.arithmetic == name);
        let (test, asked) = (self.setup.data.count(Part::Test), self.setup.data.asked(Part::Test));
        json!({
            "network": self.setup.network.name(),
            "data": self.setup.data_name,
            "seed": self.setup.config.seed,
            "data_sha256": if self.setup.data.is_text() { devices::hex(&self.setup.data.hash()) } else { data_hash() },
            "images": self.setup.data.count(Part::Train),
            "examples": self.setup.data.words()[1],
            "test_images": test,
            "accuracy_error": standard_error(of("mirage").and_then(|r| r.accuracy), asked),
            "epochs": self.setup.config.epochs,
            "runs": trained.comparison,
            "fp32": of("fp32"), "bfp": of("bfp"), "mirage": of("mirage"),
        })
    }

    /// What a reader of the energies should know: warnings of the design, and the converters beside a survey.
    fn system_notes(&self, largest: Option<&NetworkResult>) -> Result<Vec<String>> {
        let mut notes = self.design.system.warnings();
        let law = mirage_calibration::AdcSurvey::read(ADC_SURVEY, "adc_survey_2025.csv")
            .and_then(|s| s.law(1e9))?;
        let clock = self.design.system.clock.si();
        let power = |bits: f64| law.energy(bits) * clock * 1e3;
        notes.push(format!(
            "The law E = k1 b + k2 4^b through the three best of {} published converters above 1 GS/s (Murmann's ADC survey) gives \
             {:.1} mW for {} bits and {:.1} mW for 6 bits at this clock.",
            law.candidates,
            power(f64::from(*self.design.devices.adc.bits)), *self.design.devices.adc.bits, power(6.0)
        ));
        if *self.design.system.dataflow != Dataflow::First {
            notes.push(
                "The devices were characterised with the first operand stationary, while this design also keeps the second: its \
                 error rates may differ."
                    .into(),
            );
        }
        if let Some(n) = largest {
            notes.push(system::partial_sums_note(&self.design.system, n));
        }
        Ok(notes)
    }

    /// Epochs of each run of the sweep.
    fn sweep_epochs(&self) -> u32 {
        let epochs = self.design.training.sweep.as_ref().map_or(1, |s| *s.epochs);
        if self.args.quick { 1 } else { epochs }
    }

    /// The command that repeats the run from its folder.
    fn command(&self) -> String {
        let quick = if self.args.quick { " --quick" } else { "" };
        format!("mirage run design.toml --seed {}{quick}", self.seed)
    }
}

/// The repeats that trainer and chip count for the same products.
fn repeats(runs: &[RunSummary], chip: &NetworkResult, moduli: usize) -> serde_json::Value {
    let run = runs.iter().find(|r| r.arithmetic == "mirage");
    let (trainer, reads) = run.map_or((0, 0), |r| (r.repeated, r.residues / moduli as u64));
    let spread = ((trainer + chip.repeated) as f64).sqrt();
    let difference = trainer.abs_diff(chip.repeated) as f64;
    let sigmas = if spread > 0.0 { difference / spread } else { 0.0 };
    json!({
        "trainer": trainer, "trainer_reads": reads, "system": chip.repeated, "system_reads": chip.reads,
        "expected": chip.repeated_expected, "sigmas": sigmas, "agree": reads == chip.reads && sigmas < DIFFERENT,
    })
}

/// Published figures with ours beside them, where there is one.
fn published_rows(largest: Option<&NetworkResult>) -> Vec<serde_json::Value> {
    let ours = |quantity: &str| {
        let n = largest?;
        match quantity {
            "power" => Some(format!("{:.2} ({})", n.watts(), n.network)),
            "energy_per_mac" => {
                Some(format!("{:.2e} J ({}, memory included)", n.joules_per_mac(), n.network))
            }
            "power_sram_share" => Some(format!("{:.3} ({})", system::sram_share(n), n.network)),
            _ => None,
        }
    };
    published::mirage()
        .into_iter()
        .map(|f| {
            json!({
                "quantity": f.quantity, "published": format!("{} {}", number(f.value), f.unit),
                "ours": ours(&f.quantity).unwrap_or_else(|| "see mirage reproduce".into()),
                "mark": f.mark.to_string(), "source": f.source,
            })
        })
        .collect()
}

/// Standard error of an accuracy over so many images, from the binomial law.
fn standard_error(accuracy: Option<f64>, images: usize) -> f64 {
    let p = accuracy.unwrap_or(0.5);
    (p * (1.0 - p) / images as f64).sqrt()
}

/// Hash of the built-in images and labels, one file after the other.
fn data_hash() -> String {
    devices::sha256(&mirage_training::FASHION_MNIST_FILES.map(|(_, bytes)| bytes).concat())
}

fn marks(provenance: &[Provenance]) -> Vec<serde_json::Value> {
    let count = |mark: &str| provenance.iter().filter(|p| p.mark == mark).count();
    let marks = Mark::all().map(|(mark, meaning)| (mark.to_string(), meaning));
    let marks = marks.chain([(String::new(), "without a mark")]);
    let all = marks.map(|(mark, meaning)| json!({ "mark": mark, "meaning": meaning, "count": count(&mark) }));
    all.filter(|m| m["count"] != 0).collect()
}

fn provenance(folder: &Folder, design: &Design) -> Result<()> {
    let rows = design.document.provenance()?.into_iter().map(|p| [p.key, p.value, p.mark, p.source]);
    folder.table("provenance.csv", &["key", "value", "mark", "source"], rows)
}
