use super::error::CircuitError;
use super::forward::Forward;
use super::general::General;
use super::graph::{Element, Graph, Wanted};
use super::lanes::{Planar, Shared};
use super::{Circuit, Response};
use crate::component::{Points, Scattering};
use mirage_design::hint;

/// Values of a response beyond which it is refused: 4 GiB.
pub(super) const MOST_VALUES: usize = 1 << 28;

/// How a circuit is solved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Solver {
    /// Forward where it can be, general otherwise.
    Auto,
    /// In topological order, for circuits without loops.
    Forward,
    /// Sparse elimination, for all circuits.
    General,
}

/// What is worked out once from the structure of a circuit.
#[derive(Debug, Clone)]
pub struct Plan {
    wanted: Wanted,
    elements: Vec<Element>,
    /// Elements of each part that are not zero.
    non_zero: Vec<Vec<(usize, usize)>>,
    wave_ports: Vec<usize>,
    sources: usize,
    method: Method,
    /// Ports on a loop, if there is one.
    round: Vec<String>,
    waves: usize,
}

#[derive(Debug, Clone)]
enum Method {
    Forward(Forward),
    General(General),
}

impl Plan {
    /// The solver that was taken.
    pub fn solver(&self) -> Solver {
        match self.method {
            Method::Forward(_) => Solver::Forward,
            Method::General(_) => Solver::General,
        }
    }

    /// The solver that was taken and why, in a line.
    pub fn reason(&self) -> String {
        match (&self.method, self.round.is_empty()) {
            (Method::Forward(_), _) => {
                format!("forward: light never comes back on the {} inner waves", self.waves)
            }
            (Method::General(g), true) => {
                format!("general: {} steps on {} inner waves", g.op_count(), self.waves)
            }
            (Method::General(g), false) => format!(
                "general: {} steps on {} inner waves; light comes back through {}",
                g.op_count(),
                self.waves,
                describe(&self.round)
            ),
        }
    }
}

/// A loop in words, shortened in its middle.
fn describe(round: &[String]) -> String {
    const SHOWN: usize = 6;
    let mut words: Vec<&str> = round.iter().take(SHOWN).map(String::as_str).collect();
    if round.len() > SHOWN {
        words.push("..");
    }
    words.extend(round.first().map(String::as_str));
    words.join(" -> ")
}

impl Circuit {
    pub(super) fn plan_for(
        &self,
        evaluated: &[Scattering],
        inputs: &[&str],
        outputs: &[&str],
        solver: Solver,
    ) -> Result<Plan, CircuitError> {
        let wanted = Wanted { inputs: self.find(inputs)?, outputs: self.find(outputs)? };
        let groups: Vec<_> = self.groups.iter().zip(evaluated).map(|(g, s)| non_zero(g, s)).collect();
        let by_part: Vec<&[(usize, usize)]> = self.group_of.iter().map(|g| groups[*g].as_slice()).collect();
        let graph = Graph::new(&self.flat, &by_part, &wanted);
        let name = |node: &usize| self.port_name(graph.wave_ports[node - graph.sources]);
        let (method, round) = match (solver, Forward::new(&graph)) {
            (Solver::Auto | Solver::Forward, Ok(forward)) => (Method::Forward(forward), Vec::new()),
            (Solver::Forward, Err(round)) => {
                let round: Vec<String> = round.iter().map(name).collect();
                let message = format!(
                    "the forward solver cannot be taken: light comes back through {}; take the general one",
                    describe(&round)
                );
                return Err(self.error(CircuitError::new(message)));
            }
            (_, found) => {
                let too_large = || CircuitError::new("the circuit is too large for the general solver");
                let general = General::new(&graph).ok_or_else(too_large)?;
                (Method::General(general), found.err().unwrap_or_default().iter().map(name).collect())
            }
        };
        let Graph { sources, waves, elements, wave_ports, .. } = graph;
        let non_zero = by_part.into_iter().map(<[_]>::to_vec).collect();
        Ok(Plan { wanted, elements, non_zero, wave_ports, sources, method, round, waves })
    }

    /// Ports by name.
    fn find(&self, names: &[&str]) -> Result<Vec<usize>, CircuitError> {
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            let Some(index) = self.ports().position(|p| p == *name) else {
                let message = format!("the circuit has no port `{name}`{}", hint(name, self.ports()));
                return Err(self.error(CircuitError::new(message)));
            };
            if found.contains(&index) {
                return Err(self.error(CircuitError::new(format!("port `{name}` is named twice"))));
            }
            found.push(index);
        }
        Ok(found)
    }

    pub(super) fn solve_for(
        &self,
        plan: &Plan,
        evaluated: &[Scattering],
        points: &Points,
    ) -> Result<Response, CircuitError> {
        self.check_holds(plan, evaluated)?;
        let zeros = vec![0.0; points.len()];
        let shared = self.share(plan, evaluated, (&zeros, &zeros));
        let pairs: Vec<(usize, usize)> = match &plan.method {
            Method::Forward(f) => f.pairs().to_vec(),
            Method::General(g) => g.pairs(),
        };
        let mut pairs: Vec<_> =
            pairs.into_iter().map(|(o, i)| (plan.wanted.outputs[o], plan.wanted.inputs[i])).collect();
        if pairs.len().saturating_mul(points.len()) > MOST_VALUES {
            let message =
                format!("{} pairs of ports at {} points are too much at once", pairs.len(), points.len());
            return Err(self.error(CircuitError::new(message)));
        }
        let mut s = Scattering::with_lanes(self.flat.ports.len(), &pairs, points.len());
        match &plan.method {
            Method::Forward(forward) => forward.solve(&shared, points.len(), s.planes_mut()),
            Method::General(general) => general
                .solve(&shared, points.len(), s.planes_mut())
                .map_err(|(node, start)| self.singular(plan, node, start, points))?,
        }
        if let Some(problem) = s.problem() {
            let message = format!("the circuit {problem}: its parts amplify without bound");
            return Err(self.error(CircuitError::new(message)));
        }
        pairs.sort_unstable();
        Ok(Response { ports: self.ports().map(str::to_owned).collect(), s, pairs })
    }

    /// The elements of a plan's graph; `zeros` stand where nothing was written.
    fn share<'a>(&self, plan: &Plan, evaluated: &'a [Scattering], zeros: Planar<'a>) -> Shared<'a> {
        // Lanes are counted through all groups; the zeros come last.
        let mut first = Vec::with_capacity(evaluated.len());
        let mut count = 0;
        for s in evaluated {
            first.push(count);
            count += s.lane_count();
        }
        let element = |e: &Element| {
            let group = self.group_of[e.part as usize];
            let (s, out, input) = (&evaluated[group], e.out as usize, e.input as usize);
            s.lane_number(out, input)
                .zip(s.lane(out, input))
                .map_or((count, zeros), |(l, v)| (first[group] + l, v))
        };
        Shared::new(count + 1, plan.elements.iter().map(element))
    }

    /// A plan was made for this circuit's structure, and leaves out nothing that is not zero now.
    fn check_holds(&self, plan: &Plan, evaluated: &[Scattering]) -> Result<(), CircuitError> {
        let groups: Vec<_> = self.groups.iter().zip(evaluated).map(|(g, s)| non_zero(g, s)).collect();
        let covered =
            |part: usize| groups[self.group_of[part]].iter().all(|p| plan.non_zero[part].contains(p));
        if plan.non_zero.len() != self.group_of.len() {
            return Err(self.error(CircuitError::new("the plan was made for another circuit")));
        }
        match (0..self.group_of.len()).find(|part| !covered(*part)) {
            None => Ok(()),
            Some(part) => Err(self.error(CircuitError::new(format!(
                "the plan does not hold: instance `{}` couples ports that it did not couple when the plan was made; plan again",
                self.flat.parts[part].name
            )))),
        }
    }

    fn singular(&self, plan: &Plan, node: u32, start: usize, points: &Points) -> CircuitError {
        let port = plan.wave_ports.get(node as usize - plan.sources).map(|p| self.port_name(*p));
        let near = points.wavelengths().get(start).map_or(0.0, |w| w * 1e6);
        self.error(CircuitError::new(format!(
            "resonance without loss near {near} um: light into `{}` comes back to it undiminished and in phase; add loss or \
             leave the resonance",
            port.unwrap_or_default()
        )))
    }
}

/// The declared couplings of a group that are not zero at every point.
fn non_zero(group: &super::Group, s: &Scattering) -> Vec<(usize, usize)> {
    let some = |&(out, input): &(usize, usize)| {
        let (re, im) = s.lane(out, input).unwrap_or_default();
        re.iter().chain(im).any(|x| *x != 0.0)
    };
    group.couplings.iter().copied().filter(some).collect()
}
