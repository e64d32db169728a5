//! `mirage run`: from the laser to the loss curve.

use std::time::Instant;

use mirage_arithmetic::{GemmConfig, GemmEntry, OperandHistogram};
use mirage_design::Provenance;
use mirage_system::{Chip, LayerResult, NetworkResult, Options, builtin, published};
use mirage_training::{Dataset, Network, PlanResult, TrainConfig, fashion_mnist_subset};
use serde_json::json;

use crate::args::RunArgs;
use crate::commands::{simulate, train};
use crate::design::Design;
use crate::error::Result;
use crate::folder::{Folder, number};
use crate::progress::Progress;
use crate::report;
use crate::study::devices::{self, Answer, Question};
use crate::study::system;
use crate::study::training::{self, Bench, RunSummary, Tolerance};

/// Performance of published converters, 1997 to 2025.
const ADC_SURVEY: &str = include_str!("../../../data/adc-survey/adc_survey_2025.csv");

/// Images of a quick look.
const QUICK: (usize, usize) = (2000, 500);

/// How sure a value is, in words.
const MARKS: [(&str, &str); 9] = [
    ("P", "published"),
    ("S", "secondary source"),
    ("R+", "recalled, consistent"),
    ("R", "recalled"),
    ("R-", "guess"),
    ("D", "derived"),
    ("required", "solved for"),
    ("choice", "choice of this design"),
    ("", "without a mark"),
];

pub fn run(args: &RunArgs) -> Result<()> {
    let design = Design::read(args.design.as_deref())?;
    let folder = Folder::create(&args.output)?;
    let study = Study::new(args, &design)?;
    let mut timing = Timing::default();

    let operands = timing.stage("operands", || study.operands(&folder))?;
    let named = devices::operands_from(&operands, &study.gemm, devices::TRAINING_OPERANDS)?;
    let question = Question::new(&design, study.gemm.clone(), named, study.seed, study.progress);
    let answer = timing.stage("devices", || question.answer())?;
    devices::write(&folder, &answer)?;
    let sweeps = timing.stage("sweeps", || question.sweeps(&folder, &answer))?;
    let trained = timing.stage("training", || study.train(&folder, &answer))?;
    let simulated = timing.stage("system", || study.simulate(&folder, &answer, &operands))?;

    let summary = study.summary(&question, &answer, &trained, &simulated, sweeps)?;
    folder.text("design.toml", design.document.text())?;
    provenance(&folder, &design)?;
    folder.text("summary.json", &format!("{}\n", serde_json::to_string_pretty(&summary)?))?;
    timing.stage("report", || report::write(&folder, &summary))?;
    timing.write(&folder)?;
    if args.common.json {
        println!("{}", serde_json::to_string_pretty(&summary)?);
    } else {
        println!("{}", train::table(&trained.comparison));
        println!("{}", simulate::table(&simulated.networks));
        println!("open {}", folder.path().join("report.html").display());
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
    data: Dataset,
    network: Network,
    config: TrainConfig,
    seed: u64,
    progress: Progress,
}

/// The outcome of the training stage.
struct Trained {
    comparison: Vec<RunSummary>,
    tolerances: Vec<Tolerance>,
}

/// The outcome of the system stage.
struct Simulated {
    networks: Vec<NetworkResult>,
    trained: NetworkResult,
}

impl<'a> Study<'a> {
    fn new(args: &'a RunArgs, design: &'a Design) -> Result<Self> {
        let seed = design.seed(args.common.seed);
        let mut config = design.training.config(seed);
        config.seed = args.common.seed.unwrap_or(config.seed);
        let mut data = fashion_mnist_subset()?;
        if args.quick {
            data = data.first(QUICK.0, QUICK.1);
            config.epochs = 1;
        }
        let network = train::network(&design.training, &data)?;
        let gemm = design.gemm(seed)?;
        Ok(Self {
            args,
            design,
            gemm,
            data,
            network,
            config,
            seed,
            progress: Progress::new(args.common.json),
        })
    }

    fn bench(&self) -> Bench<'_> {
        Bench { network: &self.network, data: &self.data, config: &self.config, progress: self.progress }
    }

    fn operands(&self, folder: &Folder) -> Result<OperandHistogram> {
        let histogram = training::operands(&self.bench(), &self.gemm)?;
        folder.write("operands.csv", |out| histogram.write_csv(out))?;
        Ok(histogram)
    }

    /// The comparison of arithmetics and the coarse sweep of error rates, all runs side by side.
    fn train(&self, folder: &Folder, answer: &Answer) -> Result<Trained> {
        let bench = self.bench();
        let channel = &answer.characterisation.channel;
        let mut plans = training::comparison(&bench, &self.gemm, channel);
        let compared = plans.len();
        if let Some(section) = &self.design.training.sweep {
            let sweep = section.sweep(&self.gemm, Some(channel.clone()), &self.config);
            let mut sweep = sweep.map_err(|e| self.design.document.locate(e))?;
            if self.args.quick {
                sweep.rates = sweep.rates.iter().copied().step_by(2).collect();
                sweep.seeds.truncate(1);
                sweep.config.epochs = 1;
            }
            plans.extend(sweep.plans()?);
        }
        let results: Vec<PlanResult> = training::run(&bench, &plans, "training")?;
        let mut runs = training::summaries(&results);
        training::write(folder, &self.network, &results)?;
        folder.write("gemms.csv", |out| GemmEntry::write_csv(&training::gemms(&bench), out))?;
        let tolerances = training::tolerances(&runs.split_off(compared));
        training::write_tolerances(folder, &tolerances)?;
        let is_compared = |row: &crate::table::Row<'_>| matches!(row.text("error_shape"), "" | "design");
        crate::plots::training(folder, "training.csv", is_compared)?;
        if !tolerances.is_empty() {
            crate::plots::tolerance(folder)?;
        }
        Ok(Trained { comparison: runs, tolerances })
    }

    fn simulate(&self, folder: &Folder, answer: &Answer, operands: &OperandHistogram) -> Result<Simulated> {
        let chip = Chip::new(
            &self.design.system,
            &self.gemm.moduli,
            self.gemm.format,
            answer.budget.electrical_power,
        )?;
        let repeats = system::repeat_model(&self.gemm, &answer.characterisation.channel, operands)?;
        let options = Options { repeats, seed: self.seed };
        let mut entries = training::gemms(&self.bench());
        let count = if self.args.quick { 1 } else { self.design.run.networks.len() };
        for name in self.design.run.networks.iter().take(count) {
            entries.extend(builtin(name)?.training_step(*self.design.system.batch)?);
        }
        let layers: Vec<LayerResult> =
            system::simulate(&chip, &entries, &options, self.progress, "simulating the chip")?;
        let networks = system::write(folder, &layers)?;
        system::draw(folder)?;
        let trained = networks[0].clone();
        Ok(Simulated { networks, trained })
    }

    fn summary(
        &self,
        question: &Question<'_>,
        answer: &Answer,
        trained: &Trained,
        simulated: &Simulated,
        sweeps: Vec<String>,
    ) -> Result<serde_json::Value> {
        let text = self.design.document.text();
        let provenance = self.design.document.provenance()?;
        let largest = simulated.networks[1..].iter().max_by_key(|n| n.macs);
        let power = published::mirage_figure("power");
        Ok(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "command": self.command(),
            "quick": self.args.quick,
            "seed": self.seed,
            "batch": *self.design.system.batch,
            "design": { "name": self.design.document.file(), "sha256": devices::sha256(text.as_bytes()) },
            "devices": self.device_summary(question, answer, trained),
            "sweeps": sweeps,
            "training": self.training_summary(trained),
            "tolerance": trained.tolerances,
            "tolerance_epochs": self.design.training.sweep.as_ref().map(|s| if self.args.quick { 1 } else { *s.epochs }),
            "tolerance_seeds": self.design.training.sweep.as_ref().map(|s| if self.args.quick { 1 } else { *s.seeds }),
            "networks": simulated.networks.iter().map(simulate::summary).collect::<Vec<_>>(),
            "trained": simulate::summary(&simulated.trained),
            "largest": largest.map(simulate::summary),
            "system_notes": self.system_notes()?,
            "repeats": repeats(&trained.comparison, &simulated.trained, self.gemm.moduli.len()),
            "published": { "power": { "value": power.as_ref().map(|p| p.value), "mark": power.map(|p| p.mark.to_string()) } },
            "published_rows": published_rows(largest),
            "marks": marks(&provenance),
            "unsure": provenance.iter().filter(|p| !matches!(p.mark.as_str(), "P" | "S" | "D")).collect::<Vec<_>>(),
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
        for target in [1e-6, 1e-4, 1e-3] {
            if let Some(power) = devices::power_for(question, answer, target) {
                let saved = 10.0 * (answer.solution.laser_power / power).log10();
                let code = held(&trained.tolerances, "read-again+slip-code", target);
                notes.push(format!(
                    "A target of {target:.0e} would need {:.2} mW for each laser, {saved:.2} dB less{}.",
                    power * 1e3,
                    match code {
                        Some(true) => "; the coarse sweep below still trains there when a slip code and reading again are used",
                        Some(false) => "; the coarse sweep below no longer trains there even with a slip code and reading again",
                        None => "",
                    }
                ));
            }
        }
        summary["notes"] = json!(notes);
        summary
    }

    fn training_summary(&self, trained: &Trained) -> serde_json::Value {
        let of = |name: &str| trained.comparison.iter().find(|r| r.arithmetic == name);
        let test = self.data.test().len();
        json!({
            "network": self.network.name(),
            "data": "the built-in Fashion-MNIST subset",
            "data_sha256": data_hash(),
            "images": self.data.train().len(),
            "test_images": test,
            "accuracy_error": (0.85 * 0.15 / test as f64).sqrt(),
            "epochs": self.config.epochs,
            "runs": trained.comparison,
            "fp32": of("fp32"), "bfp": of("bfp"), "mirage": of("mirage"),
        })
    }

    /// What a reader of the energies should know: warnings of the design, and the converters beside a survey.
    fn system_notes(&self) -> Result<Vec<String>> {
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
        Ok(notes)
    }

    /// The command that repeats the run from its folder.
    fn command(&self) -> String {
        let quick = if self.args.quick { " --quick" } else { "" };
        format!("mirage run design.toml --seed {}{quick}", self.seed)
    }
}

/// Whether every shape of errors still trained at this rate: within 10 points of the best point of the sweep.
fn held(points: &[Tolerance], protection: &str, rate: f64) -> Option<bool> {
    let best = points.iter().map(|p| p.accuracy_mean).fold(0.0, f64::max);
    let mut here = points
        .iter()
        .filter(|p| {
            p.error_shape == "slip" && p.protection == protection && (p.rate / rate - 1.0).abs() < 1e-6
        })
        .peekable();
    here.peek()?;
    Some(here.all(|p| p.accuracy_mean > best - 0.1))
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
        "expected": chip.repeated_expected, "sigmas": sigmas, "agree": reads == chip.reads && sigmas < 3.5,
    })
}

/// Published figures with ours beside them, where there is one.
fn published_rows(largest: Option<&NetworkResult>) -> Vec<serde_json::Value> {
    let ours = |quantity: &str| {
        let n = largest?;
        match quantity {
            "power" => Some(format!("{:.2} ({})", n.watts(), n.network)),
            "energy_per_mac" => {
                Some(format!("{} ({}, memory included)", number(n.joules_per_mac()), n.network))
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
                "ours": ours(&f.quantity).unwrap_or_else(|| "not compared yet".into()),
                "mark": f.mark.to_string(), "source": f.source,
            })
        })
        .collect()
}

/// Hash of the built-in images and labels, one file after the other.
fn data_hash() -> String {
    devices::sha256(&mirage_training::FASHION_MNIST_FILES.map(|(_, bytes)| bytes).concat())
}

fn marks(provenance: &[Provenance]) -> Vec<serde_json::Value> {
    let count = |mark: &str| provenance.iter().filter(|p| p.mark == mark).count();
    let all =
        MARKS.iter().map(|(mark, meaning)| json!({ "mark": mark, "meaning": meaning, "count": count(mark) }));
    all.filter(|m| m["count"] != 0).collect()
}

fn provenance(folder: &Folder, design: &Design) -> Result<()> {
    let rows = design.document.provenance()?.into_iter().map(|p| [p.key, p.value, p.mark, p.source]);
    folder.table("provenance.csv", &["key", "value", "mark", "source"], rows)
}
