//! The `tao axon call` command.

use std::io;
use std::time::Instant;

use anyhow::Context as _;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, Method};
use clap::Args;
use futures::StreamExt as _;
use serde_json::{Map, Value, json};
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::keys::KeyArgs;
use taonet_cli_base::printable;
use taonet_wire::{Call, Peer, SignedClient, SynapseClass};

use super::call_outcome::CallOutcome;
use super::data::Fields;
use super::peer::PeerArgs;
use super::{SchemeName, data, echo};

/// Call a neuron and print its response.
///
/// The exit code is 0 for a successful response, 3 for no response, 4 when the neuron refuses the
/// signature or the caller, and 1 for every other status.
#[derive(Debug, Args)]
pub struct CallArgs {
    #[command(flatten)]
    peer: PeerArgs,
    /// Path and query [default: /echo; with --scheme dendrite, the synapse's name]
    #[arg(long, conflicts_with = "synapse")]
    path: Option<String>,
    /// HTTP method [default: POST]
    #[arg(long, conflicts_with = "synapse")]
    method: Option<Method>,
    /// Synapse class, with --scheme dendrite [default: EchoSynapse]
    #[arg(long, value_name = "CLASS")]
    synapse: Option<String>,
    /// Synapse field that is part of the signed hash; repeat for each of the class's
    /// required_hash_fields, in order
    #[arg(long, value_name = "FIELD", requires = "synapse")]
    hash_field: Vec<String>,
    /// Required synapse field: one without a default in its class; can be repeated
    #[arg(long, value_name = "FIELD", requires = "synapse")]
    required_field: Vec<String>,
    /// Request body: text, @FILE, or - for standard input; with --scheme dendrite, a JSON object
    #[arg(long, value_name = "DATA", default_value = "{}")]
    data: String,
    /// Stream the response to standard output
    #[arg(long, conflicts_with = "json")]
    stream: bool,
    #[command(flatten)]
    key: KeyArgs,
}

pub(crate) fn run(args: &CallArgs, context: &Context) -> anyhow::Result<()> {
    let is_dendrite = args.peer.scheme == SchemeName::Dendrite;
    if !is_dendrite && args.synapse.is_some() {
        return Err(ClassifiedError::usage("--synapse requires --scheme dendrite"));
    }
    if is_dendrite && (args.path.is_some() || args.method.is_some()) {
        return Err(ClassifiedError::usage(
            "with --scheme dendrite, the path is the synapse's name\nhint: use --synapse",
        ));
    }
    let data = data::read(&args.data)?;
    let peer = args.peer.peer()?;
    let (client, call) = if is_dendrite {
        let fields = Fields::parse(&data)?;
        let client = args.peer.client(&args.key, args.custom_class(&fields))?;
        let call = args.synapse_call(&fields, &peer, &client);
        (client, call)
    } else {
        (args.peer.client(&args.key, None)?, args.raw_call(data))
    };
    context.block_on(async {
        if args.stream {
            stream(&client, &peer, &call, is_dendrite).await
        } else {
            call_once(&client, &peer, &call, is_dendrite, context).await
        }
    })
}

/// Returns the empty value of the type of a field.
fn empty_like(field: Option<&Value>) -> Value {
    match field {
        Some(Value::String(_)) => json!(""),
        Some(Value::Number(_)) => json!(0),
        Some(Value::Bool(_)) => json!(false),
        Some(Value::Array(_)) => json!([]),
        Some(Value::Object(_)) => json!({}),
        Some(Value::Null) | None => Value::Null,
    }
}

impl CallArgs {
    /// Returns the synapse class of the call, unless it is a class of the echo neuron.
    fn custom_class(&self, fields: &Fields<'_>) -> Option<SynapseClass> {
        let name = self.synapse.as_deref()?;
        if [echo::ECHO, echo::STREAM, "Synapse"].contains(&name) {
            return None;
        }
        let class = SynapseClass::new(name).hash(&self.hash_field);
        Some(
            self.required_field
                .iter()
                .fold(class, |class, field| class.required(field, empty_like(fields.get(field)))),
        )
    }

    fn raw_call(&self, data: Bytes) -> Call {
        let path = self.path.as_deref().unwrap_or("/echo");
        let mut headers = HeaderMap::new();
        if data::is_json(&data) {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Call {
            name: "Echo".to_owned(),
            headers,
            deadline: self.peer.timeout,
            ..Call::new(self.method.clone().unwrap_or(Method::POST), path, data)
        }
    }

    /// Serialises the synapse as the SDK's dendrite does: protocol fields first, then the fields of
    /// the class.
    fn synapse_call(&self, fields: &Fields<'_>, peer: &Peer, client: &SignedClient) -> Call {
        let class = self.synapse.as_deref().unwrap_or(echo::ECHO);
        let mut protocol = Map::new();
        protocol.insert("name".to_owned(), json!(class));
        protocol.insert("timeout".to_owned(), json!(self.peer.timeout.as_secs_f64()));
        protocol.insert("dendrite".to_owned(), json!({ "hotkey": client.signer().hotkey() }));
        protocol.insert(
            "axon".to_owned(),
            json!({ "hotkey": peer.hotkey(), "ip": peer.host(), "port": peer.port() }),
        );
        Call {
            name: class.to_owned(),
            deadline: self.peer.timeout,
            ..Call::new(Method::POST, class, fields.body_with_protocol_fields(protocol))
        }
    }
}

async fn call_once(
    client: &SignedClient,
    peer: &Peer,
    call: &Call,
    is_dendrite: bool,
    context: &Context,
) -> anyhow::Result<()> {
    let start = Instant::now();
    let result = client.call(peer, call).await;
    let elapsed = start.elapsed();
    let outcome = CallOutcome::from_result(&result, is_dendrite);
    if context.json {
        let response = result.as_ref().ok();
        context.print_json(&json!({
            "code": outcome.code.code(),
            "outcome": outcome.code.to_string(),
            "status": outcome.status.as_u16(),
            "message": outcome.message,
            "seconds": elapsed.as_secs_f64(),
            "body": response.map(|response| body_json(&response.body)),
        }))?;
    } else if let (true, Ok(response)) = (outcome.code.is_success(), &result) {
        let mut out = printable::stdout();
        if write(&mut *out, &response.body)? {
            write(&mut *out, b"\n")?;
        }
    }
    outcome.check()
}

/// Formats a response body: JSON unchanged, anything else as text.
fn body_json(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| json!(String::from_utf8_lossy(body)))
}

async fn stream(
    client: &SignedClient,
    peer: &Peer,
    call: &Call,
    is_dendrite: bool,
) -> anyhow::Result<()> {
    let mut response = match client.stream(peer, call).await {
        Ok(response) => response,
        Err(error) => return CallOutcome::from_error(&error).check(),
    };
    let mut error_body = Vec::new();
    if !response.status.is_success() {
        while let (Some(Ok(chunk)), true) = (response.next().await, error_body.len() < 1024) {
            error_body.extend_from_slice(&chunk);
        }
    }
    CallOutcome::from_response(response.status, &response.headers, &error_body, is_dendrite)
        .check()?;
    let mut out = printable::stdout();
    while let Some(chunk) = response.next().await {
        match chunk {
            Ok(chunk) if write(&mut *out, &chunk)? => {}
            Ok(_) => return Ok(()),
            Err(error) => return CallOutcome::from_error(&error).check(),
        }
    }
    write(&mut *out, b"\n").map(|_| ())
}

/// Writes and flushes bytes; returns `false` if the reader has closed standard output.
fn write(out: &mut dyn io::Write, bytes: &[u8]) -> anyhow::Result<bool> {
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("cannot write to standard output"),
    }
}
