//! Circuits: netlists of components, and two solvers for them.
//!
//! A [`Netlist`] is read from YAML or JSON as SAX and gdsfactory write it, or made in Rust with [`Cell`]; a [`Circuit`] is the
//! netlist with its components found and its connections checked; a [`Plan`] is what is worked out once from its structure;
//! a [`Response`] is the scattering matrix between its ports at every point.
//!
//! ```
//! use mirage_devices::circuit::{Circuit, Netlist, Solver};
//! use mirage_devices::component::{Library, Points};
//!
//! let text = "
//! instances:
//!   split: coupler_ideal
//!   long: {component: straight, settings: {length: 35.0}}
//!   short: {component: straight, settings: {length: 10.0}}
//!   join: coupler_ideal
//! connections:
//!   split,out0: long,in0
//!   split,out1: short,in0
//!   long,out0: join,in0
//!   short,out0: join,in1
//! ports: {in: 'split,in0', bar: 'join,out0', cross: 'join,out1'}
//! ";
//! let circuit = Circuit::new(&Netlist::read(text, "mzi.yml")?, &Library::standard())?;
//! let points = Points::new(vec![1.54e-6, 1.55e-6, 1.56e-6]).unwrap();
//! let response = circuit.response(&points, Solver::Auto)?;
//! let power = |out| response.at(out, "in", 1).unwrap().norm_sqr();
//! assert!((power("bar") + power("cross") - 1.0).abs() < 1e-12);
//! # Ok::<(), mirage_devices::circuit::CircuitError>(())
//! ```
//!
//! # Which solver
//!
//! [`Solver::Forward`] serves circuits in which light never comes back: no loop and no reflection that is met by another one.
//! [`Solver::General`] serves all, and costs more. [`Solver::Auto`] takes the forward one where it can, judged by the elements
//! of the S-matrices that are not zero at the given points and lie between the wanted ports; both give the same result.

mod eliminate;
mod error;
mod flatten;
mod forward;
mod general;
mod graph;
mod lanes;
mod netlist;
mod node;
mod plan;
mod read;
mod schedule;
mod wide;
mod write;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use num_complex::Complex64;

use crate::component::{Component, Library, Points, Scattering, Settings, Value};
use flatten::{Flat, Part};

pub use error::CircuitError;
pub use netlist::{Cell, Netlist};
pub use plan::{Plan, Solver};

/// A netlist with its components found and its connections checked.
#[derive(Debug, Clone)]
pub struct Circuit {
    flat: Flat,
    file: Option<String>,
    /// Parts with the same component and settings are evaluated once.
    groups: Vec<Group>,
    group_of: Vec<usize>,
}

#[derive(Debug, Clone)]
struct Group {
    component: Arc<dyn Component>,
    settings: Settings,
    /// The component's, asked for once.
    ports: usize,
    couplings: Vec<(usize, usize)>,
    /// A part of the group, for messages.
    part: usize,
    parts: usize,
}

impl Group {
    fn new(component: Arc<dyn Component>, settings: Settings, part: usize) -> Self {
        let (ports, couplings) = (component.ports().len(), component.couplings());
        Self { component, settings, ports, couplings, part, parts: 1 }
    }
}

impl Circuit {
    /// Finds the components of a netlist in the library and checks settings and connections.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line: an unknown component, setting or port (the closest match is named), a
    /// port used twice, a connection that leads nowhere, a name given twice, cells that contain themselves.
    pub fn new(netlist: &Netlist, library: &Library) -> Result<Self, CircuitError> {
        Self::build(netlist, library, false)
    }

    /// The same, but leaves out settings that a component does not know, such as those that gdsfactory gives for the layout;
    /// [`Circuit::ignored`] names them.
    ///
    /// # Errors
    /// As [`Circuit::new`], but for unknown settings.
    pub fn lenient(netlist: &Netlist, library: &Library) -> Result<Self, CircuitError> {
        Self::build(netlist, library, true)
    }

    fn build(netlist: &Netlist, library: &Library, lenient: bool) -> Result<Self, CircuitError> {
        let flat = flatten::flatten(netlist, library, lenient)?;
        let mut groups: Vec<Group> = Vec::new();
        let mut known: HashMap<Vec<u64>, Vec<usize>> = HashMap::new();
        let mut group_of = Vec::with_capacity(flat.parts.len());
        for (index, part) in flat.parts.iter().enumerate() {
            let alike = known.entry(part.settings.fingerprint()).or_default();
            let same = |g: &&usize| {
                let group = &groups[**g];
                group.component.name() == part.component.name() && group.settings == part.settings
            };
            let group = match alike.iter().find(same) {
                Some(&group) => {
                    groups[group].parts += 1;
                    group
                }
                None => {
                    alike.push(groups.len());
                    groups.push(Group::new(part.component.clone(), part.settings.clone(), index));
                    groups.len() - 1
                }
            };
            group_of.push(group);
        }
        Ok(Self { flat, file: netlist.file.clone(), groups, group_of })
    }

    /// Names of the ports to the outside.
    pub fn ports(&self) -> impl Iterator<Item = &str> {
        self.flat.ports.iter().map(|(name, _)| name.as_str())
    }

    /// Number of components.
    pub fn size(&self) -> usize {
        self.flat.parts.len()
    }

    /// Settings that [`Circuit::lenient`] left out, as `instance.setting`.
    pub fn ignored(&self) -> &[String] {
        &self.flat.ignored
    }

    /// Ports, as `instance,port`, that are neither connected nor have a name to the outside, of parts that have another port which
    /// is: light that gets there leaves the circuit. Parts without any connection are not among them, as no light gets to them.
    pub fn open_ports(&self) -> Vec<String> {
        let mut used = vec![false; self.flat.port_count];
        let connected = self.flat.connections.iter().flat_map(|&(a, b)| [a, b]);
        connected.chain(self.flat.ports.iter().map(|(_, port)| *port)).for_each(|port| used[port] = true);
        let mut open = Vec::new();
        for part in &self.flat.parts {
            let names = part.component.ports();
            let own = &used[part.first_port..][..names.len()];
            if own.contains(&true) {
                let left = names.iter().zip(own).filter(|(_, used)| !**used);
                open.extend(left.map(|(port, _)| format!("{},{port}", part.name)));
            }
        }
        open
    }

    /// Gives one part another setting; parts within cells are `outer~inner`. Plans stay valid.
    ///
    /// # Errors
    /// An unknown part or setting (the closest match is named), a value of the wrong type or out of range, a setting on which
    /// the ports of a part depend.
    pub fn set(&mut self, part: &str, setting: &str, value: Value) -> Result<(), CircuitError> {
        let Some(index) = self.flat.parts.iter().position(|p| p.name == part) else {
            let hint = mirage_design::hint(part, self.flat.parts.iter().map(|p| p.name.as_str()));
            return Err(self.error(CircuitError::new(format!("no instance `{part}`{hint}"))));
        };
        let old = &self.groups[self.group_of[index]];
        let mut settings = old.settings.clone();
        let wrong = |problem: String| {
            let message = format!("instance `{part}` ({}): {problem}", old.component.name());
            CircuitError::new(message).in_file(self.file.as_deref())
        };
        settings.set(setting, value).map_err(|e| wrong(e.problem))?;
        let loaded = old.component.load(&settings).map_err(|e| wrong(e.problem))?;
        let component = loaded.unwrap_or_else(|| old.component.clone());
        if component.ports() != old.component.ports() {
            return Err(wrong(format!("setting `{setting}` changes the ports: give it in the netlist")));
        }
        let group = Group::new(component, settings, index);
        let number = self.group_of[index];
        if self.groups[number].parts == 1 {
            self.groups[number] = group;
            return Ok(());
        }
        self.groups[number].parts -= 1;
        if self.groups[number].part == index {
            let other = (0..self.group_of.len()).find(|p| *p != index && self.group_of[*p] == number);
            self.groups[number].part = other.unwrap_or(index);
        }
        self.group_of[index] = self.groups.len();
        self.groups.push(group);
        Ok(())
    }

    /// The same with the value as text, which may carry a unit ([`crate::component::Setting::parse`]).
    ///
    /// # Errors
    /// As [`Circuit::set`], and text that is no value of the setting.
    pub fn set_text(&mut self, part: &str, setting: &str, text: &str) -> Result<(), CircuitError> {
        let declared = self.flat.parts.iter().find(|p| p.name == part).map(|p| p.component.settings());
        let parsed = declared.and_then(|d| d.iter().find(|s| s.name == setting)).map(|s| s.parse(text));
        // Unknown names are refused by `set`, whatever the value.
        let value = parsed.unwrap_or(Ok(Value::Text(text.to_owned())));
        let value = value.map_err(|e| self.error(CircuitError::new(format!("instance `{part}`: {e}"))))?;
        self.set(part, setting, value)
    }

    /// Plans and solves at once, between all ports.
    ///
    /// # Errors
    /// As [`Circuit::plan`] and [`Circuit::solve`].
    pub fn response(&self, points: &Points, solver: Solver) -> Result<Response, CircuitError> {
        let elements = self.evaluate(points)?;
        let all: Vec<&str> = self.ports().collect();
        let plan = self.plan_for(&elements, &all, &all, solver)?;
        self.solve_for(&plan, &elements, points)
    }

    /// Works out, once, how light from `inputs` gets to `outputs`. The plan holds for all settings and points at which no
    /// element of an S-matrix is other than zero that was zero at these.
    ///
    /// # Errors
    /// An unknown port or one named twice, settings that do not fit the points; the loop that forbids [`Solver::Forward`].
    pub fn plan(
        &self,
        points: &Points,
        inputs: &[&str],
        outputs: &[&str],
        solver: Solver,
    ) -> Result<Plan, CircuitError> {
        self.plan_for(&self.evaluate(points)?, inputs, outputs, solver)
    }

    /// Evaluates a plan at every point.
    ///
    /// # Errors
    /// Settings or points at which a component is not known, or for which the plan does not hold; a resonance without loss.
    pub fn solve(&self, plan: &Plan, points: &Points) -> Result<Response, CircuitError> {
        self.solve_for(plan, &self.evaluate(points)?, points)
    }

    /// The S-matrices of all groups.
    fn evaluate(&self, points: &Points) -> Result<Vec<Scattering>, CircuitError> {
        if points.is_empty() {
            return Err(self.error(CircuitError::new("there are no points to evaluate")));
        }
        let lanes: usize = self.groups.iter().map(|g| g.couplings.len()).sum();
        if lanes.saturating_mul(points.len()) > plan::MOST_VALUES {
            let message =
                format!("{} components at {} points are too much at once", self.groups.len(), points.len());
            return Err(self.error(CircuitError::new(message)));
        }
        let one = |group: &Group| {
            let mut s = Scattering::new(group.ports, &group.couplings, points.len());
            let checked = group.settings.check_points(points.len());
            checked
                .and_then(|()| group.component.scatter(points, &group.settings, &mut s))
                .map_err(|e| e.problem)?;
            s.problem().map_or(Ok(s), Err)
        };
        let wrong = |group: &Group, problem: String| {
            let part = &self.flat.parts[group.part];
            let message = format!("instance `{}` ({}): {problem}", part.name, group.component.name());
            self.error(CircuitError::new(message).at_line(part.line))
        };
        self.groups.iter().map(|group| one(group).map_err(|problem| wrong(group, problem))).collect()
    }

    fn error(&self, error: CircuitError) -> CircuitError {
        error.in_file(self.file.as_deref())
    }

    /// The part that a port belongs to, and the port's name in it.
    fn port_name(&self, port: usize) -> String {
        let after = self.flat.parts.partition_point(|p: &Part| p.first_port <= port);
        let Some(part) = after.checked_sub(1).map(|i| &self.flat.parts[i]) else { return String::new() };
        let names = part.component.ports();
        format!("{},{}", part.name, names.get(port - part.first_port).unwrap_or(&""))
    }
}

/// The scattering matrix between the ports of a circuit at every point.
#[derive(Debug, Clone)]
pub struct Response {
    ports: Vec<String>,
    s: Scattering,
    pairs: Vec<(usize, usize)>,
}

impl Response {
    /// Names of the ports, in the order of the netlist.
    pub fn ports(&self) -> &[String] {
        &self.ports
    }

    /// The S-matrices, indexed (out, in) by the ports' order. Elements between ports that were not wanted are absent.
    pub fn scattering(&self) -> &Scattering {
        &self.s
    }

    /// The (out, in) pairs that light can take, in ascending order.
    pub fn pairs(&self) -> &[(usize, usize)] {
        &self.pairs
    }

    /// The element (out, in) at a point, by the ports' names; `None` for a name or point that there is not.
    pub fn at(&self, out: &str, input: &str, point: usize) -> Option<Complex64> {
        let index = |name: &str| self.ports.iter().position(|p| p == name);
        let (out, input) = (index(out)?, index(input)?);
        (point < self.s.points()).then(|| self.s.at(out, input, point))
    }
}
