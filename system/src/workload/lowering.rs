//! Layers become products: C (M x N) = A (M x K) B (K x N), the paper's first operand being A.
//!
//! A convolution with filters R x S over C channels, batch B and output P x Q is, per group of channels,
//!
//! | pass | product | M | K | N |
//! |---|---|---|---|---|
//! | forward | O = W X | filters | R S C | B P Q |
//! | dX | dX = W^T dO | R S C | filters | B P Q |
//! | dW | dW = dO X^T | filters | B P Q | R S C |
//!
//! A dense layer is a convolution of 1 x 1 over its positions. A product of two activations, C = A B, has
//! the gradients dA = dC B^T (here under dX) and dB = A^T dC (here under dW), once per copy and sample.

use mirage_arithmetic::{GemmEntry, Pass};

use super::{Kind, Layer, Network};
use crate::SystemError;

impl Network {
    /// The products of one training step with `batch` samples, layer by layer.
    ///
    /// # Errors
    /// [`SystemError::EmptyBatch`], or [`SystemError::Overflow`] if a size passes 2^64.
    pub fn training_step(&self, batch: u64) -> Result<Vec<GemmEntry>, SystemError> {
        if batch == 0 {
            return Err(SystemError::EmptyBatch);
        }
        let mut entries = Vec::with_capacity(3 * self.layers.len());
        for layer in &self.layers {
            for pass in Pass::ALL {
                if let Some([m, k, n, repeats]) = layer.product(pass, batch)? {
                    let (network, layer) = (self.name.clone(), layer.name.clone());
                    entries.push(GemmEntry { network, layer, pass, m, k, n, repeats });
                }
            }
        }
        Ok(entries)
    }
}

impl Layer {
    /// M, K, N and repeats of one pass; `None` where there is nothing to multiply.
    pub(super) fn product(&self, pass: Pass, batch: u64) -> Result<Option<[u64; 4]>, SystemError> {
        if pass == Pass::InputGradient && !self.input_gradient {
            return Ok(None);
        }
        match self.kind {
            Kind::Product => {
                let (rows, inner, columns) = (self.in_height, self.in_channels, self.out_channels);
                let repeats = self.multiply(&[batch, self.groups])?;
                Ok(Some(match pass {
                    Pass::Forward => [rows, inner, columns, repeats],
                    Pass::InputGradient => [rows, columns, inner, repeats],
                    Pass::WeightGradient => [inner, rows, columns, repeats],
                }))
            }
            Kind::Convolution | Kind::Linear => {
                let (height, width) = self.output_size();
                let filters = self.out_channels / self.groups.max(1);
                let channels = self.in_channels / self.groups.max(1);
                let window = self.multiply(&[self.kernel_height, self.kernel_width, channels])?;
                let positions = self.multiply(&[batch, height, width])?;
                Ok(Some(match pass {
                    Pass::Forward => [filters, window, positions, self.groups],
                    Pass::InputGradient => [window, filters, positions, self.groups],
                    Pass::WeightGradient => [filters, positions, window, self.groups],
                }))
            }
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{all, builtin};
    use super::*;

    fn entry(entries: &[GemmEntry], layer: &str, pass: Pass) -> [u64; 4] {
        let found = entries.iter().find(|e| e.layer == layer && e.pass == pass);
        let e = found.unwrap_or_else(|| panic!("{layer} {pass}"));
        [e.m, e.k, e.n, e.repeats]
    }

    #[test]
    fn a_convolution_has_its_three_products() {
        let entries = builtin("resnet50").unwrap().training_step(256).unwrap();
        let positions = 256 * 28 * 28;
        let layer = "layer2.0.conv2";
        assert_eq!(entry(&entries, layer, Pass::Forward), [128, 9 * 128, positions, 1]);
        assert_eq!(entry(&entries, layer, Pass::InputGradient), [9 * 128, 128, positions, 1]);
        assert_eq!(entry(&entries, layer, Pass::WeightGradient), [128, positions, 9 * 128, 1]);
        assert!(!entries.iter().any(|e| e.layer == "conv1" && e.pass == Pass::InputGradient));
        assert_eq!(entry(&entries, "fc", Pass::Forward), [1000, 2048, 256, 1]);
    }

    #[test]
    fn groups_and_heads_repeat() {
        let entries = builtin("mobilenetv2").unwrap().training_step(2).unwrap();
        assert_eq!(entry(&entries, "features.1.depthwise", Pass::Forward), [1, 9, 2 * 112 * 112, 32]);
        assert_eq!(entry(&entries, "features.1.depthwise", Pass::WeightGradient), [1, 2 * 112 * 112, 9, 32]);
        let entries = builtin("transformer").unwrap().training_step(3).unwrap();
        assert_eq!(entry(&entries, "encoder.0.self.scores", Pass::Forward), [25, 128, 25, 12]);
        assert_eq!(entry(&entries, "encoder.0.self.context", Pass::InputGradient), [25, 128, 25, 12]);
        assert_eq!(entry(&entries, "encoder.0.self.context", Pass::WeightGradient), [25, 25, 128, 12]);
        assert_eq!(entry(&entries, "decoder.output", Pass::Forward), [6632, 512, 75, 1]);
    }

    #[test]
    fn forward_products_do_the_macs_of_the_network() {
        for network in all().unwrap() {
            let entries = network.training_step(7).unwrap();
            let macs = |pass| {
                let of_pass = entries.iter().filter(|e| e.pass == pass);
                of_pass.map(|e| e.m * e.k * e.n * e.repeats).sum::<u64>()
            };
            assert_eq!(macs(Pass::Forward), 7 * network.macs().unwrap());
            assert_eq!(macs(Pass::WeightGradient), macs(Pass::Forward), "each pass does the same work");
            assert!(macs(Pass::InputGradient) <= macs(Pass::Forward));
        }
    }

    #[test]
    fn impossible_batches_are_refused() {
        let network = builtin("vgg16").unwrap();
        assert!(matches!(network.training_step(0), Err(SystemError::EmptyBatch)));
        assert!(matches!(network.training_step(u64::MAX), Err(SystemError::Overflow { .. })));
    }
}
