//! What the devices say goes through a file into the arithmetic, and comes out of it at the rates that went in.

use mirage_arithmetic::{EmulatedGemm, GemmConfig, Matrix, Moduli, Pass, ResidueChannel, Site, SlipCode};
use mirage_devices::{Bench, FrontEnd, MdpuParameters, Operands, Provenance, characterise};
use statrs::distribution::{ChiSquared, ContinuousCDF};

#[test]
fn wrong_reads_follow_the_devices_channel() {
    let moduli = Moduli::mirage();
    let code = SlipCode::with_changes(&moduli, &[17, 23, 17]).unwrap();
    let operands: Vec<Operands> = moduli.as_slice().iter().map(|&m| Operands::uniform(m)).collect();
    let mut parameters = MdpuParameters::ideal(16);
    parameters.detector.front_end = FrontEnd::InputNoise(1.128e-6);
    (parameters.trim.fabrication, parameters.trim.resolution) = (0.5, 0.01);
    let bench = Bench::new(&parameters, moduli.as_slice(), &operands).unwrap();
    // The power at which residues are misread once in a few hundred.
    let mirage_devices::RequiredPower::Power(power) = bench.required_power(4e-3, 1.0) else {
        panic!("no floor here")
    };
    let provenance = Provenance { design: "test".into(), seed: 1 };
    let channel = characterise(&bench, power, &moduli, &code, &operands, &provenance).unwrap().channel;
    let mut file = Vec::new();
    channel.write_csv(&mut file).unwrap();
    let channel = ResidueChannel::read_csv(&file[..], "channel.csv").unwrap();

    let config = GemmConfig { code, ..GemmConfig::mirage(11) };
    let gemm = EmulatedGemm::new(config, Some(channel.clone())).unwrap();
    let (m, k, n) = (96, 512, 96);
    let data: Vec<f32> = (0..m * k).map(|i| ((i * 7919 + i / 31) % 2003) as f32 / 1001.5 - 1.0).collect();
    let matrix = Matrix::new(&data, m, k);
    let mut out = vec![0.0; m * n];
    // One count a step: their scatter must be that of independent errors, and their mean the channel's.
    let steps = 40;
    let rate: f64 = moduli.as_slice().iter().map(|&m| channel.error_rate(m).unwrap()).sum::<f64>() / 3.0;
    let mut statistic = 0.0;
    for step in 0..steps {
        let site = Site { layer: 2, pass: Pass::Forward, step };
        let counters = gemm.multiply(site, matrix, matrix.transposed(), &mut out);
        let expected = counters.residues as f64 * rate;
        statistic += (counters.wrong as f64 - expected).powi(2) / (expected * (1.0 - rate));
    }
    let law = ChiSquared::new(steps as f64).unwrap();
    assert!(
        law.sf(statistic) > 1e-4 && law.cdf(statistic) > 1e-4,
        "chi-squared {statistic} for {steps} counts"
    );
}
