//! Changes of requests: values and fields of JSON, bytes, and headers.

use std::fmt;
use std::sync::LazyLock;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Request};
use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::{Map, Value, json};

use super::super::bodies::size;
use super::super::peers::{KEY, RecordedRequest};

/// Begins a text that stands for one of [`RAW_JSON_TEXTS`], whose number follows, or a name that
/// occurs twice.
const RAW_MARK: char = '\u{e000}';
/// Private field with which serde_json parses the JSON in a text.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

/// Texts that take the place of a value in the bytes of a body, and need not be JSON.
static RAW_JSON_TEXTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let nested = |open: &str, close: &str, levels: usize| {
        format!("{}{}", open.repeat(levels), close.repeat(levels))
    };
    let texts = [
        "1e999",
        "-1e999",
        "1e-999",
        "-0",
        "1.0",
        "01",
        "0x10",
        "NaN",
        "Infinity",
        "'text'",
        "",
        "\"\\ud800\"",
        "\"\\udc00\\ud800\"",
        "\"\\u0000\"",
        "\"\u{7f}\\u2028\\uffff\"",
    ];
    let mut raw: Vec<String> = texts.map(str::to_owned).into();
    raw.extend([
        "9".repeat(400),
        format!("0.{}1", "0".repeat(400)),
        nested("[", "]", 60),
        nested("[", "]", 120),
    ]);
    raw.extend([
        nested("[", "]", 100_000),
        nested("[", "", 1_000),
        format!("{}1{}", "{\"a\":".repeat(110), "}".repeat(110)),
    ]);
    raw.push(json!({ (RAW_VALUE): nested("[", "]", 127) }).to_string());
    raw
});

/// Texts with a meaning in requests, or at the limits of texts.
const TEXTS: [&str; 36] = [
    "",
    "a",
    "\0",
    "\r\n",
    "\u{1f98a}",
    "\u{202e}\u{2028}",
    "chat-llama-3-2-3b",
    "comp",
    "embed",
    "avatar",
    "proteus",
    "none",
    "auto",
    "required",
    "any",
    "user",
    "assistant",
    "system",
    "tool",
    "text",
    "image",
    "image_url",
    "input_image",
    "input_text",
    "output_text",
    "function",
    "function_call",
    "function_call_output",
    "tool_use",
    "tool_result",
    "json_schema",
    "json_object",
    "base64",
    "1024x1024",
    "data:image/png;base64,iVBORw0KGgo=",
    "https://127.0.0.1/a.png",
];

/// Numbers around the limits of fields.
const NUMBERS: [i64; 22] = [
    i64::MIN,
    -1_000_001,
    -101,
    -2,
    -1,
    0,
    1,
    2,
    4,
    5,
    8,
    9,
    10,
    11,
    20,
    21,
    101,
    129,
    2_049,
    32_768,
    32_769,
    i64::MAX,
];

/// Headers that change how a request is handled, with values of which most are invalid.
const HEADERS: [(&str, &[u8]); 14] = [
    ("authorization", b"Bearer sk-tao-none"),
    ("authorization", b"Basic \xff"),
    ("x-api-key", b""),
    ("content-type", b"text/plain"),
    ("content-type", b"multipart/form-data"),
    ("content-type", b"multipart/form-data; boundary=\"\""),
    ("content-length", b"18446744073709551615"),
    ("idempotency-key", b"once"),
    ("idempotency-key", b"\xe9"),
    ("x-taonet-route", b"speed"),
    ("x-taonet-route", b"\xff"),
    ("x-request-id", b"\x80id"),
    ("origin", b"https://example.org"),
    ("host", b"<script>"),
];

/// A changed request.
pub(super) struct Mutation {
    method: String,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Mutation {
    /// Changes one of a client's requests in up to four places.
    pub(super) fn random(requests: &[RecordedRequest], random: &mut StdRng) -> Self {
        let request = &requests[random.random_range(0..requests.len())];
        let mut mutation = Self::unchanged(request);
        if let Some(json) = &request.json {
            let mut value = json.clone();
            for _ in 0..random.random_range(1..=3) {
                change_value(&mut value, requests, random);
            }
            mutation.body = with_raw(&value.to_string()).into_bytes();
        }
        // A changed URL could name a host on the internet.
        let has_url = memchr::memmem::find(&mutation.body, b"https:").is_some();
        if !has_url && (request.json.is_none() || random.random_ratio(1, 4)) {
            for _ in 0..random.random_range(1..=3) {
                change_bytes(&mut mutation.body, random);
            }
        }
        if random.random_ratio(1, 8) {
            mutation.change_header(random);
        }
        mutation
    }

    /// Returns a request as it was recorded.
    pub(super) fn unchanged(request: &RecordedRequest) -> Self {
        let headers =
            request.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes()));
        let (method, path) = (request.method.clone(), request.path.clone());
        Self { method, path, headers: headers.collect(), body: request.body() }
    }

    fn change_header(&mut self, random: &mut StdRng) {
        if random.random_ratio(1, 3) {
            self.headers.remove(random.random_range(0..self.headers.len()));
            return;
        }
        let (name, value) = HEADERS[random.random_range(0..HEADERS.len())];
        self.headers.retain(|(other, _)| other != name);
        self.headers.push((name.to_owned(), value.to_vec()));
    }

    /// Returns the request with an API key.
    pub(super) fn request(&self, key: &str) -> Request<Body> {
        let mut request = Request::builder().method(self.method.as_str()).uri(&self.path);
        for (name, value) in &self.headers {
            let value = match std::str::from_utf8(value) {
                Ok(text) => text.replace(KEY, key).into_bytes(),
                Err(_) => value.clone(),
            };
            let name: HeaderName = name.parse().unwrap();
            request = request.header(name, HeaderValue::from_bytes(&value).unwrap());
        }
        request.body(Body::from(self.body.clone())).unwrap()
    }
}

impl fmt::Display for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, path, headers, body } = self;
        let excerpt = &body[..body.len().min(4_096)];
        writeln!(f, "{method} {path}, {} bytes: {}", body.len(), excerpt.escape_ascii())?;
        headers.iter().try_for_each(|(name, value)| writeln!(f, "{name}: {}", value.escape_ascii()))
    }
}

/// Returns the value at a position in the order of a depth-first walk.
fn value_at<'a>(value: &'a mut Value, position: &mut usize) -> Option<&'a mut Value> {
    if *position == 0 {
        return Some(value);
    }
    *position -= 1;
    match value {
        Value::Array(values) => values.iter_mut().find_map(|value| value_at(value, position)),
        Value::Object(fields) => fields.values_mut().find_map(|value| value_at(value, position)),
        _ => None,
    }
}

/// Returns a random value within a value.
fn random_value_in<'a>(value: &'a mut Value, random: &mut StdRng) -> &'a mut Value {
    let mut position = random.random_range(0..size(value));
    value_at(value, &mut position).unwrap()
}

/// Returns a value at the limits of fields.
fn extreme_value(random: &mut StdRng) -> Value {
    match random.random_range(0..12) {
        0 => Value::Null,
        1 => random.random_bool(0.5).into(),
        2 | 3 => NUMBERS[random.random_range(0..NUMBERS.len())].into(),
        4 => [json!(u64::MAX), json!(1e300), json!(-1e-300), json!(0.5)][random.random_range(0..4)]
            .clone(),
        5 => "x".repeat(2_000).into(),
        6 => [json!([]), json!({}), json!([[]]), json!([null]), json!([1, [2]])]
            [random.random_range(0..5)]
        .clone(),
        7 | 8 => {
            format!("{RAW_MARK}{}{RAW_MARK}", random.random_range(0..RAW_JSON_TEXTS.len())).into()
        }
        _ => TEXTS[random.random_range(0..TEXTS.len())].into(),
    }
}

/// Changes a value within the body of a request.
fn change_value(body: &mut Value, requests: &[RecordedRequest], random: &mut StdRng) {
    let new = extreme_value(random);
    let other = requests[random.random_range(0..requests.len())].json.clone();
    let value = random_value_in(body, random);
    match random.random_range(0..8) {
        0..3 => *value = new,
        3 => {
            if let Some(mut other) = other {
                *value = random_value_in(&mut other, random).take();
            }
        }
        4 => *value = json!([value.take()]),
        5 => remove(value, random),
        6 => repeat(value, new, random),
        _ => rename(value, random),
    }
}

/// Returns the name of a random field.
fn random_name(fields: &Map<String, Value>, random: &mut StdRng) -> Option<String> {
    fields.keys().nth(random.random_range(0..fields.len().max(1))).cloned()
}

fn remove(value: &mut Value, random: &mut StdRng) {
    match value {
        Value::Array(values) if !values.is_empty() => {
            drop(values.remove(random.random_range(0..values.len())));
        }
        Value::Object(fields) => {
            if let Some(name) = random_name(fields, random) {
                fields.shift_remove(&name);
            }
        }
        value => *value = Value::Null,
    }
}

/// Repeats an element, or a field with another value.
fn repeat(value: &mut Value, new: Value, random: &mut StdRng) {
    match value {
        Value::Array(values) if !values.is_empty() => {
            let repeated = values[random.random_range(0..values.len())].clone();
            values.push(repeated);
        }
        Value::Object(fields) => {
            if let Some(name) = random_name(fields, random) {
                fields.insert(format!("{RAW_MARK}{name}"), new);
            }
        }
        value => *value = new,
    }
}

fn rename(value: &mut Value, random: &mut StdRng) {
    let Value::Object(fields) = value else { return };
    if let Some(value) = random_name(fields, random).and_then(|name| fields.shift_remove(&name)) {
        let names = [
            "",
            "n",
            "a",
            "\u{e9}",
            RAW_VALUE,
            "prefix",
            "prediction",
            "tools",
            "logprobs",
            "max_tokens",
        ];
        fields.insert(names[random.random_range(0..names.len())].to_owned(), value);
    }
}

/// Replaces the texts that stand for raw ones, and the marks of names that occur twice.
fn with_raw(json: &str) -> String {
    let mut text = json.to_owned();
    for (number, raw) in RAW_JSON_TEXTS.iter().enumerate() {
        text = text.replace(&format!("\"{RAW_MARK}{number}{RAW_MARK}\""), raw);
    }
    text.replace(RAW_MARK, "")
}

/// Changes bits, bytes and parts of a body.
fn change_bytes(body: &mut Vec<u8>, random: &mut StdRng) {
    let start = random.random_range(0..=body.len());
    let end = random.random_range(start..=body.len());
    match random.random_range(0..6) {
        0 if start < body.len() => body[start] ^= 1 << random.random_range(0..8),
        1 if start < body.len() => {
            body[start] = [0, 1, b'"', b'{', 0x7f, 0x80, 0xff][random.random_range(0..7)];
        }
        2 => body.truncate(start),
        3 => drop(body.drain(start..end)),
        4 => {
            let part = body[start..end].to_vec();
            drop(body.splice(start..start, part));
        }
        _ => drop(body.splice(start..start, [random.random::<u8>(); 3])),
    }
}
