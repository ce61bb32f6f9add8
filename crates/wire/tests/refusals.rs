//! The refusal matrix: every fault, sent to a server of every scheme. The outcome is also `docs/wire-security.md`:
//! `TAONET_UPDATE_DOCS=1 cargo test -p taonet-wire --test refusals` writes it anew.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests fail like the tests themselves"
)]

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::BodyExt;
use serde_json::Value;
use taonet_primitives::Hotkey;
use taonet_wallet::Keypair;
use taonet_wire::{
    BabelbitScheme, BtauthScheme, DendriteScheme, Limits, Load, ManualClock, Peer, Policy, Rate, Scheme, SignedLayer,
    SignedLayerBuilder, Signer, SynapseClass, Window, synapse_hash,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::ServiceExt;

const SECOND: u64 = 1_000_000_000;
const NOW: u64 = 1_800_000_000 * SECOND;
const BODY: &str = r#"{"prompt": "hello", "numbers": [1, 2.5, null], "extra": true}"#;
const PATH: &str = "/EchoSynapse?x=1&y=%20";
const UPDATE: &str = "TAONET_UPDATE_DOCS";

/// One column of the matrix.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Btauth,
    Dendrite,
    Axon,
    Managed,
}

use Kind::{Axon, Btauth, Dendrite, Managed};

const KINDS: [Kind; 4] = [Btauth, Dendrite, Axon, Managed];

impl Kind {
    fn title(self) -> &'static str {
        match self {
            Btauth => "btauth/1",
            Dendrite => "dendrite",
            Axon => "Babelbit, axon call",
            Managed => "Babelbit, managed call",
        }
    }

    fn signer(self, uri: &str, nonce: u64) -> Signer {
        let (key, clock) = (key(uri), Arc::new(ManualClock::at(nonce)));
        match self {
            Btauth => Signer::with_clock(key, "203.0.113.7", BtauthScheme::new(), clock),
            Dendrite => Signer::with_clock(key, "203.0.113.7", dendrite(), clock),
            Axon => Signer::with_clock(key, "203.0.113.7", BabelbitScheme::axon(), clock),
            Managed => Signer::with_clock(key, "203.0.113.7", BabelbitScheme::managed(), clock),
        }
    }

    fn window(self) -> Window {
        match self {
            Btauth => BtauthScheme::new().window(),
            Dendrite => dendrite().window(),
            Axon | Managed => BabelbitScheme::axon().window(),
        }
    }

    /// The header of this meaning, where the scheme has it.
    fn header(self, part: Part) -> Option<&'static str> {
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

    /// The header of the body's hash, when it holds one.
    fn hash(self) -> Option<&'static str> {
        self.header(Part::Hash).filter(|_| self != Axon)
    }
}

#[derive(Clone, Copy)]
enum Part {
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

fn dendrite() -> DendriteScheme {
    DendriteScheme::new().class(SynapseClass::new("EchoSynapse").hash(["prompt", "numbers"]))
}

fn key(uri: &str) -> Keypair {
    Keypair::from_uri(uri).unwrap()
}

fn hotkey(uri: &str) -> Hotkey {
    key(uri).hotkey()
}

/// A request, as it goes over the wire.
#[derive(Clone)]
struct Sent {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Sent {
    /// What `sender` sends to `receiver` at `nonce`, with a timeout of 10 s where the scheme has one.
    fn signed(kind: Kind, sender: &str, receiver: &str, nonce: u64) -> Self {
        Self::by(&kind.signer(sender, nonce), receiver)
    }

    fn by(signer: &Signer, receiver: &str) -> Self {
        let peer = Peer::new(hotkey(receiver), "10.0.0.1", 8091).unwrap();
        let timeout = Duration::from_secs(10);
        let headers = signer.headers(&peer, &Method::POST, PATH, "EchoSynapse", timeout, BODY.as_bytes()).unwrap();
        Self { method: Method::POST, path: PATH.into(), headers, body: BODY.into() }
    }

    fn fresh(kind: Kind) -> Self {
        Self::signed(kind, "//Alice", "//Bob", NOW)
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, HeaderValue::from_str(value).unwrap());
        self
    }

    fn without(mut self, name: &'static str) -> Self {
        self.headers.remove(name);
        self
    }

    fn text(&self, name: &str) -> String {
        self.headers[name].to_str().unwrap().to_owned()
    }

    /// As bytes on a connection, with these header lines more.
    fn raw(&self, more: &[&[u8]]) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\nhost: bob\r\nconnection: close\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            write!(bytes, "{name}: {}\r\n", value.to_str().unwrap()).unwrap();
        }
        let mut bytes = bytes.into_bytes();
        if !more.iter().any(|line| line.starts_with(b"content-length")) {
            bytes.extend(format!("content-length: {}\r\n", self.body.len()).bytes());
        }
        for line in more {
            bytes.extend([line, b"\r\n".as_slice()].concat());
        }
        [&bytes, b"\r\n".as_slice(), &self.body].concat()
    }
}

fn builder(kind: Kind, clock: &Arc<ManualClock>) -> SignedLayerBuilder {
    let builder = match kind {
        Btauth => SignedLayer::builder(hotkey("//Bob"), BtauthScheme::new()),
        Dendrite => SignedLayer::builder(hotkey("//Bob"), dendrite()),
        Axon | Managed => SignedLayer::builder(hotkey("//Bob"), BabelbitScheme::axon()),
    };
    builder.clock(Arc::clone(clock) as Arc<_>)
}

/// Bob's server at the time `NOW`.
struct Server {
    layer: SignedLayer,
    clock: Arc<ManualClock>,
    folder: TempDir,
}

impl Server {
    fn new(kind: Kind) -> Self {
        Self::with(kind, Limits::default(), Policy::open(), Load::default())
    }

    fn with(kind: Kind, limits: Limits, policy: Policy, load: Load) -> Self {
        let (clock, folder) = (Arc::new(ManualClock::at(NOW)), tempfile::tempdir().unwrap());
        let builder = builder(kind, &clock).limits(limits).policy(policy).load(load);
        let layer = builder.build_with_replay_log(folder.path().join("replay")).unwrap();
        Self { layer, clock, folder }
    }

    /// The process is killed and started again.
    fn restarted(self, kind: Kind) -> Self {
        let Self { layer, clock, folder } = self;
        drop(layer);
        let layer = builder(kind, &clock).build_with_replay_log(folder.path().join("replay")).unwrap();
        Self { layer, clock, folder }
    }

    fn router(&self) -> Router {
        Router::new().fallback(|| async { "accepted" }).layer(self.layer.clone())
    }

    async fn send(&self, sent: &Sent) -> Outcome {
        let uri: Uri = sent.path.parse().unwrap();
        let mut request = Request::builder().method(&sent.method).uri(uri).body(Body::from(sent.body.clone())).unwrap();
        *request.headers_mut() = sent.headers.clone();
        let response = self.router().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Outcome::of(status, std::str::from_utf8(&body).unwrap())
    }

    /// Over a real connection, byte for byte.
    async fn send_raw(&self, bytes: Vec<u8>) -> Outcome {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(axum::serve(listener, self.router()).into_future());
        let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
        connection.write_all(&bytes).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        server.abort();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
        Outcome::of(head.split(' ').nth(1).unwrap().parse().unwrap(), body)
    }
}

/// How a server answered: status and reason.
#[derive(Debug, Clone, PartialEq)]
struct Outcome {
    status: u16,
    reason: String,
}

impl Outcome {
    fn of(status: u16, body: &str) -> Self {
        let json: Value = serde_json::from_str(body).unwrap_or_default();
        let field = |name: &str| json[name].as_str().map(str::to_owned);
        let reason = match (field("error"), field("detail"), field("message")) {
            (Some(error), Some(detail), _) => format!("{error}: {detail}"),
            (Some(error), None, _) => error,
            (_, _, Some(message)) => message,
            _ => json["detail"][0]["msg"].as_str().unwrap_or_default().to_owned(),
        };
        // Values that differ from run to run, or are long.
        let reason = reason.split(" with 1").next().unwrap_or_default();
        let reason = reason.split_once('#').map_or(reason, |(before, _)| before.trim_end());
        Self { status, reason: reason.to_owned() }
    }

    fn is_refused(&self) -> bool {
        (400..600).contains(&self.status)
    }

    fn cell(&self) -> String {
        if self.reason.is_empty() { self.status.to_string() } else { format!("{} {}", self.status, self.reason) }
    }
}

type Prepare = fn(Kind) -> Option<Sent>;

/// Faults of one request, each by itself. `None` where the scheme has no such thing.
const FAULTS: &[(&str, Prepare)] = &[
    ("no signed headers at all", |_| {
        Some(Sent { method: Method::POST, path: PATH.into(), headers: HeaderMap::new(), body: BODY.into() })
    }),
    ("signature missing", |kind| Some(Sent::fresh(kind).without(kind.header(Part::Signature)?))),
    ("signature empty", |kind| Some(Sent::fresh(kind).with(kind.header(Part::Signature)?, ""))),
    ("signature `0x`", |kind| Some(Sent::fresh(kind).with(kind.header(Part::Signature)?, "0x"))),
    ("signature truncated", |kind| {
        let (sent, name) = (Sent::fresh(kind), kind.header(Part::Signature)?);
        let text = sent.text(name);
        Some(sent.with(name, &text[..text.len() - 2]))
    }),
    ("signature in upper-case hex", |kind| {
        let (sent, name) = (Sent::fresh(kind), kind.header(Part::Signature)?);
        let text = sent.text(name).to_uppercase().replace("0X", "0x");
        Some(sent.with(name, &text))
    }),
    ("signature of zeros", |kind| {
        Some(Sent::fresh(kind).with(kind.header(Part::Signature)?, &format!("0x{}", "0".repeat(128))))
    }),
    ("signed by a foreign key", |kind| {
        let alice = hotkey("//Alice").to_string();
        Some(Sent::signed(kind, "//Charlie", "//Bob", NOW).with(kind.header(Part::Sender)?, &alice))
    }),
    ("nonce missing", |kind| Some(Sent::fresh(kind).without(kind.header(Part::Nonce)?))),
    ("nonce no number", |kind| Some(Sent::fresh(kind).with(kind.header(Part::Nonce)?, "now"))),
    ("nonce with a sign", |kind| Some(Sent::fresh(kind).with(kind.header(Part::Nonce)?, &format!("+{NOW}")))),
    ("nonce altered", |kind| Some(Sent::fresh(kind).with(kind.header(Part::Nonce)?, &(NOW + 1).to_string()))),
    ("sender missing", |kind| Some(Sent::fresh(kind).without(kind.header(Part::Sender)?))),
    ("sender mistyped", |kind| {
        let mistyped = hotkey("//Alice").to_string().replace("QY", "QZ");
        Some(Sent::fresh(kind).with(kind.header(Part::Sender)?, &mistyped))
    }),
    ("receiver missing", |kind| Some(Sent::fresh(kind).without(kind.header(Part::Receiver)?))),
    ("receiver is somebody else", |kind| Some(Sent::signed(kind, "//Alice", "//Dave", NOW))),
    ("receiver altered to us", |kind| {
        let bob = hotkey("//Bob").to_string();
        Some(Sent::signed(kind, "//Alice", "//Dave", NOW).with(kind.header(Part::Receiver)?, &bob))
    }),
    ("stale by 1 ns", |kind| {
        let timeout = kind.header(Part::Timeout).map_or(0, |_| 10);
        let past = kind.window().past.as_secs() + timeout;
        Some(Sent::signed(kind, "//Alice", "//Bob", NOW - past * SECOND - 1))
    }),
    ("stale, under a timeout of a day", |kind| {
        let window = kind.window();
        let nonce = NOW - (window.past + window.max_timeout).as_secs() * SECOND - 1;
        Some(Sent::signed(kind, "//Alice", "//Bob", nonce).with(kind.header(Part::Timeout)?, "86400.0"))
    }),
    ("stale, under an old version", |kind| {
        let sent = Sent::signed(kind, "//Alice", "//Bob", 5);
        Some(sent.with(kind.header(Part::Version).filter(|_| kind != Btauth)?, "7001000"))
    }),
    ("from the future by 1 ns", |kind| {
        Some(Sent::signed(kind, "//Alice", "//Bob", NOW + kind.window().future.as_secs() * SECOND + 1))
    }),
    ("timeout negative", |kind| Some(Sent::fresh(kind).with(kind.header(Part::Timeout)?, "-1"))),
    ("timeout not a number", |kind| Some(Sent::fresh(kind).with(kind.header(Part::Timeout)?, "nan"))),
    ("process (UUID) altered", |kind| {
        Some(Sent::fresh(kind).with(kind.header(Part::Uuid)?, "00000000-0000-4000-8000-000000000000"))
    }),
    ("process (UUID) with a dot", |kind| Some(Sent::fresh(kind).with(kind.header(Part::Uuid)?, "a.b"))),
    ("version unknown", |kind| {
        let version = if kind == Btauth { "2" } else { "ten" };
        Some(Sent::fresh(kind).with(kind.header(Part::Version)?, version))
    }),
    ("key type altered", |kind| {
        Some(Sent::fresh(kind).with("x-bittensor-crypto", "ed25519")).filter(|_| kind == Btauth)
    }),
    ("key type unknown", |kind| Some(Sent::fresh(kind).with("x-bittensor-crypto", "rsa")).filter(|_| kind == Btauth)),
    ("method altered", |kind| Some(Sent { method: Method::PUT, ..Sent::fresh(kind) })),
    ("query altered", |kind| Some(Sent { path: "/EchoSynapse?x=2".into(), ..Sent::fresh(kind) })),
    ("another path", |kind| Some(Sent { path: "/Synapse".into(), ..Sent::fresh(kind) })),
    ("an unknown path", |kind| Some(Sent { path: "/Unknown".into(), ..Sent::fresh(kind) })),
    ("timeout altered", |kind| Some(Sent::fresh(kind).with(kind.header(Part::Timeout)?, "11.0"))),
    ("message's name altered", |kind| Some(Sent::fresh(kind).with(kind.header(Part::Name)?, "Other"))),
    ("body altered", |kind| Some(Sent { body: BODY.replace("hello", "hullo").into(), ..Sent::fresh(kind) })),
    ("body altered outside the hashed fields", |kind| {
        Some(Sent { body: BODY.replace("true", "false").into(), ..Sent::fresh(kind) })
    }),
    ("body altered in its spaces", |kind| Some(Sent { body: BODY.replace(": ", ":").into(), ..Sent::fresh(kind) })),
    ("body emptied", |kind| Some(Sent { body: Vec::new(), ..Sent::fresh(kind) })),
    ("body no JSON", |kind| Some(Sent { body: b"{not json".into(), ..Sent::fresh(kind) })),
    ("body and its hash altered", |kind| {
        let name = kind.hash()?;
        let body = BODY.replace("hello", "hullo").into_bytes();
        let hash = match kind {
            Dendrite => synapse_hash(&["prompt", "numbers"], &body).unwrap()?,
            _ => taonet_wire::compact_hash(&body).unwrap(),
        };
        Some(Sent { body, ..Sent::fresh(kind).with(name, &hash) })
    }),
    ("body's hash taken away", |kind| Some(Sent::fresh(kind).with(kind.hash()?, ""))),
    ("nonce doubled", |kind| {
        let (mut sent, name) = (Sent::fresh(kind), kind.header(Part::Nonce)?);
        sent.headers.append(name, HeaderValue::from(NOW));
        Some(sent)
    }),
    ("signature doubled", |kind| {
        let (mut sent, name) = (Sent::fresh(kind), kind.header(Part::Signature)?);
        sent.headers.append(name, sent.headers[name].clone());
        Some(sent)
    }),
    ("receiver doubled", |kind| {
        let (mut sent, name) = (Sent::fresh(kind), kind.header(Part::Receiver)?);
        sent.headers.append(name, HeaderValue::from_str(&hotkey("//Dave").to_string()).unwrap());
        Some(sent)
    }),
    ("nonces joined by a comma", |kind| {
        Some(Sent::fresh(kind).with(kind.header(Part::Nonce)?, &format!("{NOW}, {NOW}")))
    }),
    ("nonce once more under a look-alike name", |kind| {
        let name = kind.header(Part::Nonce)?;
        let other = if kind == Btauth { name.replace('-', "_") } else { name.replace('_', "-") };
        let mut sent = Sent::fresh(kind);
        sent.headers.insert(HeaderName::try_from(other).unwrap(), HeaderValue::from(NOW));
        Some(sent)
    }),
    ("a header outside ASCII", |kind| {
        let mut sent = Sent::fresh(kind);
        sent.headers.insert(kind.header(Part::Receiver)?, HeaderValue::from_bytes(b"\xe9").unwrap());
        Some(sent)
    }),
    ("20 kB in one header", |kind| Some(Sent::fresh(kind).with("x", &"x".repeat(20_000)))),
    ("65 header lines", |kind| {
        let mut sent = Sent::fresh(kind);
        for _ in 0..65 {
            sent.headers.append("x", HeaderValue::from_static(""));
        }
        Some(sent)
    }),
    ("10 GB announced", |kind| Some(Sent::fresh(kind).with("content-length", "10000000000"))),
    ("9 MB sent", |kind| Some(Sent { body: vec![b' '; 9 << 20], ..Sent::fresh(kind) })),
];

/// Lines that are sent as they are, on a connection.
const SMUGGLED: &[(&str, &[&[u8]])] = &[
    ("a folded header line", &[b"x: a", b" folded"]),
    ("NUL in a header", &[b"x: a\0b"]),
    ("a bare CR in a header", &[b"x: a\rb"]),
    ("a space before a header's colon", &[b"x : a"]),
    ("two lengths", &[b"content-length: 62", b"content-length: 5"]),
    ("a line feed smuggles a header", &[b"x: a\nbt_header_dendrite_nonce: 1\nx-bittensor-nonce: 1"]),
];

/// What a scheme does not sign, so that such a request is accepted.
fn is_unsigned(kind: Kind, fault: &str) -> bool {
    let of_all_but_btauth = ["method altered", "query altered", "timeout altered", "message's name altered"];
    let of_path = ["another path", "an unknown path"];
    let body = ["body altered", "body emptied", "body no JSON"];
    let harmless_in_body = ["body altered in its spaces", "body altered outside the hashed fields"];
    match kind {
        Btauth => false,
        Dendrite => of_all_but_btauth.contains(&fault) || harmless_in_body.contains(&fault),
        Managed => {
            of_all_but_btauth.contains(&fault) || of_path.contains(&fault) || fault == "body altered in its spaces"
        }
        Axon => [&of_all_but_btauth[..], &of_path, &body, &harmless_in_body].concat().contains(&fault),
    }
}

/// One row of the document.
struct Row {
    fault: &'static str,
    cells: Vec<Option<Outcome>>,
}

async fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (fault, prepare) in FAULTS {
        let mut cells = Vec::new();
        for kind in KINDS {
            cells.push(match prepare(kind) {
                Some(sent) => Some(Server::new(kind).send(&sent).await),
                None => None,
            });
        }
        rows.push(Row { fault, cells });
    }
    for (fault, lines) in SMUGGLED {
        let mut cells = Vec::new();
        for kind in KINDS {
            cells.push(Some(Server::new(kind).send_raw(Sent::fresh(kind).raw(lines)).await));
        }
        rows.push(Row { fault, cells });
    }
    let mut add = |fault, cells: [Option<Outcome>; 4]| rows.push(Row { fault, cells: cells.into() });
    add("sent again", [again(Btauth).await, again(Dendrite).await, again(Axon).await, again(Managed).await]);
    let mut restarted = [const { None }; 4];
    for (cell, kind) in restarted.iter_mut().zip(KINDS) {
        let server = Server::new(kind);
        let sent = Sent::fresh(kind);
        assert_eq!(server.send(&sent).await.status, 200);
        *cell = Some(server.restarted(kind).send(&sent).await);
    }
    add("sent again after a restart", restarted);
    let mut later = [const { None }; 4];
    for (cell, kind) in later.iter_mut().zip(KINDS).filter(|(_, kind)| *kind == Dendrite) {
        let (server, signer) = (Server::new(kind), kind.signer("//Alice", NOW));
        let (first, second) = (Sent::by(&signer, "//Bob"), Sent::by(&signer, "//Bob"));
        assert_eq!(server.send(&second).await.status, 200);
        *cell = Some(server.send(&first).await);
    }
    add("older than the last one of its process", later);
    let unlimited = Load::default();
    let rate = Load { rate: Some(Rate { per_second: 1, burst: 1 }), ..Load::default() };
    for (fault, policy, load) in [
        ("hotkey not on the list", Policy::only([hotkey("//Charlie")]), unlimited),
        ("hotkey blocked", Policy::open().block([hotkey("//Alice")]), unlimited),
        ("too little stake", Policy::open().min_stake(1_000), unlimited),
        ("no validator permit", Policy::open().validators_only(), unlimited),
        ("second request of a second, one allowed", Policy::open(), rate),
    ] {
        let mut cells = [const { None }; 4];
        for (cell, kind) in cells.iter_mut().zip(KINDS) {
            let server = Server::with(kind, Limits::default(), policy.clone(), load);
            let signer = kind.signer("//Alice", NOW);
            if load.rate.is_some() {
                assert_eq!(server.send(&Sent::by(&signer, "//Bob")).await.status, 200);
            }
            *cell = Some(server.send(&Sent::by(&signer, "//Bob")).await);
        }
        rows.push(Row { fault, cells: cells.into() });
    }
    rows
}

async fn again(kind: Kind) -> Option<Outcome> {
    let (server, sent) = (Server::new(kind), Sent::fresh(kind));
    assert_eq!(server.send(&sent).await, Outcome { status: 200, reason: String::new() }, "the original passes");
    server.clock.advance(Duration::from_secs(1));
    Some(server.send(&sent).await)
}

#[tokio::test]
async fn the_matrix_holds_and_is_documented() {
    let rows = rows().await;
    let (mut refused, mut unsigned) = (0, 0);
    for row in &rows {
        for (kind, outcome) in KINDS.into_iter().zip(&row.cells) {
            let Some(outcome) = outcome else { continue };
            if is_unsigned(kind, row.fault) {
                assert_eq!(outcome.status, 200, "{}: {} is documented as unsigned", kind.title(), row.fault);
                unsigned += 1;
            } else {
                assert!(outcome.is_refused(), "{}: {} was accepted: {outcome:?}", kind.title(), row.fault);
                refused += 1;
            }
        }
    }
    println!("{refused} refused, {unsigned} accepted because the scheme does not sign that");
    assert!(refused >= 200, "{refused}");

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/wire-security.md");
    let document = document(&rows);
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, &document).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == document, "docs/wire-security.md is out of date; {UPDATE}=1 writes it anew");
}

const INTRODUCTION: &str = "\
# What signed requests are safe from

Written by `cargo test -p taonet-wire --test refusals` from what a server did; with `TAONET_UPDATE_DOCS=1` it is written
anew.

## What a signature covers

| | btauth/1 | dendrite | Babelbit, axon call | Babelbit, managed call |
|---|---|---|---|---|
| Sender, receiver, nonce | signed | signed | signed | signed |
| Calling process (UUID) | has none | signed | signed | signed |
| Method, path, query | signed | **not signed**; the path must name a known class | **not signed** | **not signed** |
| Body | signed, each byte | the fields that the class names, as values; of many classes **none** | **not signed** | \
signed, as compact JSON |
| Timeout | has none | **not signed**; at most 60 s count | **not signed**; at most 60 s count | **not signed**; at most \
60 s count |
| Version | signed (it must be 1) | **not signed**, decides nothing | **not signed**, decides nothing | \
**not signed**, decides nothing |
| Addresses, message's name, other headers | **not signed** | **not signed** | **not signed** | **not signed** |
| Answer | **not signed** | **not signed**; refusals on request | **not signed** | **not signed** |

None of the schemes hides anything: where others can listen, put TLS or a private network beneath. Whoever can alter
requests on their way can alter what is not signed. Between peers of taonet the scheme is btauth/1, receiver required.
A request that states a length and comes in chunks is read by its chunks, as RFC 9112 asks; a proxy in front must too.
Each server remembers for itself what it accepted: two servers of one hotkey and one scheme accept a request once each.

## What is refused

Each request but for its fault is a good one. **Accepted** stands where the scheme does not sign what was altered; a
dash, where the scheme has no such thing.
";

fn document(rows: &[Row]) -> String {
    let mut text = INTRODUCTION.to_owned();
    text.push_str("\n| Fault |");
    for kind in KINDS {
        write!(text, " {} |", kind.title()).unwrap();
    }
    text.push_str("\n|---|---|---|---|---|\n");
    for row in rows {
        write!(text, "| {} |", row.fault).unwrap();
        for outcome in &row.cells {
            match outcome {
                None => text.push_str(" – |"),
                Some(outcome) if outcome.is_refused() => write!(text, " {} |", outcome.cell()).unwrap(),
                Some(_) => text.push_str(" **accepted** |"),
            }
        }
        text.push('\n');
    }
    text
}

/// A request with one bit changed, where it can still be sent.
fn flips(kind: Kind, sent: &Sent) -> Vec<(String, Sent)> {
    let mut flips = Vec::new();
    let flipped = |bytes: &[u8], bit: usize| {
        let mut bytes = bytes.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    };
    let parts = [Part::Nonce, Part::Sender, Part::Receiver, Part::Signature, Part::Uuid, Part::Hash];
    for name in parts.into_iter().filter_map(|part| kind.header(part)) {
        let value = sent.headers[name].as_bytes();
        for bit in 0..8 * value.len() {
            let Ok(value) = HeaderValue::from_bytes(&flipped(value, bit)) else { continue };
            let mut sent = sent.clone();
            sent.headers.insert(name, value);
            flips.push((format!("{name} bit {bit}"), sent));
        }
    }
    if kind == Btauth {
        for bit in 0..8 * sent.method.as_str().len() {
            let Ok(method) = Method::from_bytes(&flipped(sent.method.as_str().as_bytes(), bit)) else { continue };
            flips.push((format!("method bit {bit}"), Sent { method, ..sent.clone() }));
        }
        for bit in 0..8 * sent.path.len() {
            let path = String::from_utf8(flipped(sent.path.as_bytes(), bit));
            let Some(path) = path.ok().filter(|path| path.parse::<Uri>().is_ok_and(|uri| uri.path().starts_with('/')))
            else {
                continue;
            };
            flips.push((format!("path bit {bit}"), Sent { path, ..sent.clone() }));
        }
    }
    let body: &[usize] = match kind {
        Btauth | Managed => &[0, BODY.len()],
        // The values of the hashed fields.
        Dendrite => &[12, 17, 31, 45],
        Axon => &[],
    };
    for range in body.chunks(2) {
        for bit in 8 * range[0]..8 * range[1] {
            flips.push((format!("body bit {bit}"), Sent { body: flipped(&sent.body, bit), ..sent.clone() }));
        }
    }
    flips
}

#[tokio::test]
async fn no_flipped_bit_of_what_is_signed_passes() {
    assert_eq!((&BODY[12..17], &BODY[31..45]), ("hello", "[1, 2.5, null]"));
    for kind in KINDS {
        let server = Server::new(kind);
        let signer = kind.signer("//Alice", NOW);
        let mut count = 0;
        for sent in [Sent::by(&signer, "//Bob"), Sent::by(&signer, "//Bob")] {
            for (what, flip) in flips(kind, &sent) {
                let outcome = server.send(&flip).await;
                assert!(outcome.is_refused(), "{}: {what}: {outcome:?}", kind.title());
                count += 1;
            }
            assert_eq!(server.send(&sent).await.status, 200, "the original passes");
        }
        println!("{}: {count} flipped bits refused", kind.title());
        assert!(count >= 2_000, "{}: {count}", kind.title());
    }
}
