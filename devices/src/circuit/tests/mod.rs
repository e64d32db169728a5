mod netlists;
mod physics;
mod random;

use super::{Circuit, Netlist};
use crate::component::{Library, Points};

fn circuit(text: &str) -> Circuit {
    Circuit::new(&Netlist::read(text, "test.yml").unwrap(), &Library::standard()).unwrap()
}

/// What is wrong with a netlist, whether it shows when it is read or when a circuit is made of it.
fn problem(text: &str) -> String {
    let made = Netlist::read(text, "test.yml").and_then(|n| Circuit::new(&n, &Library::standard()));
    made.unwrap_err().to_string()
}

fn points(wavelengths_um: &[f64]) -> Points {
    Points::new(wavelengths_um.iter().map(|w| w * 1e-6).collect()).unwrap()
}
