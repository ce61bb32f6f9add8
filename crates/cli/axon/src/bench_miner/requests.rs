//! The requests of a benchmark: those of the summing subnet, of a prompting subnet, or from a file.

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context as _;
use axum::body::Bytes;
use axum::http::HeaderName;
use rand::seq::IndexedRandom as _;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::input;
use taonet_wire::{ReturnCode, SynapseClass};

/// Numbers of at most 18 digits have sums within 64 bits.
const MAX_DIGITS: u32 = 18;
const DEFAULT_DIGITS: u32 = 9;
const DEFAULT_WORDS: u32 = 10;
/// Words of generated prompts.
const WORDS: [&str; 16] = [
    "the", "ferry", "leaves", "at", "half", "past", "seven", "from", "northern", "pier",
    "whatever", "weather", "says", "today", "and", "tomorrow",
];

/// Bytes of a generated request besides the words of a prompt, at most.
const OVERHEAD_BYTES: usize = 128;

/// Source of the requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RequestKind {
    Summing,
    Prompt,
    File(PathBuf),
}

impl FromStr for RequestKind {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "summing" => Self::Summing,
            "prompt" => Self::Prompt,
            path => Self::File(path.into()),
        })
    }
}

impl fmt::Display for RequestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Summing => f.write_str("summing"),
            Self::Prompt => f.write_str("prompt"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// The format of a file with requests.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    /// Name of the synapse class.
    class: String,
    /// The class's `required_hash_fields`.
    #[serde(default)]
    hash: Vec<String>,
    /// Fields of the class without a default, with the empty value of their type.
    #[serde(default)]
    required: Map<String, Value>,
    /// Bodies of requests, sent in this order, and again from the first one.
    requests: Vec<Map<String, Value>>,
    /// Field of the response that must be neither missing, null nor empty.
    #[serde(default)]
    answer: Option<String>,
}

/// The source of the requests.
#[derive(Debug)]
pub(super) struct Requests {
    class: SynapseClass,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Summing { digits: u32 },
    Prompt { words: u32 },
    File { bodies: Vec<Bytes>, answer: Option<String> },
}

/// A request with the expected response.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) body: Bytes,
    expected: Expected,
}

#[derive(Debug, Clone)]
enum Expected {
    /// Any JSON object.
    Object,
    /// A field that is neither missing, null nor empty.
    Field(String),
    /// The field `sum` with this value.
    Sum(i64),
}

impl Requests {
    /// Reads the requests of a kind; `size` replaces the default size of generated requests.
    pub(super) fn new(kind: &RequestKind, size: Option<u32>) -> anyhow::Result<Self> {
        match kind {
            RequestKind::Summing => {
                let digits = size.unwrap_or(DEFAULT_DIGITS);
                if digits > MAX_DIGITS {
                    return Err(ClassifiedError::usage(format!(
                        "--size {digits}: numbers have at most {MAX_DIGITS} digits"
                    )));
                }
                let class = SynapseClass::new("Sum")
                    .hash(["a", "b"])
                    .required("a", json!(0))
                    .required("b", json!(0));
                Ok(Self { class, source: Source::Summing { digits } })
            }
            RequestKind::Prompt => {
                let class = SynapseClass::new("Prompting").hash(["messages"]);
                let class = class.required("roles", json!([])).required("messages", json!([]));
                Ok(Self { class, source: Source::Prompt { words: size.unwrap_or(DEFAULT_WORDS) } })
            }
            RequestKind::File(_) if size.is_some() => Err(ClassifiedError::usage(
                "--size has no effect on the requests of a file".to_owned(),
            )),
            RequestKind::File(path) => Self::read(path),
        }
    }

    fn read(path: &Path) -> anyhow::Result<Self> {
        let text = input::read_text(path)
            .context("--kind is neither summing, prompt nor a file with requests")?;
        let document: Document = serde_json::from_str(&text)
            .map_err(|error| invalid_file_error(path, &error.to_string()))?;
        let Document { class: name, hash, required, requests, answer } = document;
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            let problem = format!("`{name}` is no class name: expected letters, digits and `_`");
            return Err(invalid_file_error(path, &problem));
        }
        if requests.is_empty() {
            return Err(invalid_file_error(path, "there are no requests"));
        }
        // The dendrite scheme sends these fields as headers.
        let not_in_header = required
            .keys()
            .find(|field| HeaderName::try_from(format!("bt_header_input_obj_{field}")).is_err());
        if let Some(field) = not_in_header {
            let problem = format!("the required field `{field}` cannot be part of a header's name");
            return Err(invalid_file_error(path, &problem));
        }
        let fields = hash.iter().chain(required.keys());
        for field in fields {
            if let Some(number) = requests.iter().position(|request| !request.contains_key(field)) {
                let problem = format!("request {} has no field `{field}`", number + 1);
                return Err(invalid_file_error(path, &problem));
            }
        }
        let class = required
            .into_iter()
            .fold(SynapseClass::new(name).hash(hash), |class, (field, empty)| {
                class.required(field, empty)
            });
        let bodies =
            requests.into_iter().map(|request| Value::Object(request).to_string().into()).collect();
        Ok(Self { class, source: Source::File { bodies, answer } })
    }

    /// Returns the class of the requests.
    pub(super) const fn class(&self) -> &SynapseClass {
        &self.class
    }

    /// Returns the size of generated requests.
    pub(super) const fn size(&self) -> Option<u32> {
        match self.source {
            Source::Summing { digits } => Some(digits),
            Source::Prompt { words } => Some(words),
            Source::File { .. } => None,
        }
    }

    /// Returns the maximum size of a generated request, in bytes. Requests of a file
    /// are loaded already.
    pub(super) fn generated_bytes(&self) -> usize {
        match self.source {
            Source::Summing { .. } => OVERHEAD_BYTES,
            Source::Prompt { words } => {
                let longest = WORDS.iter().map(|word| word.len()).max().unwrap_or_default();
                OVERHEAD_BYTES + words as usize * (longest + 1)
            }
            Source::File { .. } => 0,
        }
    }

    /// Creates a request. Generated ones differ, so that no cache answers them.
    pub(super) fn request(&self, index: u32) -> Request {
        match &self.source {
            Source::Summing { digits } => {
                let limit = 10_i64.saturating_pow(*digits);
                let [a, b] = std::array::from_fn(|_| rand::random_range(limit / 10..limit));
                let body = json!({ "a": a, "b": b, "sum": null });
                Request {
                    body: body.to_string().into(),
                    expected: Expected::Sum(a.saturating_add(b)),
                }
            }
            Source::Prompt { words } => {
                let mut random = rand::rng();
                let random_words =
                    (0..*words).map(|_| WORDS.choose(&mut random).copied().unwrap_or_default());
                let message = random_words.collect::<Vec<_>>().join(" ");
                let body = json!({ "roles": ["user"], "messages": [message], "completion": "" });
                Request {
                    body: body.to_string().into(),
                    expected: Expected::Field("completion".to_owned()),
                }
            }
            Source::File { bodies, answer } => {
                let body = bodies.get(index as usize % bodies.len()).cloned().unwrap_or_default();
                Request { body, expected: answer.clone().map_or(Expected::Object, Expected::Field) }
            }
        }
    }
}

impl Request {
    /// Checks the body of a successful response; returns the return code and reason of a failure.
    pub(super) fn response_problem(&self, body: &[u8]) -> Option<(ReturnCode, String)> {
        let Ok(fields) = serde_json::from_slice::<Map<String, Value>>(body) else {
            let reason = "the response is not a JSON object";
            return Some((ReturnCode::ResponseDeserializationException, reason.to_owned()));
        };
        let reason = match &self.expected {
            Expected::Object => return None,
            Expected::Sum(sum) if fields.get("sum").and_then(Value::as_i64) == Some(*sum) => {
                return None;
            }
            Expected::Sum(_) => "the response has a wrong sum, or none".to_owned(),
            Expected::Field(field) => match fields.get(field) {
                None | Some(Value::Null) => format!("the response has no `{field}`"),
                Some(value) if is_empty(value) => format!("the response has an empty `{field}`"),
                Some(_) => return None,
            },
        };
        Some((ReturnCode::InvalidResponse, reason))
    }
}

/// Returns whether a value is the empty text, list or object.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn invalid_file_error(path: &Path, problem: &str) -> anyhow::Error {
    ClassifiedError::usage(format!("{}: {problem}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(request: &Request) -> Value {
        serde_json::from_slice(&request.body).unwrap()
    }

    #[test]
    fn generated_requests_have_the_requested_size() {
        for size in [1, 9, 18] {
            let requests = Requests::new(&RequestKind::Summing, Some(size)).unwrap();
            assert_eq!((requests.class().name(), requests.size()), ("Sum", Some(size)));
            let sum = requests.request(0);
            let [a, b] = ["a", "b"].map(|field| body(&sum)[field].as_i64().unwrap());
            assert!(
                a.to_string().len() == size as usize && b.to_string().len() == size as usize,
                "{a} {b}"
            );
            assert_eq!(sum.response_problem(json!({ "sum": a + b }).to_string().as_bytes()), None);
        }
        let prompt = Requests::new(&RequestKind::Prompt, Some(200)).unwrap().request(0);
        let message = body(&prompt)["messages"][0].as_str().unwrap().to_owned();
        assert_eq!(message.split(' ').count(), 200);
        assert_eq!(Requests::new(&RequestKind::Prompt, None).unwrap().size(), Some(DEFAULT_WORDS));
        for (kind, size) in
            [(RequestKind::Summing, 18), (RequestKind::Prompt, 1), (RequestKind::Prompt, 2_000)]
        {
            let requests = Requests::new(&kind, Some(size)).unwrap();
            let (bytes, maximum) = (requests.request(0).body.len(), requests.generated_bytes());
            assert!(
                (bytes..bytes * 4 + 128).contains(&maximum),
                "{kind} of {size}: {bytes} bytes, at most {maximum}"
            );
        }
    }

    /// Columns: body of the response · code and reason
    #[test]
    fn response_without_expected_result_is_failure() {
        let wrong = (ReturnCode::InvalidResponse, "the response has a wrong sum, or none");
        let sum = Request { body: Bytes::new(), expected: Expected::Sum(3) };
        let not_json =
            (ReturnCode::ResponseDeserializationException, "the response is not a JSON object");
        for (body, problem) in [
            (&br#"{"a": 1, "b": 2, "sum": 3}"#[..], None),
            (br#"{"sum": 4}"#, Some(wrong)),
            (br#"{"sum": "3"}"#, Some(wrong)),
            (br#"{"sum": null}"#, Some(wrong)),
            (b"{}", Some(wrong)),
            (b"[3]", Some(not_json)),
            (b"", Some(not_json)),
            (b"\"\xff\"", Some(not_json)),
        ] {
            let expected = problem.map(|(code, reason)| (code, reason.to_owned()));
            assert_eq!(sum.response_problem(body), expected, "{}", String::from_utf8_lossy(body));
        }
        let text =
            Request { body: Bytes::new(), expected: Expected::Field("completion".to_owned()) };
        assert_eq!(text.response_problem(br#"{"completion": "Austin"}"#), None);
        for empty in ["null", "\"\"", "[]", "{}"] {
            let body = format!("{{\"completion\": {empty}}}");
            assert_eq!(
                text.response_problem(body.as_bytes()).unwrap().0,
                ReturnCode::InvalidResponse,
                "{empty}"
            );
        }
        assert_eq!(text.response_problem(b"{}").unwrap().0, ReturnCode::InvalidResponse);
        for value in ["0", "false", "[\"\"]"] {
            assert_eq!(
                text.response_problem(format!("{{\"completion\": {value}}}").as_bytes()),
                None,
                "{value}"
            );
        }
    }

    #[test]
    fn file_requests_are_sent_in_turn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("requests.json");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Requests::new(&path.to_str().unwrap().parse().unwrap(), None)
        };
        let text = r#"{"class": "Echo", "hash": ["text"], "required": {"text": ""}, "answer": "answer",
            "requests": [{"text": "one", "n": 1e22}, {"text": "two"}]}"#;
        for text in [text.to_owned(), format!("\u{feff}{text}")] {
            let requests = read(&text).unwrap();
            assert_eq!((requests.class().name(), requests.size()), ("Echo", None));
            let texts = [0, 1, 2].map(|index| body(&requests.request(index))["text"].clone());
            assert_eq!(texts, ["one", "two", "one"]);
            assert_eq!(requests.request(0).response_problem(br#"{"answer": "x"}"#), None);
        }
        for (text, error) in [
            ("", "EOF while parsing"),
            ("[]", "invalid length"),
            (r#"{"class": "Echo", "requests": []}"#, "there are no requests"),
            (r#"{"class": "a/b", "requests": [{}]}"#, "`a/b` is no class name"),
            (r#"{"class": "", "requests": [{}]}"#, "`` is no class name"),
            (
                r#"{"class": "E", "hash": ["x"], "requests": [{"x": 1}, {}]}"#,
                "request 2 has no field `x`",
            ),
            (r#"{"class": "E", "requests": [1]}"#, "invalid type"),
            (
                r#"{"class": "E", "required": {"a b": 1}, "requests": [{"a b": 1}]}"#,
                "field `a b` cannot be part of",
            ),
            (r#"{"class": "E", "requests": [{}], "size": 3}"#, "unknown field `size`"),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(
                message.contains(error) && message.contains("requests.json"),
                "{text}: {message}"
            );
        }
        let missing =
            Requests::new(&RequestKind::File("/nowhere/at-all".into()), None).unwrap_err();
        assert!(format!("{missing:#}").contains("cannot read /nowhere/at-all"), "{missing:#}");
        assert!(Requests::new(&RequestKind::File(path), Some(3)).is_err());
        assert!(Requests::new(&RequestKind::Summing, Some(MAX_DIGITS + 1)).is_err());
    }
}
