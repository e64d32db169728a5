//! One fuzzer for all readers: the environment variable `READER` names the one that gets the bytes.
//!
//! A reader may refuse its input with an error; it must not panic, hang or take memory without bound.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mirage_arithmetic::{ArithmeticSection, GemmEntry, GroupSample, OperandHistogram, ResidueChannel};
use mirage_calibration::kinds::{Given, Input, Kind};
use mirage_design::Document;
use mirage_devices::DevicesSection;
use mirage_devices::circuit::{Circuit, Netlist};
use mirage_devices::component::Library;
use mirage_devices::files::{
    InterconnectFile, SParameters, Selection, TimeConvention, read_touchstone, write_touchstone,
};
use mirage_devices::heat::{HeaterMap, Layout, ThermalMatrix};
use mirage_system::System;
use mirage_system::import::{read_onnx, read_scale_sim};
use mirage_training::{Dataset, Network, Task, TrainConfig, TrainingSection};
use std::sync::OnceLock;

type Reader = fn(&[u8]);

/// Every reader by name; `fuzz/run.sh` asks for the names.
const READERS: &[(&str, Reader)] = &[
    ("design", design),
    ("channel", |bytes| drop(ResidueChannel::read_csv(bytes, "fuzz.csv"))),
    ("operands", |bytes| drop(OperandHistogram::read_csv(bytes, "fuzz.csv"))),
    ("groups", |bytes| drop(GroupSample::read_csv(bytes, "fuzz.csv"))),
    ("gemms", |bytes| drop(GemmEntry::read_csv(bytes, "fuzz.csv"))),
    ("layers", |bytes| text(bytes, |t| step(mirage_system::Network::parse(t, "fuzz.csv").ok()))),
    ("onnx", |bytes| step(read_onnx(bytes, "fuzz.onnx", &[]).ok().map(|read| read.network))),
    ("scale-sim", |bytes| text(bytes, |t| step(read_scale_sim(t, "fuzz.csv").ok().map(|read| read.network)))),
    ("images", |bytes| drop(mirage_training::parse_idx_images(bytes, "fuzz"))),
    ("cifar", |bytes| drop(mirage_training::parse_cifar(bytes, "fuzz"))),
    ("checkpoint", checkpoint),
    ("labels", |bytes| drop(mirage_training::parse_idx_labels(bytes, "fuzz", 10))),
    ("spectrum", |bytes| drop(mirage_calibration::Spectrum::read(bytes, "fuzz.csv"))),
    ("matlab", |bytes| drop(mirage_calibration::Spectrum::read(bytes, "fuzz.mat"))),
    ("adc-survey", |bytes| text(bytes, |t| drop(mirage_calibration::AdcSurvey::read(t, "fuzz.csv")))),
    ("phase-shifter", |bytes| curve("phase-shifter", &[], bytes)),
    ("step-response", |bytes| curve("step-response", &[], bytes)),
    ("thermal-crosstalk", |bytes| curve("thermal-crosstalk", &["offset=fitted"], bytes)),
    ("photodiode", |bytes| curve("photodiode", &["samples=100"], bytes)),
    ("variation", |bytes| curve("variation", &[], bytes)),
    ("converters", |bytes| curve("converters", &["quantile=50%", "resamples=50"], bytes)),
    ("netlist", |bytes| text(bytes, netlist)),
    ("thermal-matrix", |bytes| text(bytes, thermal_matrix)),
    ("thermal-layout", |bytes| text(bytes, thermal_layout)),
    ("process", |bytes| text(bytes, |t| drop(mirage_devices::variation::Process::read_xml(t, "fuzz.xml")))),
    ("sparam", |bytes| text(bytes, sparam)),
    ("touchstone", |bytes| text(bytes, touchstone)),
    ("guide-table", |bytes| text(bytes, |t| drop(mirage_devices::component::GuideTable::read(t, "fuzz.txt")))),
];

/// What a network that was read is for: its size and a training step.
fn step(network: Option<mirage_system::Network>) {
    if let Some(network) = network {
        std::hint::black_box((network.macs().ok(), network.parameters().ok()));
        let step = network.step(3, mirage_system::workload::Optimiser::Adam);
        std::hint::black_box(step.ok().map(|step| (step.macs().ok(), step.vector_operations(None).ok())));
    }
}

fn text(bytes: &[u8], read: impl Fn(&str)) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        read(text);
    }
}

/// A table of measured numbers, all the way through its fit; long ones only take time.
fn curve(kind: &str, set: &[&str], bytes: &[u8]) {
    if bytes.len() > 4096 {
        return;
    }
    let kind = Kind::named(kind).expect("a kind");
    let given = Given::read(set, kind.settings).expect("settings of that kind");
    drop(kind.fit(&[Input { file: "fuzz.csv".into(), bytes: bytes.to_vec() }], None, &given));
}

/// A netlist, the circuit that it stands for, and its text again.
fn netlist(text: &str) {
    let Ok(netlist) = Netlist::read(text, "fuzz.yml") else { return };
    drop(Circuit::new(&netlist, &Library::standard()));
    assert_eq!(Netlist::read(&netlist.to_yaml(), "again.yml").as_ref(), Ok(&netlist));
}

/// The state of a run as a checkpoint holds it, behind the checksum that no fuzzer finds.
fn checkpoint(bytes: &[u8]) {
    static TASK: OnceLock<(Network, Dataset)> = OnceLock::new();
    let (network, data) = TASK.get_or_init(|| {
        let data = mirage_training::fashion_mnist_subset().expect("it is inside").first(20, 10);
        let network = Network::builder("n", 1, 28, 28).linear("d", 10).expect("a network").build();
        (network, data)
    });
    let task = Task { network, data, config: &TrainConfig::default(), weights: None };
    std::hint::black_box(mirage_training::is_state(bytes, task));
}

/// A whole design, section by section, down to the plain parameters.
fn design(bytes: &[u8]) {
    text(bytes, |t| {
        let Ok(document) = Document::new(t, "fuzz.toml") else { return };
        // Whatever file of heaters the design names.
        let heaters = |_: &str| Ok("guide,0.0,1.0\n0.0,0,0.01\n1.0,0.01,0\n".to_owned());
        if let Ok(devices) = DevicesSection::read_with(&document, heaters) {
            drop(devices.design_point(16));
        }
        if let Ok(arithmetic) = document.section::<ArithmeticSection>("arithmetic") {
            drop(arithmetic.check());
        }
        if let Ok(system) = document.section::<System>("system") {
            drop(system.check());
        }
        if let Ok(training) = document.section::<TrainingSection>("training") {
            drop(training.check());
        }
    });
}

/// A matrix, and the one that a design may name: every entry at its stage, or an error.
fn thermal_matrix(text: &str) {
    drop(ThermalMatrix::read_csv(text, "fuzz.csv"));
    if let Ok(map) = HeaterMap::read_matrix(text, "fuzz.csv") {
        map_of_heaters(&map);
    }
}

fn thermal_layout(text: &str) {
    drop(Layout::read_csv(text, "fuzz.csv"));
    if let Ok(map) = HeaterMap::read_layout(text, "fuzz.csv") {
        map_of_heaters(&map);
    }
}

fn map_of_heaters(map: &HeaterMap) {
    let (group, digits) = map.size();
    assert!(group * digits >= 1 && map.guide(group, 0).is_none() && map.guide(0, digits).is_none());
    assert!(map.is_measured() != map.guide(0, 0).is_some());
}

/// INTERCONNECT S-parameters: the first table of the file, all the way to its report.
fn sparam(text: &str) {
    let Ok(file) = InterconnectFile::read(text, "fuzz.dat") else { return };
    let firsts = file.sweeps().into_iter().filter_map(|(name, values)| Some((name, *values.first()?)));
    let selection = Selection { mode: None, sweep: firsts.collect() };
    if let Ok(table) = file.select(&selection) {
        report(&table);
    }
}

fn touchstone(text: &str) {
    for name in ["fuzz.s1p", "fuzz.s2p", "fuzz.s3p"] {
        if let Ok(read) = read_touchstone(text, name, TimeConvention::Engineering) {
            report(&read.parameters);
            let again = write_touchstone(&read.parameters, TimeConvention::Engineering);
            assert!(read_touchstone(&again, name, TimeConvention::Engineering).is_ok(), "what is written reads again");
        }
    }
}

fn report(table: &SParameters) {
    assert!(table.reciprocity().deviation >= 0.0);
    assert!(table.enforced().passivity().singular_value.is_finite());
    let (low, high) = table.range();
    assert!(table.at(0.5 * low + 0.5 * high).is_some());
}

fn chosen() -> Reader {
    static READER: OnceLock<Reader> = OnceLock::new();
    *READER.get_or_init(|| {
        let wanted = std::env::var("READER").unwrap_or_default();
        let names: Vec<&str> = READERS.iter().map(|r| r.0).collect();
        match READERS.iter().find(|r| r.0 == wanted) {
            Some(reader) => reader.1,
            None => {
                // The list is for run.sh; anything else is a slip of whoever called.
                println!("{}", names.join(" "));
                std::process::exit(i32::from(wanted != "list"));
            }
        }
    })
}

fuzz_target!(|bytes: &[u8]| chosen()(bytes));
