//! Proof requests and answers, and their conversion to the subnet's messages.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;

use crate::messages::{
    ProofSystem, QueryZkProof, QueryZkProofResponse, SliceProofRequest, SliceProofResponse,
    input_of, slice_name,
};
use crate::{Digest, DigestError};

/// Maximum magnitude of an integer in a message: 2^45. This is far below 2^53, so a real number
/// still identifies its integer after a conversion to decimal text rounds it once more.
const MAX_MAGNITUDE: f64 = 35_184_372_088_832.0;
/// Maximum difference between a real number in a message and the integer that it represents.
const TOLERANCE: f64 = 0.015_625;
/// Maximum number of characters of a value in an error.
const MAX_QUOTED: usize = 40;

/// Request to one miner for a proof of one circuit's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofQuery {
    /// Identity of the circuit.
    pub circuit: Digest,
    /// Random bytes that the proof is bound to.
    pub nonce: Digest,
    /// Integer inputs.
    pub inputs: Vec<i64>,
}

/// Why a message is not a proof request.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum QueryError {
    /// A field is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A digest is malformed.
    #[error("{field}: {source}")]
    Digest {
        /// Name of the field.
        field: &'static str,
        /// The parse error.
        source: DigestError,
    },
    /// The input is not a list of integers.
    #[error("the input is not a list of integers")]
    Input,
}

impl ProofQuery {
    /// Creates the request message, in which the nonce is a field next to `input_data`.
    pub fn to_message(&self) -> QueryZkProof {
        QueryZkProof {
            model_id: Some(self.circuit.to_string()),
            query_input: Some(json!({ "input_data": self.inputs, "nonce": self.nonce })),
            query_output: None,
        }
    }

    /// Parses a request message.
    ///
    /// # Errors
    /// When a field is missing or malformed.
    pub fn from_message(message: &QueryZkProof) -> Result<Self, QueryError> {
        let circuit = message.model_id.as_deref().ok_or(QueryError::Missing("model_id"))?;
        let (nonce, inputs) = nonce_and_inputs("query_input", message.query_input.as_ref())?;
        Ok(Self { circuit: parse_digest("model_id", circuit)?, nonce, inputs })
    }
}

/// Request to one miner for a proof of one slice of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceQuery {
    /// Identity of the sliced model.
    pub model: Digest,
    /// Number of the slice, from 0.
    pub slice: usize,
    /// The slice's circuit with its nonce and inputs.
    pub query: ProofQuery,
}

impl SliceQuery {
    /// Creates the request message: `component_sha` is the identity of the slice's circuit, and the
    /// nonce is a field next to `input_data`.
    pub fn to_message(&self, proof_system: ProofSystem) -> SliceProofRequest {
        SliceProofRequest {
            circuit: Some(self.model.to_string()),
            proof_system,
            inputs: Some(json!({ "input_data": self.query.inputs, "nonce": self.query.nonce })),
            outputs: None,
            slice_num: Some(format!("slice_{}", self.slice)),
            run_uid: None,
            component_sha: Some(self.query.circuit.to_string()),
        }
    }

    /// Parses a request message.
    ///
    /// # Errors
    /// When a field is missing or malformed.
    pub fn from_message(message: &SliceProofRequest) -> Result<Self, QueryError> {
        let number = message.slice_num.as_deref().and_then(slice_name);
        let number = number.as_deref().and_then(|name| name.strip_prefix("slice_")?.parse().ok());
        let model = parse_digest(
            "circuit",
            message.circuit.as_deref().ok_or(QueryError::Missing("circuit"))?,
        )?;
        let component =
            message.component_sha.as_deref().ok_or(QueryError::Missing("component_sha"))?;
        let (nonce, inputs) = nonce_and_inputs("inputs", message.inputs.as_ref())?;
        Ok(Self {
            model,
            slice: number.ok_or(QueryError::Missing("slice_num"))?,
            query: ProofQuery { circuit: parse_digest("component_sha", component)?, nonce, inputs },
        })
    }
}

fn parse_digest(field: &'static str, text: &str) -> Result<Digest, QueryError> {
    text.parse().map_err(|source| QueryError::Digest { field, source })
}

fn nonce_and_inputs(
    field: &'static str,
    query: Option<&Value>,
) -> Result<(Digest, Vec<i64>), QueryError> {
    let query = query.ok_or(QueryError::Missing(field))?;
    let nonce = query.get("nonce").and_then(Value::as_str).ok_or(QueryError::Missing("nonce"))?;
    Ok((
        parse_digest("nonce", nonce)?,
        input_of(query).and_then(integers).ok_or(QueryError::Input)?,
    ))
}

/// Why a JSON value is not a list of integers.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IntegersError {
    /// The value is not a list.
    #[error("expected a list of integers")]
    NotAList,
    /// An element is neither an integer nor a list.
    #[error("element {}: {value} is not an integer", format_position(path))]
    Element {
        /// Positions in the list and in the lists that it contains, outermost first.
        path: Vec<usize>,
        /// Number of integers before the element.
        index: usize,
        /// Beginning of the element, as JSON.
        value: String,
    },
}

/// Formats a position in nested lists, such as `17` or `[3][17]`.
fn format_position(path: &[usize]) -> String {
    match path {
        [index] => index.to_string(),
        path => {
            let indices: Vec<String> = path.iter().map(ToString::to_string).collect();
            format!("[{}]", indices.join("]["))
        }
    }
}

/// Returns the integers of a list, nested or not; `None` if an element is not an integer.
pub fn integers(value: &Value) -> Option<Vec<i64>> {
    parse_integers(value).ok()
}

/// Returns the integers of a list, nested or not.
///
/// # Errors
/// When the value is not a list, or an element is not an integer.
pub fn parse_integers(value: &Value) -> Result<Vec<i64>, IntegersError> {
    let values = value.as_array().ok_or(IntegersError::NotAList)?;
    let mut integers = Vec::new();
    collect_integers(values, &mut Vec::new(), &mut integers)?;
    Ok(integers)
}

/// Appends the integers of a list at this position.
fn collect_integers(
    values: &[Value],
    path: &mut Vec<usize>,
    integers: &mut Vec<i64>,
) -> Result<(), IntegersError> {
    for (position, value) in values.iter().enumerate() {
        path.push(position);
        if let Value::Array(values) = value {
            collect_integers(values, path, integers)?;
        } else if let Some(integer) = integer(value) {
            integers.push(integer);
        } else {
            let value = value.to_string().chars().take(MAX_QUOTED).collect();
            let (path, index) = (path.clone(), integers.len());
            return Err(IntegersError::Element { path, index, value });
        }
        path.pop();
    }
    Ok(())
}

/// Returns an integer, also if it is written as a double; `None` for all other values.
fn integer(value: &Value) -> Option<i64> {
    let Value::Number(number) = value else { return None };
    number.as_i64().or_else(|| exact_integer(number.as_f64()?))
}

/// Converts a double to an integer; `None` if it has a fraction or is too large.
fn exact_integer(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() <= MAX_MAGNITUDE).then_some(number as i64)
}

/// Rounds a double to the nearest integer; `None` if it is not close to one or too large.
fn round_to_integer(number: f64) -> Option<i64> {
    let integer = number.round();
    ((number - integer).abs() <= TOLERANCE && integer.abs() <= MAX_MAGNITUDE)
        .then_some(integer as i64)
}

/// A proof answer over HTTP, with binary values in hexadecimal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProofAnswer {
    /// The proof, in hexadecimal.
    pub query_output: String,
    /// Witness, always empty: verification needs none, and a witness reveals what a proof hides.
    #[serde(default)]
    pub witness: String,
    /// Outputs as real numbers.
    pub computed_outputs: Vec<f64>,
}

/// Why an answer is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// The proof is not hexadecimal.
    #[error("query_output is not hexadecimal")]
    Proof,
    /// An output is not an integer multiple of the circuit's unit `2^-scale`, or that integer
    /// exceeds 2^45.
    #[error("computed_outputs contains a number that the circuit cannot output")]
    Output,
}

impl ProofAnswer {
    /// Creates an answer from a proof and integer outputs with the scale `scale`.
    ///
    /// # Errors
    /// [`AnswerError::Output`] when an output exceeds 2^45.
    pub fn new(proof: &[u8], outputs: &[i64], scale: i32) -> Result<Self, AnswerError> {
        let unit = f64::from(-scale).exp2();
        let real = |&output: &i64| {
            exact_integer(output as f64).map(|_| output as f64 * unit).ok_or(AnswerError::Output)
        };
        let computed_outputs = outputs.iter().map(real).collect::<Result<_, _>>()?;
        Ok(Self { query_output: hex::encode(proof), witness: String::new(), computed_outputs })
    }

    /// Converts the answer to the QUIC message, with the proof as bytes.
    ///
    /// # Errors
    /// When the proof is not hexadecimal.
    pub fn to_message(&self) -> Result<QueryZkProofResponse, AnswerError> {
        Ok(QueryZkProofResponse {
            query_output: hex::decode(&self.query_output).map_err(|_| AnswerError::Proof)?,
            computed_outputs: self.computed_outputs.clone(),
            ..QueryZkProofResponse::default()
        })
    }

    /// Converts the answer to the QUIC message for a slice request.
    ///
    /// # Errors
    /// When the proof is not hexadecimal.
    pub fn to_slice_message(&self) -> Result<SliceProofResponse, AnswerError> {
        let QueryZkProofResponse { query_output, computed_outputs, .. } = self.to_message()?;
        Ok(SliceProofResponse {
            proof: query_output,
            computed_outputs,
            ..SliceProofResponse::default()
        })
    }

    /// Creates the answer from the QUIC response.
    pub fn from_message(message: QueryZkProofResponse) -> Self {
        Self {
            query_output: hex::encode(message.query_output),
            witness: String::new(),
            computed_outputs: message.computed_outputs,
        }
    }

    /// Creates the answer from the QUIC response to a slice request.
    pub fn from_slice_message(message: SliceProofResponse) -> Self {
        Self {
            query_output: hex::encode(message.proof),
            witness: String::new(),
            computed_outputs: message.computed_outputs,
        }
    }

    /// Decodes the proof and the integer outputs, where `scale` is the scale of the circuit's
    /// outputs.
    ///
    /// # Errors
    /// When the proof or an output is malformed.
    pub fn read(&self, scale: i32) -> Result<(Vec<u8>, Vec<i64>), AnswerError> {
        let proof = hex::decode(&self.query_output).map_err(|_| AnswerError::Proof)?;
        let unit = f64::from(scale).exp2();
        let outputs = self
            .computed_outputs
            .iter()
            .map(|real| round_to_integer(real * unit).ok_or(AnswerError::Output));
        Ok((proof, outputs.collect::<Result<_, _>>()?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn queries_round_trip() {
        let query = ProofQuery {
            circuit: Digest::of(b"c"),
            nonce: Digest::of(b"n"),
            inputs: vec![0, -3, 255],
        };
        let message = query.to_message();
        assert_eq!(ProofQuery::from_message(&message), Ok(query));
        let text = serde_json::to_string(&message).unwrap();
        assert_eq!(serde_json::from_str::<QueryZkProof>(&text).unwrap(), message);
    }

    #[test]
    fn malformed_query_names_the_fault() {
        let valid_message =
            ProofQuery { circuit: Digest::of(b"c"), nonce: Digest::of(b"n"), inputs: vec![1] }
                .to_message();
        let refusal =
            |message: QueryZkProof| ProofQuery::from_message(&message).unwrap_err().to_string();
        assert_eq!(
            refusal(QueryZkProof { model_id: None, ..valid_message.clone() }),
            "model_id is missing"
        );
        assert!(
            refusal(QueryZkProof { model_id: Some("A".repeat(64)), ..valid_message.clone() })
                .starts_with("model_id: ")
        );
        for input in [
            json!({ "input_data": [1] }),
            json!({ "input_data": [1.5], "nonce": "0".repeat(64) }),
            json!({ "input_data": [1e300], "nonce": "0".repeat(64) }),
            json!({ "input_data": ["1"], "nonce": "0".repeat(64) }),
            json!({ "input_data": [null], "nonce": "0".repeat(64) }),
            json!({ "input_data": 7, "nonce": "0".repeat(64) }),
            json!({ "nonce": "0".repeat(64) }),
            json!([1]),
        ] {
            refusal(QueryZkProof { query_input: Some(input), ..valid_message.clone() });
        }
    }

    #[test]
    fn nested_integer_lists_are_flattened_and_fractions_refused() {
        assert_eq!(integers(&json!([1, [2, [3.0]]])), Some(vec![1, 2, 3]));
        for bad in
            [json!(7), json!([0.5]), json!([{}]), json!([true]), json!({ "input_data": [1] })]
        {
            assert_eq!(integers(&bad), None, "{bad}");
        }
    }

    #[test]
    fn non_integer_value_is_reported_with_its_position() {
        let refusal = |value| parse_integers(&value).unwrap_err().to_string();
        assert_eq!(refusal(json!({})), "expected a list of integers");
        assert_eq!(refusal(json!([1, "abc"])), "element 1: \"abc\" is not an integer");
        assert_eq!(refusal(json!([1, [2, 3], [4, 0.5]])), "element [2][1]: 0.5 is not an integer");
        let long = refusal(json!(["a".repeat(1000)]));
        assert_eq!(long, format!("element 0: \"{} is not an integer", "a".repeat(39)));
        let error = parse_integers(&json!([1, [2, 3], [4, null]])).unwrap_err();
        assert!(matches!(error, IntegersError::Element { index: 4, .. }), "{error:?}");
    }

    #[test]
    fn unrepresentable_outputs_are_refused() {
        let answer = |real| ProofAnswer { computed_outputs: vec![real], ..ProofAnswer::default() };
        for real in [0.3, f64::NAN, f64::INFINITY, 1e300, -1e16] {
            assert_eq!(answer(real).read(4), Err(AnswerError::Output), "{real}");
        }
        assert_eq!(answer(-0.25).read(4), Ok((vec![], vec![-4])));
        assert_eq!(ProofAnswer::new(&[], &[1 << 46], 0), Err(AnswerError::Output));
    }

    #[test]
    fn slice_queries_round_trip() {
        let query =
            ProofQuery { circuit: Digest::of(b"c"), nonce: Digest::of(b"n"), inputs: vec![0, -3] };
        let query = SliceQuery { model: Digest::of(b"m"), slice: 2, query };
        let message = query.to_message(ProofSystem::Stark);
        assert_eq!(message.slice_num.as_deref(), Some("slice_2"));
        assert_eq!(SliceQuery::from_message(&message), Ok(query));
        for invalid_message in [
            SliceProofRequest { slice_num: Some("../1".to_owned()), ..message.clone() },
            SliceProofRequest { component_sha: None, ..message.clone() },
            SliceProofRequest { circuit: Some("x".to_owned()), ..message.clone() },
            SliceProofRequest { inputs: Some(json!({ "input_data": [1] })), ..message },
        ] {
            assert!(SliceQuery::from_message(&invalid_message).is_err(), "{invalid_message:?}");
        }
    }

    #[test]
    fn answers_round_trip_in_both_encodings() {
        let answer = ProofAnswer::new(&[0, 255], &[3], 1).unwrap();
        assert_eq!(ProofAnswer::from_message(answer.to_message().unwrap()), answer);
        assert_eq!(ProofAnswer::from_slice_message(answer.to_slice_message().unwrap()), answer);
    }

    proptest! {
        #[test]
        fn proof_answers_keep_every_integer(
            outputs in prop::collection::vec(-(1_i64 << 45)..=1 << 45, 0..20),
            proof in prop::collection::vec(any::<u8>(), 0..200),
            scale in -40_i32..40,
        ) {
            let answer = ProofAnswer::new(&proof, &outputs, scale).unwrap();
            let text = serde_json::to_string(&answer).unwrap();
            let decoded: ProofAnswer = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(decoded.read(scale), Ok((proof, outputs)));
        }
    }
}
