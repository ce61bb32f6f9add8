//! Requests as sent over the wire, and the servers that receive them.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body_util::BodyExt;
use serde_json::Value;
use taonet_http::{ServeLimits, serve};
use taonet_primitives::Hotkey;
use taonet_service::Shutdown;
use taonet_wallet::Keypair;
use taonet_wire::{
    BabelbitScheme, BtauthScheme, DendriteScheme, Limits, Load, ManualClock, Peer, Policy, Scheme,
    SignedLayer, SignedLayerBuilder, Signer, SynapseClass, Window,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::ServiceExt;

pub(crate) const SECOND: u64 = 1_000_000_000;
pub(crate) const NOW: u64 = 1_800_000_000 * SECOND;
pub(crate) const BODY: &str = r#"{"prompt": "hello", "numbers": [1, 2.5, null], "extra": true}"#;
pub(crate) const PATH: &str = "/EchoSynapse?x=1&y=%20";

/// A column of the matrix: scheme and form.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Btauth,
    Dendrite,
    Axon,
    Managed,
}

pub(crate) use Kind::{Axon, Btauth, Dendrite, Managed};

pub(crate) const KINDS: [Kind; 4] = [Btauth, Dendrite, Axon, Managed];

impl Kind {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Btauth => "btauth/1",
            Dendrite => "dendrite",
            Axon => "Babelbit, axon call",
            Managed => "Babelbit, managed call",
        }
    }

    pub(crate) fn signer(self, uri: &str, nonce: u64) -> Signer {
        let (key, clock) = (key(uri), Arc::new(ManualClock::at(nonce)));
        match self {
            Btauth => Signer::with_clock(key, "203.0.113.7", BtauthScheme::new(), clock),
            Dendrite => Signer::with_clock(key, "203.0.113.7", dendrite(), clock),
            Axon => Signer::with_clock(key, "203.0.113.7", BabelbitScheme::axon(), clock),
            Managed => Signer::with_clock(key, "203.0.113.7", BabelbitScheme::managed(), clock),
        }
    }

    pub(crate) fn window(self) -> Window {
        match self {
            Btauth => BtauthScheme::new().window(),
            Dendrite => dendrite().window(),
            Axon | Managed => BabelbitScheme::axon().window(),
        }
    }

    /// Returns the header for this part, where the scheme has it.
    pub(crate) fn header(self, part: Part) -> Option<&'static str> {
        let [btauth, other] = match part {
            Part::Nonce => ["x-bittensor-nonce", "bt_header_dendrite_nonce"],
            Part::Sender => ["x-bittensor-hotkey", "bt_header_dendrite_hotkey"],
            Part::Receiver => ["x-bittensor-receiver", "bt_header_axon_hotkey"],
            Part::Signature => ["x-bittensor-signature", "bt_header_dendrite_signature"],
            Part::Version => ["x-bittensor-version", "bt_header_dendrite_version"],
            Part::Uuid => ["", "bt_header_dendrite_uuid"],
            Part::Hash => ["", "computed_body_hash"],
            Part::Timeout => ["", "timeout"],
            Part::Name => ["", "name"],
        };
        Some(if self == Btauth { btauth } else { other }).filter(|name| !name.is_empty())
    }

    /// Returns the header of the body hash, if it is not empty.
    pub(crate) fn hash(self) -> Option<&'static str> {
        self.header(Part::Hash).filter(|_| self != Axon)
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Part {
    Nonce,
    Sender,
    Receiver,
    Signature,
    Version,
    Uuid,
    Hash,
    Timeout,
    Name,
}

pub(crate) fn dendrite() -> DendriteScheme {
    let class = |name| SynapseClass::new(name).hash(["prompt", "numbers"]);
    DendriteScheme::new().class(class("EchoSynapse")).class(class("OtherSynapse"))
}

pub(crate) fn key(uri: &str) -> Keypair {
    Keypair::from_uri(uri).unwrap()
}

pub(crate) fn hotkey(uri: &str) -> Hotkey {
    key(uri).hotkey()
}

/// A request as sent over the wire.
#[derive(Clone)]
pub(crate) struct SentRequest {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl SentRequest {
    /// Returns a request from `sender` to `receiver` at `nonce`, with a timeout of 10 s where the
    /// scheme has one.
    pub(crate) fn signed(kind: Kind, sender: &str, receiver: &str, nonce: u64) -> Self {
        Self::signed_by(&kind.signer(sender, nonce), receiver)
    }

    pub(crate) fn signed_by(signer: &Signer, receiver: &str) -> Self {
        let peer = Peer::new(hotkey(receiver), "10.0.0.1", 8091).unwrap();
        let timeout = Duration::from_secs(10);
        let headers = signer
            .headers(&peer, &Method::POST, PATH, "EchoSynapse", timeout, BODY.as_bytes())
            .unwrap();
        Self { method: Method::POST, path: PATH.into(), headers, body: BODY.into() }
    }

    pub(crate) fn fresh(kind: Kind) -> Self {
        Self::signed(kind, "//Alice", "//Bob", NOW)
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, HeaderValue::from_str(value).unwrap());
        self
    }

    pub(crate) fn without_header(mut self, name: &'static str) -> Self {
        self.headers.remove(name);
        self
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.headers[name].to_str().unwrap().to_owned()
    }

    /// Returns the bytes of the request, with additional header lines; the last request on the
    /// connection.
    pub(crate) fn raw(&self, extra_lines: &[&[u8]]) -> Vec<u8> {
        self.raw_with_connection("close", extra_lines)
    }

    pub(crate) fn raw_with_connection(&self, connection: &str, extra_lines: &[&[u8]]) -> Vec<u8> {
        let mut bytes = format!(
            "{} {} HTTP/1.1\r\nhost: bob\r\nconnection: {connection}\r\n",
            self.method, self.path
        );
        for (name, value) in &self.headers {
            write!(bytes, "{name}: {}\r\n", value.to_str().unwrap()).unwrap();
        }
        let mut bytes = bytes.into_bytes();
        let is_framed = |line: &&[u8]| {
            line.starts_with(b"content-length") || line.starts_with(b"transfer-encoding")
        };
        if !extra_lines.iter().any(is_framed) {
            bytes.extend(format!("content-length: {}\r\n", self.body.len()).bytes());
        }
        for line in extra_lines {
            bytes.extend([line, b"\r\n".as_slice()].concat());
        }
        [&bytes, b"\r\n".as_slice(), &self.body].concat()
    }

    /// Sends the body in two chunks.
    pub(crate) fn chunked(mut self) -> Self {
        let (one, two) = self.body.split_at(5);
        let mut body = format!("5\r\n{}\r\n", std::str::from_utf8(one).unwrap());
        write!(body, "{:x}\r\n{}\r\n0\r\n\r\n", two.len(), std::str::from_utf8(two).unwrap())
            .unwrap();
        self.body = body.into_bytes();
        self
    }
}

pub(crate) fn builder(kind: Kind, clock: &Arc<ManualClock>) -> SignedLayerBuilder {
    let builder = match kind {
        Btauth => SignedLayer::builder(hotkey("//Bob"), BtauthScheme::new()),
        Dendrite => SignedLayer::builder(hotkey("//Bob"), dendrite()),
        Axon | Managed => SignedLayer::builder(hotkey("//Bob"), BabelbitScheme::axon()),
    };
    builder.clock(Arc::clone(clock) as Arc<_>)
}

/// Bob's server at the time `NOW`.
pub(crate) struct Server {
    pub(crate) layer: SignedLayer,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) folder: TempDir,
}

impl Server {
    pub(crate) fn new(kind: Kind) -> Self {
        Self::with_settings(kind, Limits::default(), Policy::open(), Load::default())
    }

    pub(crate) fn with_settings(kind: Kind, limits: Limits, policy: Policy, load: Load) -> Self {
        let (clock, folder) = (Arc::new(ManualClock::at(NOW)), tempfile::tempdir().unwrap());
        let builder = builder(kind, &clock).limits(limits).policy(policy).load(load);
        let path = folder.path().join("replay");
        // The first start was long ago.
        clock.set(NOW - 1_000 * SECOND);
        drop(
            SignedLayer::builder(hotkey("//Bob"), BtauthScheme::new())
                .clock(clock.clone())
                .build_with_replay_log(&path),
        );
        clock.set(NOW);
        Self { layer: builder.build_with_replay_log(path).unwrap(), clock, folder }
    }

    /// Kills the process and restarts it.
    pub(crate) fn restarted(self, kind: Kind) -> Self {
        let Self { layer, clock, folder } = self;
        drop(layer);
        let layer =
            builder(kind, &clock).build_with_replay_log(folder.path().join("replay")).unwrap();
        Self { layer, clock, folder }
    }

    pub(crate) fn router(&self) -> Router {
        Router::new().fallback(|| async { "accepted" }).layer(self.layer.clone())
    }

    pub(crate) async fn send(&self, sent: &SentRequest) -> Outcome {
        call(self.router(), sent.clone()).await
    }

    /// Sends raw bytes over a real connection.
    pub(crate) async fn send_raw(&self, bytes: Vec<u8>) -> Outcome {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, router) = (Shutdown::new(), self.router());
        let stop = shutdown.clone();
        shutdown.spawn("server", async move {
            serve(listener, router, &stop, ServeLimits::default()).await;
        });
        let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
        connection.write_all(&bytes).await.unwrap();
        let mut text = String::new();
        connection.read_to_string(&mut text).await.unwrap();
        shutdown.request();
        // Only the last response counts.
        let answer = text.rfind("HTTP/1.1 ").map_or("", |start| &text[start..]);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
        Outcome::of(head.split(' ').nth(1).unwrap().parse().unwrap(), body)
    }
}

pub(crate) async fn call(router: Router, sent: SentRequest) -> Outcome {
    let uri: Uri = sent.path.parse().unwrap();
    let mut request =
        Request::builder().method(&sent.method).uri(uri).body(Body::from(sent.body)).unwrap();
    *request.headers_mut() = sent.headers;
    let response = router.oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    Outcome::of(status, std::str::from_utf8(&body).unwrap())
}

/// The server's response: status and reason.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) status: u16,
    pub(crate) reason: String,
}

impl Outcome {
    pub(crate) fn of(status: u16, body: &str) -> Self {
        let json: Value = serde_json::from_str(body).unwrap_or_default();
        let field = |name: &str| json[name].as_str().map(str::to_owned);
        let reason = match (field("error"), field("detail"), field("message")) {
            (Some(error), Some(detail), _) => format!("{error}: {detail}"),
            (Some(error), None, _) => error,
            (_, _, Some(message)) => message,
            _ => json["detail"][0]["msg"].as_str().unwrap_or_default().to_owned(),
        };
        // Replaces values that vary between runs, or are long.
        let reason = reason.split(" with 1").next().unwrap_or_default();
        let reason = reason.split_once('#').map_or(reason, |(before, _)| before.trim_end());
        Self { status, reason: reason.to_owned() }
    }

    pub(crate) fn table_cell(&self) -> String {
        match (self.status, self.reason.as_str()) {
            (200, _) => "**accepted**".to_owned(),
            (status, "") => status.to_string(),
            (status, reason) => format!("{status} {reason}"),
        }
    }
}
