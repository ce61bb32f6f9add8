use std::error::Error as _;
use std::io::Read as _;
use std::iter::successors;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use reqwest::Response;
use taonet_babelbit_core::text_api::PREDICT_MESSAGE;
use taonet_primitives::innermost_cause;
use taonet_wallet::Keypair;
use taonet_wire::{BabelbitScheme, Clock, ManualClock, Peer, Signer, SystemClock};
use url::Url;

use super::DEADLINE_MARGIN;
use crate::conformance::fault::{FailedExchange, Fault, NoReply};
use crate::conformance::{Target, TestError};
use taonet_babelbit_runner::PlaySettings;
use taonet_http::client::builder;

const SIGNATURE: &str = "bt_header_dendrite_signature";
/// Clock offset outside any accepted window.
const CLOCK_OFFSET: Duration = Duration::from_mins(2);

/// A response with any status.
#[derive(Debug, Default)]
pub(in crate::conformance) struct Reply {
    pub(in crate::conformance) status: u16,
    /// The body, decompressed if it has a supported encoding.
    pub(in crate::conformance) body: Vec<u8>,
    /// `Content-Encoding`, if the body is compressed.
    pub(in crate::conformance) encoding: Option<String>,
    /// `Content-Type`.
    pub(in crate::conformance) kind: String,
    /// `Location`.
    pub(in crate::conformance) location: Option<String>,
}

impl Reply {
    /// Whether the body is a web page.
    pub(in crate::conformance) fn is_page(&self) -> bool {
        self.kind.starts_with("text/html") || self.body.trim_ascii_start().starts_with(b"<")
    }
}

/// A forged request that must be refused.
#[derive(Debug, Clone, Copy)]
pub(super) enum Forgery {
    Unsigned,
    OtherReceiver,
    FalseSignature,
    OldNonce,
    FutureNonce,
    /// A request sent twice; the second response is checked.
    Replay,
}

/// Sends requests to the miner, with valid and forged signatures.
pub(super) struct Wire {
    client: reqwest::Client,
    /// Client of the health routes, which limits the time for opening a connection, as validators
    /// do not.
    health_client: reqwest::Client,
    base: Url,
    pub(super) path: String,
    /// Name of the first message in signed headers.
    first_message: &'static str,
    peer: Peer,
    validator: Keypair,
    signer: Signer,
    body_signer: Signer,
    limit: usize,
    /// Whether any request got a response.
    has_answered: AtomicBool,
}

/// Time limit for opening a connection to the health routes, with name resolution and TLS. It is
/// below that of the response, so that a host that drops packets is unreachable, not slow.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// External address in the signed headers, which miners ignore.
const UNKNOWN: &str = "0.0.0.0";

impl Wire {
    pub(super) fn new(
        target: &Target,
        first_message: &'static str,
        settings: &PlaySettings,
    ) -> Result<Self, TestError> {
        let client = builder().build().map_err(TestError::Client)?;
        let health_client = builder().connect_timeout(CONNECT_TIMEOUT).build();
        let health_client = health_client.map_err(TestError::Client)?;
        let base = target.address.url().clone();
        let path = format!(
            "{}/{}",
            base.path().trim_end_matches('/'),
            target.predict_path.trim_start_matches('/')
        );
        let signer = |scheme| Signer::new(target.validator.clone(), UNKNOWN, scheme);
        Ok(Self {
            client,
            health_client,
            path,
            first_message,
            base,
            peer: target.address.peer(target.hotkey)?,
            validator: target.validator.clone(),
            signer: signer(BabelbitScheme::axon()),
            body_signer: signer(BabelbitScheme::managed()),
            limit: settings.max_response_bytes(2),
            has_answered: AtomicBool::new(false),
        })
    }

    /// Returns the host and port of the miner.
    pub(super) fn address(&self) -> String {
        format!("{}:{}", self.base.host_str().unwrap_or_default(), self.peer.port())
    }

    /// Whether the requests are those of the text contest.
    pub(super) fn is_text(&self) -> bool {
        self.first_message == PREDICT_MESSAGE
    }

    /// Gets a health route, below the miner's address.
    pub(super) async fn get(&self, route: &str) -> Result<Reply, FailedExchange> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{route}", self.base.path().trim_end_matches('/')));
        let limit = Duration::from_secs(10);
        let exchange = async { self.read(self.health_client.get(url).send().await).await };
        with_timeout(limit, exchange).await
    }

    /// Sends a message as validators do to an axon: its body is not signed.
    pub(super) async fn post_signed(
        &self,
        message: &str,
        body: String,
        limit: Duration,
    ) -> Result<Reply, FailedExchange> {
        let headers = self.headers(&self.signer, &self.peer, message, limit, &body)?;
        self.post(headers, body, limit).await
    }

    /// Sends a first message as validators do to a managed miner: the hash of its body is signed.
    pub(super) async fn post_body_signed(
        &self,
        body: String,
        limit: Duration,
    ) -> Result<Reply, FailedExchange> {
        let headers =
            self.headers(&self.body_signer, &self.peer, self.first_message, limit, &body)?;
        self.post(headers, body, limit).await
    }

    /// Sends a forged first message, which the miner must refuse.
    pub(super) async fn post_forged(
        &self,
        forgery: Forgery,
        body: String,
        limit: Duration,
    ) -> Result<Reply, FailedExchange> {
        let sign = |signer: &Signer, peer: &Peer| {
            self.headers(signer, peer, self.first_message, limit, &body)
        };
        let signer_at = |now_ns: u64| {
            let clock = Arc::new(ManualClock::at(now_ns));
            Signer::with_clock(self.validator.clone(), UNKNOWN, BabelbitScheme::axon(), clock)
        };
        let offset = u64::try_from((CLOCK_OFFSET + limit).as_nanos()).unwrap_or(u64::MAX);
        let now = SystemClock.now_ns();
        let headers = match forgery {
            Forgery::Unsigned => HeaderMap::new(),
            Forgery::OtherReceiver => {
                // The validator's own hotkey, which no miner has.
                let other = Peer::new(self.validator.hotkey(), self.peer.host(), self.peer.port());
                sign(&self.signer, &other.map_err(|error| unsent_error(&error))?)?
            }
            Forgery::FalseSignature => {
                let mut headers = sign(&self.signer, &self.peer)?;
                let signature = self.validator.sign(b"something else").to_string();
                headers.insert(
                    SIGNATURE,
                    HeaderValue::try_from(signature).map_err(|error| unsent_error(&error))?,
                );
                headers
            }
            Forgery::OldNonce => sign(&signer_at(now.saturating_sub(offset)), &self.peer)?,
            Forgery::FutureNonce => sign(&signer_at(now.saturating_add(offset)), &self.peer)?,
            Forgery::Replay => {
                let headers = sign(&self.signer, &self.peer)?;
                let first = self.post(headers.clone(), body.clone(), limit).await?;
                if let Some(kind) = Fault::of(&first) {
                    let observation = format!(
                        "the first of two identical requests returned status {}",
                        first.status
                    );
                    return Err(FailedExchange { kind, observation });
                }
                headers
            }
        };
        self.post(headers, body, limit).await
    }

    fn headers(
        &self,
        signer: &Signer,
        peer: &Peer,
        message: &str,
        limit: Duration,
        body: &str,
    ) -> Result<HeaderMap, FailedExchange> {
        let headers =
            signer.headers(peer, &Method::POST, &self.path, message, limit, body.as_bytes());
        headers.map_err(|error| unsent_error(&error))
    }

    async fn post(
        &self,
        mut headers: HeaderMap,
        body: String,
        limit: Duration,
    ) -> Result<Reply, FailedExchange> {
        let mut url = self.base.clone();
        url.set_path(&self.path);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let request = self.client.post(url).headers(headers).body(Bytes::from(body));
        with_timeout(limit + DEADLINE_MARGIN, async { self.read(request.send().await).await }).await
    }

    async fn read(&self, response: reqwest::Result<Response>) -> Result<Reply, FailedExchange> {
        let mut response = response.map_err(|error| self.exchange_error(&error))?;
        self.has_answered.store(true, Ordering::Relaxed);
        let status = response.status().as_u16();
        let text = |name: HeaderName| {
            let value = response.headers().get(name).and_then(|value| value.to_str().ok());
            value.map(|value| value.trim().to_ascii_lowercase())
        };
        let encoding = text(header::CONTENT_ENCODING).filter(|encoding| encoding != "identity");
        let kind = text(header::CONTENT_TYPE).unwrap_or_default();
        let location = response.headers().get(header::LOCATION);
        let location = location.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let mut body = Vec::new();
        while let Some(chunk) =
            response.chunk().await.map_err(|error| self.exchange_error(&error))?
        {
            if body.len() + chunk.len() > self.limit {
                let observation = format!("{status} with more than {} bytes", self.limit);
                return Err(FailedExchange {
                    kind: Fault::NoReply(NoReply::TooLarge),
                    observation,
                });
            }
            body.extend_from_slice(&chunk);
        }
        if let Some(encoding) = &encoding {
            body = decompress(&body, encoding, self.limit).unwrap_or(body);
        }
        Ok(Reply { status, body, encoding, kind, location })
    }

    /// Describes a connection error by its innermost cause: the others are the layers of the
    /// client.
    fn exchange_error(&self, error: &reqwest::Error) -> FailedExchange {
        let has_answered = self.has_answered.load(Ordering::Relaxed);
        let kind = match (error.is_connect(), error.is_timeout()) {
            (true, _) if !has_answered => NoReply::Unreachable,
            (false, true) => NoReply::TimedOut,
            _ if has_answered && !is_malformed(error) => NoReply::Ended,
            _ => NoReply::NotHttp,
        };
        let observation = if error.is_connect() && error.is_timeout() {
            format!("no connection within {} s", CONNECT_TIMEOUT.as_secs())
        } else {
            innermost_cause(error)
        };
        FailedExchange { kind: Fault::NoReply(kind), observation }
    }
}

/// Whether a response is not HTTP.
fn is_malformed(error: &reqwest::Error) -> bool {
    successors(error.source(), |cause| (*cause).source())
        .filter_map(|cause| cause.downcast_ref::<hyper::Error>())
        .any(hyper::Error::is_parse)
}

/// Decompresses up to `limit` bytes; `None` if the encoding is unsupported or the body is
/// malformed.
fn decompress(body: &[u8], encoding: &str, limit: usize) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let read = match encoding {
        "gzip" | "x-gzip" => MultiGzDecoder::new(body).take(limit as u64).read_to_end(&mut text),
        "deflate" => ZlibDecoder::new(body).take(limit as u64).read_to_end(&mut text),
        _ => return None,
    };
    read.ok().map(|_| text)
}

async fn with_timeout(
    limit: Duration,
    exchange: impl Future<Output = Result<Reply, FailedExchange>>,
) -> Result<Reply, FailedExchange> {
    tokio::time::timeout(limit, exchange).await.unwrap_or_else(|_| {
        let observation = format!("no response within {:.0} s", limit.as_secs_f64());
        Err(FailedExchange { kind: Fault::NoReply(NoReply::TimedOut), observation })
    })
}

fn unsent_error(error: &dyn std::error::Error) -> FailedExchange {
    FailedExchange { kind: Fault::NoReply(NoReply::Unsent), observation: error.to_string() }
}
