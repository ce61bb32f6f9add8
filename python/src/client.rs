//! Signed requests to other neurons.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::str::FromStr as _;

use futures::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use taonet_wire::{CallResponseStream, ClientConfig, is_public};
use tokio::sync::Mutex;

use crate::convert::{Message, header_texts, seconds};
use crate::errors::Failure;
use crate::keys::Keypair;
use crate::runtime::{Process, block_on, runtime};
use crate::scheme::{Peer, Scheme};

/// Creates the signed headers of requests, for any HTTP client. Create one signer per key and
/// process: its nonces increase strictly.
#[pyclass(frozen, module = "taonet")]
pub(crate) struct Signer(taonet_wire::Signer);

#[pymethods]
impl Signer {
    #[new]
    #[pyo3(signature = (keypair, scheme, *, external_ip="0.0.0.0"))]
    fn new(keypair: &Keypair, scheme: Scheme<'_>, external_ip: &str) -> Self {
        Self(scheme.signer(keypair.pair().clone(), external_ip))
    }

    /// Returns the headers of one request, whose body must be sent unchanged. `name` is the message
    /// class of `DendriteScheme`, by default the path.
    #[pyo3(signature = (peer, path, body=Message::Text(String::new()), *, method="POST", name=None, timeout=12.0))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn headers(
        &self,
        py: Python<'_>,
        peer: &Peer,
        path: &str,
        body: Message,
        method: &str,
        name: Option<&str>,
        timeout: f64,
    ) -> Result<Vec<(String, String)>, Failure> {
        let (method, timeout) = (self::method(method)?, seconds("timeout", timeout)?);
        let path = format!("/{}", path.trim_start_matches('/'));
        let (name, body) = (name.unwrap_or_else(|| class_of(&path)), body.to_body());
        let headers =
            py.detach(|| self.0.headers(&peer.0, &method, &path, name, timeout, &body))?;
        Ok(header_texts(&headers))
    }

    /// The hotkey that signs.
    #[getter]
    fn hotkey(&self) -> String {
        self.0.hotkey().to_string()
    }
}

/// A request before it is addressed and signed.
#[pyclass(frozen, module = "taonet")]
pub(crate) struct Call(taonet_wire::Call);

#[pymethods]
impl Call {
    /// `retry` is "never", "unsent" (only if the peer cannot have received the request) or
    /// "idempotent" (also after lost connections and the statuses 502, 503 and 504).
    #[new]
    #[pyo3(signature = (path, body=Message::Text(String::new()), *, method="POST", name=None, headers=Vec::new(),
                        timeout=12.0, retry="unsent", max_response_bytes=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn new(
        path: String,
        body: Message,
        method: &str,
        name: Option<String>,
        headers: Vec<(String, String)>,
        timeout: f64,
        retry: &str,
        max_response_bytes: Option<usize>,
    ) -> Result<Self, Failure> {
        let mut call = taonet_wire::Call::new(self::method(method)?, path, body.to_body());
        call.name = name.unwrap_or_else(|| class_of(&call.path).to_owned());
        call.headers = header_map(&headers)?;
        call.deadline = seconds("timeout", timeout)?;
        call.max_response_bytes = max_response_bytes.unwrap_or(call.max_response_bytes);
        call.retry = match retry {
            "never" => taonet_wire::Retry::Never,
            "unsent" => taonet_wire::Retry::Unsent,
            "idempotent" => taonet_wire::Retry::Idempotent,
            other => {
                return Err(Failure::value(format!(
                    "retry is {other:?}, expected never, unsent or idempotent"
                )));
            }
        };
        Ok(Self(call))
    }

    fn __repr__(&self) -> String {
        format!("Call({:?}, {} bytes)", self.0.path, self.0.body.len())
    }
}

/// A complete response, with any status.
#[pyclass(frozen, module = "taonet")]
pub(crate) struct Response(taonet_wire::CallResponse);

#[pymethods]
impl Response {
    /// The HTTP status code.
    #[getter]
    fn status(&self) -> u16 {
        self.0.status.as_u16()
    }

    /// The headers, with names in lower case.
    #[getter]
    fn headers(&self) -> Vec<(String, String)> {
        header_texts(&self.0.headers)
    }

    /// The body; unless the status is 2xx, at most its first 16 KiB.
    #[getter]
    fn body<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.body)
    }

    /// Returns the first header of this name; `None` if there is none.
    fn header(&self, name: &str) -> Option<String> {
        Some(String::from_utf8_lossy(self.0.headers.get(name)?.as_bytes()).into_owned())
    }

    /// Parses the body as JSON.
    fn json<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        py.import("json")?.call_method1("loads", (self.body(py),))
    }

    fn __repr__(&self) -> String {
        format!("Response({}, {} bytes)", self.0.status.as_u16(), self.0.body.len())
    }
}

/// The result of one of several calls: a response or an error.
#[pyclass(frozen, get_all, module = "taonet")]
pub(crate) struct Reply {
    /// The neuron that was called.
    peer: Py<Peer>,
    /// The response; `None` after an error.
    response: Option<Py<Response>>,
    /// The error; `None` if there is a response.
    error: Option<Py<PyAny>>,
    /// The name of Bittensor's return code, such as "Success" or "Timeout".
    code: String,
    /// The duration of the call, in seconds.
    seconds: f64,
}

impl Reply {
    fn new(py: Python<'_>, reply: taonet_wire::Reply) -> PyResult<Self> {
        let (response, error) = match reply.result {
            Ok(answer) => (Some(Py::new(py, Response(answer))?), None),
            Err(error) => (None, Some(PyErr::from(Failure::from(error)).into_value(py).into_any())),
        };
        let (peer, code) = (Py::new(py, Peer(reply.peer))?, format!("{:?}", reply.code));
        Ok(Self { peer, response, error, code, seconds: reply.elapsed.as_secs_f64() })
    }
}

/// A streaming response: an iterator over the chunks of its body, within the call's timeout.
#[pyclass(frozen, module = "taonet")]
pub(crate) struct ResponseStream {
    #[pyo3(get)]
    status: u16,
    #[pyo3(get)]
    headers: Vec<(String, String)>,
    stream: Mutex<CallResponseStream>,
    process: Process,
}

#[pymethods]
impl ResponseStream {
    fn __iter__(stream: PyRef<'_, Self>) -> PyRef<'_, Self> {
        stream
    }

    fn __next__<'py>(&self, py: Python<'py>) -> Result<Option<Bound<'py, PyBytes>>, Failure> {
        self.process.check()?;
        let chunk = block_on(py, async { self.stream.lock().await.next().await })?.transpose()?;
        Ok(chunk.map(|chunk| PyBytes::new(py, &chunk)))
    }
}

/// A client that signs its requests and reuses its connections. Its methods may be called from
/// several threads.
#[pyclass(frozen, module = "taonet")]
pub(crate) struct SignedClient {
    client: taonet_wire::SignedClient,
    public_only: bool,
    process: Process,
}

impl SignedClient {
    /// Fails for a peer whose IP address is not allowed. The client itself checks the addresses of
    /// host names.
    fn check(&self, peer: &taonet_wire::Peer) -> Result<(), Failure> {
        self.process.check()?;
        match peer.host().parse::<IpAddr>() {
            Ok(address) if self.public_only && !is_public(address) => Err(Failure::value(format!(
                "{address} is not a public address; hint: leave this peer out"
            ))),
            _ => Ok(()),
        }
    }
}

#[pymethods]
impl SignedClient {
    /// With `public_only`, peers must have public addresses: use it if the addresses come from the
    /// chain.
    #[new]
    #[pyo3(signature = (keypair, scheme, *, external_ip="0.0.0.0", max_response_bytes=16_777_216, public_only=false))]
    fn new(
        keypair: &Keypair,
        scheme: Scheme<'_>,
        external_ip: &str,
        max_response_bytes: usize,
        public_only: bool,
    ) -> Result<Self, Failure> {
        let signer = scheme.signer(keypair.pair().clone(), external_ip);
        let config = ClientConfig { max_response_bytes, ..ClientConfig::default() };
        let _context = runtime()?.enter();
        let permitted: fn(IpAddr) -> bool = if public_only { is_public } else { |_| true };
        let client = taonet_wire::SignedClient::with_addresses(signer, config, permitted)?;
        Ok(Self { client, public_only, process: Process::current() })
    }

    /// Calls a peer and returns the complete response with any status.
    fn call(&self, py: Python<'_>, peer: &Peer, call: &Call) -> Result<Response, Failure> {
        self.check(&peer.0)?;
        Ok(Response(block_on(py, self.client.call(&peer.0, &call.0))??))
    }

    /// Calls many peers concurrently, at most `at_once` at a time. Returns one reply per call, in
    /// their order.
    #[pyo3(signature = (calls, *, at_once=256))]
    fn call_all(
        &self,
        py: Python<'_>,
        calls: Vec<(Bound<'_, Peer>, Bound<'_, Call>)>,
        at_once: usize,
    ) -> Result<Vec<Reply>, Failure> {
        calls.iter().try_for_each(|(peer, _)| self.check(&peer.get().0))?;
        let at_once = NonZeroUsize::new(at_once).ok_or_else(|| Failure::value("at_once is 0"))?;
        let calls: Vec<_> =
            calls.iter().map(|(peer, call)| (peer.get().0.clone(), call.get().0.clone())).collect();
        let replies = block_on(py, self.client.call_all(calls, at_once))?;
        replies.into_iter().map(|reply| Reply::new(py, reply).map_err(Failure::from)).collect()
    }

    /// Calls a peer and returns its response as soon as its head arrives.
    fn stream(&self, py: Python<'_>, peer: &Peer, call: &Call) -> Result<ResponseStream, Failure> {
        self.check(&peer.0)?;
        let stream = block_on(py, self.client.stream(&peer.0, &call.0))??;
        let (status, headers) = (stream.status.as_u16(), header_texts(&stream.headers));
        Ok(ResponseStream { status, headers, stream: Mutex::new(stream), process: self.process })
    }

    /// The hotkey that signs.
    #[getter]
    fn hotkey(&self) -> String {
        self.client.signer().hotkey().to_string()
    }
}

/// Returns the message class that a path names.
fn class_of(path: &str) -> &str {
    let path = path.trim_start_matches('/');
    path.split_once('?').map_or(path, |(path, _)| path)
}

fn method(name: &str) -> Result<Method, Failure> {
    Method::from_str(name).map_err(|error| Failure::value(format!("method {name:?}: {error}")))
}

fn header_map(headers: &[(String, String)]) -> Result<HeaderMap, Failure> {
    let invalid = |name: &str| Failure::value(format!("invalid header {name:?}"));
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).map_err(|_| invalid(name))?;
        map.append(HeaderName::from_str(name).map_err(|_| invalid(name))?, value);
    }
    Ok(map)
}
