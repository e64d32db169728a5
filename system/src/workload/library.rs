//! The seven networks that Mirage is known to be evaluated on, as tables in `data/workloads`.

use mirage_design::closest;

use super::Network;
use crate::SystemError;

/// Names of the built-in networks.
pub const NETWORKS: [&str; 7] =
    ["AlexNet", "ResNet-18", "ResNet-50", "VGG-16", "MobileNetV2", "YOLOv2", "Transformer"];

const TABLES: [(&str, &str); 7] = [
    ("alexnet.csv", include_str!("../../../data/workloads/alexnet.csv")),
    ("resnet18.csv", include_str!("../../../data/workloads/resnet18.csv")),
    ("resnet50.csv", include_str!("../../../data/workloads/resnet50.csv")),
    ("vgg16.csv", include_str!("../../../data/workloads/vgg16.csv")),
    ("mobilenetv2.csv", include_str!("../../../data/workloads/mobilenetv2.csv")),
    ("yolov2.csv", include_str!("../../../data/workloads/yolov2.csv")),
    ("transformer.csv", include_str!("../../../data/workloads/transformer.csv")),
];

/// A built-in network; case, hyphens and blanks do not matter (`resnet18` is `ResNet-18`).
///
/// # Errors
/// [`SystemError::UnknownNetwork`], with the closest name.
pub fn builtin(name: &str) -> Result<Network, SystemError> {
    let wanted = plain(name);
    for ((file, text), network) in TABLES.iter().zip(NETWORKS) {
        if plain(network) == wanted {
            return Ok(Network::parse(text, file)?);
        }
    }
    let known = NETWORKS.map(plain);
    let nearest = closest(&wanted, known.iter().map(String::as_str));
    let nearest = nearest.and_then(|near| NETWORKS.into_iter().find(|network| plain(network) == near));
    Err(SystemError::UnknownNetwork { name: name.to_owned(), closest: nearest })
}

/// All built-in networks, in the order of [`NETWORKS`].
///
/// # Errors
/// None in practice: the tables are tested.
pub fn all() -> Result<Vec<Network>, SystemError> {
    NETWORKS.into_iter().map(builtin).collect()
}

fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::published;

    #[test]
    fn sizes_are_the_published_ones() {
        let figures = published::networks();
        let mut seen = 0;
        for network in all().unwrap() {
            let ours = [("parameters", network.parameters().unwrap()), ("macs", network.macs().unwrap())];
            for (quantity, value) in ours {
                let Some(figure) =
                    figures.iter().find(|f| f.subject == network.name && f.quantity == quantity)
                else {
                    continue;
                };
                let off = value as f64 / figure.value - 1.0;
                assert!(off.abs() < 0.01, "{} {quantity}: {value}, published {}", network.name, figure.value);
                // Parameters can be counted exactly, and are.
                assert!(quantity != "parameters" || off == 0.0, "{}: {value} parameters", network.name);
                seen += 1;
            }
        }
        assert_eq!(seen, figures.len());
    }

    #[test]
    fn names_are_forgiving_and_unknown_ones_are_not() {
        assert_eq!(builtin("vgg16").unwrap().name, "VGG-16");
        assert_eq!(builtin("ResNet 50").unwrap().name, "ResNet-50");
        let error = builtin("resnet51").unwrap_err().to_string();
        assert!(error.contains("did you mean ResNet-50?"), "{error}");
        assert!(builtin("").is_err());
    }
}
