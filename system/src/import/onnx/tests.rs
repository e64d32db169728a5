//! Real graphs against the built-in tables, small ones by hand, and damaged ones.

use mirage_arithmetic::Pass;
use onnx_rs::ast::*;

use super::*;
use crate::builtin;
use crate::workload::{Kind, Optimiser, Source};

const RESNET18: &[u8] = include_bytes!("../../../../data/onnx/resnet18.onnx");
const VGG16: &[u8] = include_bytes!("../../../../data/onnx/vgg16.onnx");
const TRANSFORMER: &[u8] = include_bytes!("../../../../data/onnx/transformer.onnx");

#[test]
fn graphs_of_torchvision_have_the_products_of_the_tables() {
    for (bytes, name) in [(RESNET18, "resnet18"), (VGG16, "vgg16")] {
        let imported = read_onnx(bytes, name, &[]).unwrap();
        assert_eq!(imported.unsupported, []);
        let table = builtin(name).unwrap();
        let sizes = |network: &crate::Network| -> Vec<(Pass, [u64; 4])> {
            let products = network.training_step(256).unwrap();
            products.iter().map(|e| (e.pass, [e.m, e.k, e.n, e.repeats])).collect()
        };
        assert_eq!(sizes(&imported.network), sizes(&table), "{name}");
        // The vector work too, but for the normalisations that the export folded into ResNet's convolutions.
        let work = |network: &crate::Network, kind| {
            network.step(2, Optimiser::Momentum).unwrap().vector_operations(Some(kind)).unwrap()
        };
        use crate::workload::VectorKind::{Elementwise, Loss, Pooling};
        for kind in [Pooling, Elementwise, Loss] {
            assert_eq!(work(&imported.network, kind), work(&table, kind), "{name} {kind:?}");
        }
    }
    let vgg = read_onnx(VGG16, "vgg16", &[]).unwrap().network;
    assert_eq!(vgg.parameters(), builtin("vgg16").unwrap().parameters());
}

/// Every shape that the exporter wrote agrees with ours (a difference is an error); its products by hand.
#[test]
fn a_transformer_by_hand() {
    let imported = read_onnx(TRANSFORMER, "transformer", &[]).unwrap();
    assert_eq!(imported.unsupported, []);
    let (tokens, width, hidden, words) = (64, 512, 2048, 37_000);
    let attention = 4 * tokens * width * width + 2 * tokens * tokens * width;
    let feed = 2 * tokens * width * hidden;
    let macs = 6 * (attention + feed) + 6 * (2 * attention + feed) + tokens * width * words;
    assert_eq!(imported.network.macs().unwrap(), macs);
    // nn.Transformer(512, 8): 44,140,544 parameters as PyTorch counts them; two embeddings, an output layer.
    assert_eq!(
        imported.network.parameters().unwrap(),
        44_140_544 + 3 * words * width + if imported.network.layers.last().unwrap().bias { words } else { 0 }
    );
    assert!(imported.network.linked());
}

fn value(name: &'static str, shape: &[i64]) -> ValueInfo<'static> {
    let dim = |&size: &i64| TensorShapeDimension {
        value: if size < 0 { Dimension::Param("N") } else { Dimension::Value(size) },
        denotation: "",
    };
    let shape = TensorShape { dim: shape.iter().map(dim).collect() };
    let tensor = TensorTypeProto { elem_type: DataType::Float, shape: Some(shape) };
    ValueInfo {
        name,
        r#type: Some(TypeProto { value: Some(TypeValue::Tensor(tensor)), denotation: "" }),
        ..Default::default()
    }
}

fn node(
    op: &'static str,
    input: &[&'static str],
    output: &[&'static str],
    attribute: Vec<Attribute<'static>>,
) -> Node<'static> {
    Node {
        op_type: OpType::from(op),
        input: input.to_vec(),
        output: output.to_vec(),
        attribute,
        name: output[0],
        ..Default::default()
    }
}

fn ints(name: &'static str, ints: &[i64]) -> Attribute<'static> {
    Attribute { name, r#type: AttributeType::Ints, ints: ints.to_vec(), ..Default::default() }
}

fn int(name: &'static str, i: i64) -> Attribute<'static> {
    Attribute { name, r#type: AttributeType::Int, i, ..Default::default() }
}

fn text(name: &'static str, s: &'static [u8]) -> Attribute<'static> {
    Attribute { name, r#type: AttributeType::String, s, ..Default::default() }
}

/// Weights of this shape, without values.
fn weights(name: &'static str, dims: &[i64]) -> TensorProto<'static> {
    TensorProto::from_raw(name, dims.to_vec(), DataType::Float, &[])
        .with_data_location(DataLocation::External)
}

fn model(
    input: &[ValueInfo<'static>],
    initializer: Vec<TensorProto<'static>>,
    node: Vec<Node<'static>>,
    value_info: Vec<ValueInfo<'static>>,
) -> Vec<u8> {
    let output = node.last().map(|node| ValueInfo { name: node.output[0], ..Default::default() });
    let graph = Graph {
        name: "g",
        node,
        initializer,
        input: input.to_vec(),
        output: output.into_iter().collect(),
        value_info,
        ..Default::default()
    };
    onnx_rs::encode(&Model { ir_version: 9, graph: Some(graph), ..Default::default() })
}

fn failure(bytes: &[u8]) -> String {
    read_onnx(bytes, "m.onnx", &[]).unwrap_err().to_string()
}

/// Asymmetric pads, dilation, groups, `auto_pad`, an axis without a size, `Gemm` turned over, a batched product.
#[test]
fn products_of_all_forms() {
    let bytes = model(
        &[value("x", &[-1, 4, 10, 12])],
        vec![
            weights("w", &[6, 2, 3, 3]),
            weights("v", &[8, 6, 2, 2]),
            weights("f", &[5, 480]),
            weights("b", &[5]),
        ],
        vec![
            node(
                "Conv",
                &["x", "w"],
                &["c"],
                vec![ints("pads", &[0, 2, 1, 1]), ints("dilations", &[1, 2]), int("group", 2)],
            ),
            node("Conv", &["c", "v"], &["d"], vec![text("auto_pad", b"SAME_LOWER")]),
            node("HardSwish", &["d"], &["e"], vec![]),
            node(
                "MaxPool",
                &["e"],
                &["p"],
                vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2]), int("ceil_mode", 1)],
            ),
            node("Transpose", &["p"], &["t"], vec![ints("perm", &[0, 1, 3, 2])]),
            node("MatMul", &["p", "t"], &["q"], vec![]),
            node("Concat", &["d", "d"], &["dd"], vec![int("axis", 1)]),
            node("Flatten", &["e"], &["flat"], vec![]),
            node(
                "Slice",
                &["flat"],
                &["s"],
                vec![ints("starts", &[0]), ints("ends", &[480]), ints("axes", &[1])],
            ),
            node("Gemm", &["s", "f", "b"], &["y"], vec![int("transB", 1)]),
        ],
        vec![],
    );
    let imported = read_onnx(&bytes, "a/b.onnx", &[]).unwrap();
    let network = imported.network;
    assert_eq!(network.name, "b");
    let batch = "the first axis of input x (`N`) is its batch: 1 for each sample; --batch counts samples";
    assert_eq!(imported.assumed, [batch]);
    assert!(network.notes.iter().any(|note| note == batch));
    let layer = |name: &str| {
        network.layers.iter().find(|layer| layer.name == name).unwrap_or_else(|| panic!("{name}"))
    };
    // Rows 10 + 0 + 1 - 2, columns 12 + 2 + 1 - 4.
    assert_eq!(layer("c").output_size(), (9, 11));
    assert!(!layer("c").input_gradient);
    assert_eq!((layer("d").output_size(), layer("d").padding), ((9, 11), [1, 1, 0, 0]));
    assert_eq!(layer("p").output_size(), (5, 6));
    let product = layer("q");
    assert_eq!((product.kind, product.groups), (Kind::Product, 8));
    assert_eq!((product.in_height, product.in_channels, product.out_channels), (5, 6, 5));
    assert_eq!((layer("y").in_channels, layer("y").out_channels, layer("y").bias), (480, 5, true));
    assert_eq!(layer("dd").kind, Kind::Concat);
    let given = read_onnx(&bytes, "b.onnx", &[("M".to_owned(), 3)]).unwrap_err().to_string();
    assert!(given.contains("no input of the graph has an axis called `M`"), "{given}");
    let given = read_onnx(&bytes, "b.onnx", &[("N".to_owned(), 3)]).unwrap_err().to_string();
    assert!(given.contains("export it with a batch of 1"), "{given}");
    network.step(4, Optimiser::Adam).unwrap();
}

/// What is not known is named and counted, or refused where its size matters.
#[test]
fn unknown_operators_are_named() {
    let nodes = || {
        vec![
            node("Conv", &["x", "w"], &["c"], vec![]),
            node("GridSample", &["c", "c"], &["g"], vec![]),
            node("Relu", &["g"], &["r"], vec![]),
            node("Conv", &["r", "v"], &["d"], vec![]),
        ]
    };
    let input = [value("x", &[1, 3, 8, 8])];
    let initial = || vec![weights("w", &[4, 3, 1, 1]), weights("v", &[4, 4, 1, 1])];
    let imported =
        read_onnx(&model(&input, initial(), nodes(), vec![value("g", &[1, 4, 5, 5])]), "m", &[]).unwrap();
    assert_eq!(imported.unsupported.len(), 1);
    let unknown = &imported.unsupported[0];
    assert_eq!(
        (unknown.operator.as_str(), unknown.node.as_str(), unknown.elements),
        ("GridSample", "g", Some(100))
    );
    let step = imported.network.step(3, Optimiser::Momentum).unwrap();
    // Forward, and backward for each of its two inputs.
    assert_eq!(step.vector_operations(Some(crate::workload::VectorKind::Other)).unwrap(), 3 * 300);
    assert_eq!(imported.network.layers.last().unwrap().inputs, [Source::Layer(1)]);
    let message = failure(&model(&input, initial(), nodes(), vec![]));
    assert!(
        message.contains("node r (Relu): the shape of input 1 is not known; operators that are not known")
            && message.contains("GridSample (node g)"),
        "{message}"
    );
    // The same among constants.
    let nodes = vec![node("Fancy", &["w"], &["f"], vec![]), node("MatMul", &["x", "f"], &["y"], vec![])];
    let message = failure(&model(&[value("x", &[1, 8])], vec![weights("w", &[8, 4])], nodes, vec![]));
    assert!(message.contains("input 2 is not known") && message.contains("Fancy (node f)"), "{message}");
}

/// What the file states does not hide a contradiction, and helps where the rules know nothing.
#[test]
fn contradictions_are_not_stated_away() {
    let product = |inner: i64, stated: Vec<ValueInfo<'static>>| {
        let nodes = vec![node("MatMul", &["x", "w"], &["y"], vec![])];
        model(&[value("x", &[1, 8])], vec![weights("w", &[inner, 4])], nodes, stated)
    };
    let stated = || vec![value("y", &[1, 4])];
    assert!(read_onnx(&product(8, stated()), "m", &[]).is_ok());
    for stated in [vec![], stated()] {
        let message = failure(&product(9, stated));
        assert!(message.contains("node y (MatMul): a product of [1, 8] and [9, 4]"), "{message}");
    }
    let two = |node: Node<'static>, stated: &[i64]| {
        let product = model(
            &[value("x", &[1, 2, 3])],
            vec![weights("w", &[2, 4])],
            vec![node],
            vec![value("y", stated)],
        );
        failure(&product)
    };
    for (node, expected) in [
        (node("Add", &["x", "w"], &["y"], vec![]), "do not fit element by element"),
        (node("Concat", &["x", "w"], &["y"], vec![int("axis", 1)]), "do not fit beside one another"),
        (node("Transpose", &["x"], &["y"], vec![ints("perm", &[0, 0, 1])]), "names axis 0 twice"),
        (node("Softmax", &["x"], &["y"], vec![]), "but the file says [1, 2, 4]"),
    ] {
        let message = two(node, &[1, 2, 4]);
        assert!(message.contains(expected), "{message}");
    }
    // A constant that contradicts itself is no better.
    let nodes = vec![node("Add", &["v", "w"], &["c"], vec![]), node("MatMul", &["x", "c"], &["y"], vec![])];
    let initial = vec![weights("v", &[8, 3]), weights("w", &[8, 4])];
    let message = failure(&model(&[value("x", &[1, 8])], initial, nodes, vec![value("c", &[8, 4])]));
    assert!(message.contains("node c (Add): tensors of [8, 3] and [8, 4]"), "{message}");
}

/// Only the batch, the first axis, may be without a size; the same name elsewhere is the same axis.
#[test]
fn axes_need_sizes() {
    let named = |dims: &[&'static str]| {
        let mut info = value("x", &vec![8; dims.len() + 1]);
        if let Some(TypeProto { value: Some(TypeValue::Tensor(tensor)), .. }) = &mut info.r#type
            && let Some(shape) = &mut tensor.shape
        {
            for (axis, name) in shape.dim.iter_mut().zip(dims) {
                axis.value = if name.is_empty() { Dimension::Value(0) } else { Dimension::Param(name) };
            }
        }
        info
    };
    let graph = |input: ValueInfo<'static>| {
        model(
            &[input],
            vec![weights("w", &[8, 4])],
            vec![node("MatMul", &["x", "w"], &["y"], vec![])],
            vec![],
        )
    };
    let sequence = graph(named(&["N", "seq"]));
    let message = failure(&sequence);
    assert!(
        message.contains("input x: its axis 1 (from 0), `seq`, has no size: give one with --axis seq=SIZE"),
        "{message}"
    );
    let rows = |axes: &[(String, u64)], bytes: &[u8]| {
        let imported = read_onnx(bytes, "m", axes).unwrap();
        (imported.network.layers[0].in_height, imported.assumed.len())
    };
    assert_eq!(rows(&[("seq".to_owned(), 5)], &sequence), (5, 1));
    // A batch that is given is part of every sample, and no longer assumed.
    assert_eq!(rows(&[("seq".to_owned(), 5), ("N".to_owned(), 3)], &sequence), (15, 0));
    let message = read_onnx(&sequence, "m", &[("seq".to_owned(), 5), ("seq".to_owned(), 6)]).unwrap_err();
    assert!(message.message.contains("given two sizes"), "{message}");
    assert_eq!(rows(&[], &graph(named(&[""]))), (1, 1));
    let message = failure(&graph(named(&["N", ""])));
    assert!(message.contains("its axis 1 (from 0) has neither a name nor a size"), "{message}");
    // The same name is the same axis.
    assert_eq!(rows(&[], &graph(named(&["N", "N"]))), (1, 1));
}

#[test]
fn bad_graphs_are_refused() {
    let input = || [value("x", &[1, 3, 8, 8])];
    let w = || vec![weights("w", &[4, 3, 3, 3])];
    let conv = |attributes| vec![node("Conv", &["x", "w"], &["c"], attributes)];
    let cases: [(Vec<u8>, &str); 13] = [
        (b"hello".to_vec(), "this is no ONNX model"),
        (Vec::new(), "the model has no graph"),
        (model(&input(), vec![], vec![], vec![]), "the graph is empty"),
        (
            model(
                &input(),
                vec![],
                vec![node("Add", &["x", "b"], &["a"], vec![]), node("Relu", &["a"], &["b"], vec![])],
                vec![],
            ),
            "the graph has a cycle, at or before a, b",
        ),
        (
            model(&input(), vec![], vec![node("Relu", &["z"], &["y"], vec![])], vec![]),
            "node y reads `z`, which nobody makes",
        ),
        (
            model(&input(), vec![], vec![node("Relu", &["x"], &["x"], vec![])], vec![]),
            "the value `x` is made twice",
        ),
        (model(&[value("x", &[1, 3, i64::MAX, 8])], w(), conv(vec![]), vec![]), "is not between 1 and"),
        (
            model(&input(), vec![weights("w", &[4, -3, 3, 3])], conv(vec![]), vec![]),
            "initialiser w: a size of -3",
        ),
        (model(&input(), w(), conv(vec![ints("strides", &[0, 1])]), vec![]), "node c (Conv): a size of 0"),
        (
            model(&input(), w(), conv(vec![ints("pads", &[0, 1])]), vec![]),
            "pads has 2 numbers where 4 are needed",
        ),
        (
            model(&[value("x", &[1, 3, 2, 8])], w(), conv(vec![]), vec![]),
            "a filter of [3, 3] does not fit on an input of [2, 8]",
        ),
        (
            model(&input(), w(), conv(vec![]), vec![value("c", &[1, 4, 7, 6])]),
            "but the file says [1, 4, 7, 6]",
        ),
        (
            model(
                &[value("x", &[1 << 40, 1 << 40])],
                vec![],
                vec![node("Flatten", &["x"], &["y"], vec![int("axis", 0)])],
                vec![],
            ),
            "more elements than can be counted",
        ),
    ];
    for (bytes, expected) in cases {
        let message = failure(&bytes);
        assert!(message.contains(expected), "{message}\nshould contain {expected}");
    }
}

/// Bytes that a disk or a hand has damaged give an error or a network, never a panic; the same bytes each time.
#[test]
fn damaged_graphs_are_refused_or_read() {
    use rand::Rng;
    let mut random = rand_pcg::Pcg64::new(5, 7);
    let mut draw = |below: usize| (random.next_u64() % below as u64) as usize;
    let (mut refused, mut read) = (0, 0);
    for round in 0..1500 {
        let mut bytes = if round % 3 == 0 { VGG16.to_vec() } else { RESNET18.to_vec() };
        for _ in 0..1 + draw(6) {
            let at = draw(bytes.len());
            match draw(3) {
                0 => bytes[at] = draw(256) as u8,
                1 => bytes[at] ^= 1 << draw(8),
                _ => bytes.truncate(at.max(bytes.len() / 2)),
            }
        }
        match read_onnx(&bytes, "damaged.onnx", &[]) {
            Err(error) => {
                assert!(!error.message.is_empty());
                refused += 1;
            }
            Ok(imported) => {
                // A size may have become one that cannot be counted.
                let _ = imported.network.step(2, Optimiser::Momentum);
                read += 1;
            }
        }
    }
    assert!(refused > 100 && read > 100, "{refused} {read}");
}
