//! Writes small ONNX files.

/// A message of the protobuf encoding.
#[derive(Clone, Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn number(mut self, field: u64, number: i64) -> Self {
        self.varint(field << 3);
        self.varint(number.cast_unsigned());
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    fn float(mut self, field: u64, number: f32) -> Self {
        self.varint(field << 3 | 5);
        self.0.extend(number.to_le_bytes());
        self
    }
}

/// Value of an attribute.
#[derive(Clone)]
pub(crate) enum Attribute {
    Int(i64),
    Ints(&'static [i64]),
    Float(f32),
    String(&'static str),
    /// A branch of an If.
    Branch(Graph),
}

/// A graph from `x` to `y`.
#[derive(Clone, Default)]
pub(crate) struct Graph {
    nodes: Vec<Message>,
    weights: Vec<Message>,
    /// Version of the operator set, unless it is [`OPSET`].
    opset: Option<i64>,
}

/// Version of the operator set of most graphs.
const OPSET: i64 = 20;

impl Graph {
    /// Changes the version of the operator set.
    pub(crate) fn version(self, opset: i64) -> Self {
        Self { opset: Some(opset), ..self }
    }

    /// Appends a node. Its inputs and its outputs are separated by spaces.
    pub(crate) fn node(self, operator: &str, inputs: &str, outputs: &str) -> Self {
        self.node_with(operator, inputs, outputs, &[])
    }

    pub(crate) fn node_with(
        mut self,
        operator: &str,
        inputs: &str,
        outputs: &str,
        attributes: &[(&str, Attribute)],
    ) -> Self {
        let names = inputs.split(' ').filter(|_| !inputs.is_empty());
        let mut node =
            names.fold(Message::default(), |node, input| node.bytes(1, input.as_bytes()));
        node = outputs.split(' ').fold(node, |node, output| node.bytes(2, output.as_bytes()));
        node = node.bytes(4, operator.as_bytes());
        for (name, value) in attributes {
            let attribute = Message::default().bytes(1, name.as_bytes());
            let attribute = match value {
                Attribute::Float(number) => attribute.float(2, *number).number(20, 1),
                Attribute::Int(number) => attribute.number(3, *number).number(20, 2),
                Attribute::String(text) => attribute.bytes(4, text.as_bytes()).number(20, 3),
                Attribute::Ints(numbers) => numbers
                    .iter()
                    .fold(attribute, |attribute, &number| attribute.number(8, number))
                    .number(20, 7),
                Attribute::Branch(graph) => attribute.bytes(6, &graph.branch().0).number(20, 5),
            };
            node = node.bytes(5, &attribute.0);
        }
        self.nodes.push(node);
        self
    }

    pub(crate) fn floats(self, name: &str, dims: &[i64], values: &[f32]) -> Self {
        self.weight(
            name,
            dims,
            1,
            &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>(),
        )
    }

    pub(crate) fn booleans(self, name: &str, dims: &[i64], values: &[bool]) -> Self {
        self.weight(name, dims, 9, &values.iter().copied().map(u8::from).collect::<Vec<_>>())
    }

    pub(crate) fn integers(self, name: &str, dims: &[i64], values: &[i64]) -> Self {
        self.weight(
            name,
            dims,
            7,
            &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>(),
        )
    }

    fn weight(mut self, name: &str, dims: &[i64], kind: i64, data: &[u8]) -> Self {
        let weight = dims.iter().fold(Message::default(), |weight, &dim| weight.number(1, dim));
        self.weights.push(weight.number(2, kind).bytes(8, name.as_bytes()).bytes(9, data));
        self
    }

    /// Returns the graph of a branch, whose output is "b".
    fn branch(&self) -> Message {
        let graph =
            self.nodes.iter().fold(Message::default(), |graph, node| graph.bytes(1, &node.0));
        graph.bytes(2, b"branch").bytes(12, &Message::default().bytes(1, b"b").0)
    }

    /// Returns the file of a model whose input has floats with these dimensions.
    pub(crate) fn file(&self, dims: &[i64]) -> Vec<u8> {
        self.file_of(dims, 1)
    }

    /// Returns the file of a model whose input has 64-bit integers with these dimensions.
    pub(crate) fn file_of_integers(&self, dims: &[i64]) -> Vec<u8> {
        self.file_of(dims, 7)
    }

    fn file_of(&self, dims: &[i64], kind: i64) -> Vec<u8> {
        let value_info = |name: &str, shape: Option<Message>| {
            let tensor = Message::default().number(1, if shape.is_some() { kind } else { 1 });
            let tensor = shape.iter().fold(tensor, |tensor, shape| tensor.bytes(2, &shape.0));
            let kind = Message::default().bytes(1, &tensor.0);
            Message::default().bytes(1, name.as_bytes()).bytes(2, &kind.0)
        };
        let shape = dims.iter().fold(Message::default(), |shape, &dim| {
            shape.bytes(1, &Message::default().number(1, dim).0)
        });
        let graph =
            self.nodes.iter().fold(Message::default(), |graph, node| graph.bytes(1, &node.0));
        let graph = self
            .weights
            .iter()
            .fold(graph.bytes(2, b"test"), |graph, weight| graph.bytes(5, &weight.0));
        let graph =
            graph.bytes(11, &value_info("x", Some(shape)).0).bytes(12, &value_info("y", None).0);
        let opset = Message::default().number(2, self.opset.unwrap_or(OPSET));
        Message::default().number(1, 9).bytes(7, &graph.0).bytes(8, &opset.0).0
    }
}
