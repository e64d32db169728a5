use proptest::prelude::*;

use super::{circuit, points, problem};
use crate::circuit::{Cell, Circuit, Netlist, Solver};
use crate::component::Library;

const FLAT: &str = "
instances:
  split: {component: coupler_ideal, settings: {coupling: 0.3}}
  wg: {component: straight, settings: {length: 10.0}, info: {length: 12.0, weight: 3}, array: {columns: 2, rows: 1, column_pitch: 5.0}}
connections: {'split,out0': 'wg<0.0>,in0'}
nets:
  - {p1: 'split,out1', p2: 'wg<1.0>,in0', name: upper}
placements: {split: {x: 0, y: 1.5, mirror: false}}
ports: {in: 'split,in0', a: 'wg<0.0>,out0', b: 'wg<1.0>,o2'}
";

#[test]
fn one_netlist_in_many_forms() {
    let at = points(&[1.55]);
    let expected = circuit(FLAT).response(&at, Solver::Auto).unwrap();
    let netlist = Netlist::read(FLAT, "a.yml").unwrap();
    for text in [netlist.to_yaml(), netlist.to_json()] {
        let again = Netlist::read(&text, "b").unwrap();
        assert_eq!(again, netlist, "{text}");
        let response = circuit(&text).response(&at, Solver::Auto).unwrap();
        assert_eq!(response.at("b", "in", 0), expected.at("b", "in", 0));
    }
    serde_json::from_str::<serde_json::Value>(&netlist.to_json()).unwrap();
    // `info` lies over `settings`: 12 um, not 10.
    let phase = expected.at("a", "in", 0).unwrap().arg();
    let turns: f64 = 2.34 * 12.0 / 1.55;
    assert!((phase - std::f64::consts::TAU * (turns - turns.round())).abs() < 1e-9);
}

#[test]
fn names_of_cells_survive() {
    let body = "instances: {a: straight}, ports: {i: 'a,in0'}";
    for text in
        [format!("{{{body}, name: x}}"), format!("{{x: {{{body}}}}}"), format!("{{x: {{{body}, name: y}}}}")]
    {
        let netlist = Netlist::read(&text, "a").unwrap();
        assert_eq!(netlist.cells[0].name, "x");
        assert_eq!(Netlist::read(&netlist.to_yaml(), "b").unwrap(), netlist);
        assert_eq!(Netlist::read(&netlist.to_json(), "c").unwrap(), netlist);
    }
}

#[test]
fn routes_are_nets() {
    let text = "
instances: {a: straight, b: straight}
routes: {bundle: {links: {'a,o2': 'b,o1'}, settings: {}}}
ports: {in: 'a,o1', out: 'b,o2'}
";
    assert!(
        circuit(text).response(&points(&[1.55]), Solver::Auto).unwrap().at("out", "in", 0).unwrap().norm()
            > 0.99
    );
    let netlist = Netlist::read(text, "a").unwrap();
    assert_eq!(Netlist::read(&netlist.to_yaml(), "b").unwrap(), netlist);
}

const RECURSIVE: &str = "
twice:
  instances: {first: arm, second: {component: arm, settings: {wg: {length: 7.0}}}}
  connections: {'first,right': 'second,left'}
  ports: {in: 'first,left', out: 'second,right'}
arm:
  instances: {wg: {component: straight, settings: {length: 3.0}}, att: {component: attenuator, settings: {loss: 1.0}}}
  connections: {'wg,out0': 'att,in0'}
  ports: {left: 'wg,in0', right: 'att,out0'}
";

#[test]
fn cells_within_cells() {
    let mut twice = circuit(RECURSIVE);
    let at = points(&[1.55]);
    let transfer = |c: &Circuit| c.response(&at, Solver::Auto).unwrap().at("out", "in", 0).unwrap();
    let turns: f64 = 2.34 * 10.0 / 1.55;
    let expected = num_complex::Complex64::from_polar(10f64.powf(-0.1), std::f64::consts::TAU * turns);
    assert!((transfer(&twice) - expected).norm() < 1e-12);
    twice.set("second~wg", "length", (7.0 + 1.55 / 2.34 / 2.0).into()).unwrap();
    assert!((transfer(&twice) + expected).norm() < 1e-12);
    let netlist = Netlist::read(RECURSIVE, "a").unwrap();
    for text in [netlist.to_yaml(), netlist.to_json()] {
        assert_eq!(Netlist::read(&text, "b").unwrap(), netlist, "{text}");
    }
    // Another cell, and a cell that is called top_level, can be the circuit.
    let arm = Circuit::new(&netlist.clone().with_top("arm").unwrap(), &Library::standard()).unwrap();
    assert_eq!(arm.ports().collect::<Vec<_>>(), ["left", "right"]);
    assert!(netlist.with_top("arn").unwrap_err().to_string().contains("did you mean `arm`?"));
    let renamed = RECURSIVE.replace("arm", "top_level").replace("top_level,", "arm,");
    assert_eq!(circuit(&renamed).ports().collect::<Vec<_>>(), ["left", "right"]);
}

#[test]
fn a_component_wins_over_a_cell_of_its_name() {
    let text = "
top: {instances: {a: straight}, ports: {in: 'a,in0', out: 'a,out0'}}
straight: {instances: {b: mirror}, ports: {in0: 'b,in0', out0: 'b,out0'}}
";
    assert!(
        circuit(text).response(&points(&[1.55]), Solver::Auto).unwrap().at("out", "in", 0).unwrap().norm()
            > 0.99
    );
}

/// Each mistake, and what its message must say.
#[test]
fn bad_netlists_give_one_clear_error() {
    let guide = "instances:\n  a: straight\n  b: straight\n";
    let cases = [
        (
            "instances:\n  a: striaght\nports: {i: 'a,in0'}",
            "test.yml:2: instance `a`: unknown component `striaght`; did you mean `straight`?",
        ),
        (
            "instances:\n  a:\n    component: straight\n    settings: {lenght: 1}\nports: {i: 'a,in0'}",
            "test.yml:4: instance `a` (straight): unknown setting `lenght`; did you mean `length`?",
        ),
        (
            "instances: {a: {component: straight, settings: {length: long}}}\nports: {i: 'a,in0'}",
            "is a number, not the text",
        ),
        (
            "instances: {a: {component: straight, settings: {length: true}}}\nports: {i: 'a,in0'}",
            "not true or false",
        ),
        ("instances: {a: {component: straight, settings: {length: -1}}}\nports: {i: 'a,in0'}", "at least 0"),
        ("instances: {a: {component: straight, settings: {length: .nan}}}\nports: {i: 'a,in0'}", "finite"),
        (
            "instances: {a: {component: straight, setings: {length: 1}}}\nports: {i: 'a,in0'}",
            "unknown key `setings` in instance `a`; did you mean `settings`?",
        ),
        (&format!("{guide}ports: {{i: 'a,out1'}}"), "has no port `out1`; did you mean `out0`?"),
        (&format!("{guide}ports: {{i: 'c,in0'}}"), "no instance `c`"),
        (
            &format!("{guide}connections:\n  a,out0: b,in0\n  a,in0: b,in0\nports: {{o: 'b,out0'}}"),
            "test.yml:6: port `b,in0` is used twice",
        ),
        (
            &format!("{guide}connections: {{'a,out0': 'b,in0'}}\nports: {{i: 'a,out0'}}"),
            "port `a,out0` is used twice",
        ),
        (&format!("{guide}connections: {{'a,out0': 'a,out0'}}\nports: {{i: 'a,in0'}}"), "used twice"),
        (
            &format!("{guide}connections: {{'a,out0': 'b'}}\nports: {{i: 'a,in0'}}"),
            "`b` is no `instance,port`",
        ),
        (&format!("{guide}connections: {{'a,out0': 5}}\nports: {{i: 'a,in0'}}"), "`5` is no `instance,port`"),
        (
            &format!("{guide}connections: [a]\nports: {{i: 'a,in0'}}"),
            "`connections` must be a map, not a list",
        ),
        (
            &format!("{guide}  a: straight\nports: {{i: 'a,in0'}}"),
            "test.yml:4: `a` stands here for the second time",
        ),
        (
            &format!("{guide}netz: []\nports: {{i: 'a,in0'}}"),
            "unknown key `netz` in a cell; did you mean `nets`?",
        ),
        (&format!("{guide}nets: [{{p1: 'a,in0'}}]\nports: {{i: 'a,in0'}}"), "a net needs `p2"),
        (guide, "has no `ports`"),
        ("ports: {i: 'a,in0'}", "`ports` is no cell"),
        ("- a\n- b\n", "a netlist must be a map, not a list"),
        ("instances: {a: {settings: {}}}\nports: {i: 'a,in0'}", "names no `component`"),
        (
            "instances: {a: {component: straight, array: {columns: 0, rows: 1}}}\nports: {i: 'a,in0'}",
            "whole numbers from 1",
        ),
        (
            "instances: {a: {component: straight, array: {columns: 2, rows: 1}}}\nports: {i: 'a,in0'}",
            "it is an array, say `a<0.0>,in0`",
        ),
        (
            "a: {instances: {x: b}, ports: {i: 'x,i'}}\nb: {instances: {y: a}, ports: {i: 'y,i'}}",
            "recursion without end: cell `a` contains itself through `a`, `b`",
        ),
        (
            "a: {instances: {x: {component: b, settings: {z: {length: 1}}}}, ports: {i: 'x,i'}}\nb: {instances: {y: straight}, ports: {i: 'y,in0'}}",
            "cell `b` has no instance `z`",
        ),
    ];
    for (text, expected) in cases {
        let found = problem(text);
        assert!(found.contains(expected), "{text}\nsays: {found}\nnot: {expected}");
    }
}

#[test]
fn cells_cannot_multiply_without_bound() {
    let mut text = String::from("c0: {instances: {a: c1, b: c1}, ports: {i: 'a,i'}}\n");
    for i in 1..60 {
        text.push_str(&format!("c{i}: {{instances: {{a: c{}, b: c{}}}, ports: {{}}}}\n", i + 1, i + 1));
    }
    text.push_str("c60: {instances: {}, ports: {}}\n");
    assert!(problem(&text).contains("more than 300000 parts"));
}

#[test]
fn mistakes_of_the_builder_are_found() {
    let make = |cell: Cell| Circuit::new(&Netlist::new(cell), &Library::standard()).unwrap_err().to_string();
    let twice =
        Cell::new("c").instance("a", "straight", &[]).instance("a", "straight", &[]).port("i", "a,in0");
    assert!(make(twice).contains("instance `a` stands here for the second time"));
    let port = Cell::new("c").instance("a", "straight", &[]).port("i", "a,in0").port("i", "a,out0");
    assert!(make(port).contains("port `i` stands here for the second time"));
    let netlist = Netlist::new(Cell::new("c")).with_cell(Cell::new("c"));
    assert!(Circuit::new(&netlist, &Library::standard()).unwrap_err().to_string().contains("cell `c`"));
}

#[test]
fn layout_settings_can_be_left_out() {
    let text = "{instances: {a: {component: straight, settings: {length: 5, cross_section: strip}}}, ports: {i: 'a,in0'}}";
    assert!(problem(text).contains("unknown setting `cross_section`"));
    let netlist = Netlist::read(text, "a").unwrap();
    assert_eq!(Circuit::lenient(&netlist, &Library::standard()).unwrap().ignored(), ["a.cross_section"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Words of a netlist in any order are a netlist or an error, never a panic.
    #[test]
    fn no_text_makes_the_reader_panic(words in prop::collection::vec(prop::sample::select(vec![
        "instances", "ports", "nets", "connections", "a", "straight", "a,in0", ":", ": ", "\n", "\n  ", "{", "}", "[", "]",
        ",", "'", "\"", "- ", "component", "settings", "array", "1", ".5", "&x ", "*x", "|", "?", "!!str ", "#", "\t", "é",
        "<0.0>", "p1", "p2", "null", "~",
    ]), 0..60)) {
        let text = words.concat();
        if let Ok(netlist) = Netlist::read(&text, "x") {
            let _ = Circuit::new(&netlist, &Library::standard());
            prop_assert_eq!(Netlist::read(&netlist.to_yaml(), "y").unwrap(), netlist.clone());
            prop_assert_eq!(Netlist::read(&netlist.to_json(), "z").unwrap(), netlist);
        }
    }

    /// Any names and texts survive writing and reading.
    #[test]
    fn written_text_is_read_again(name in "\\PC{0,12}", value in any::<f64>().prop_filter("finite", |x| x.is_finite()), text in ".{0,20}") {
        let cell = Cell::new("top_level").instance(&name, "c", &[("x", value.into()), ("t", text.as_str().into())]).port(&text, &name);
        let netlist = Netlist::new(cell);
        prop_assert_eq!(&Netlist::read(&netlist.to_yaml(), "y").unwrap(), &netlist);
        prop_assert_eq!(&Netlist::read(&netlist.to_json(), "z").unwrap(), &netlist);
    }
}
