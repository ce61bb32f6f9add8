//! The checks of a server, one step at a time: the ASGI middleware in `asgi.py` receives and sends.

use std::future::Future as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use futures::FutureExt as _;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Uri};
use http_body_util::BodyExt as _;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use taonet_http::{BodyBuffer, BufferedBody};
use taonet_wire::{Claim, Permit, Refusal, Registration};
use tokio::task::AbortHandle;

use crate::convert::header_bytes;
use crate::errors::Failure;
use crate::policy::{Limits, Policy};
use crate::runtime::{Process, runtime};
use crate::scheme::Scheme;

/// The checks of requests to one hotkey. Requests of all clones share the replay cache.
#[pyclass(frozen, module = "taonet")]
pub(crate) struct Verifier {
    verifier: Arc<taonet_wire::Verifier>,
    process: Process,
}

#[pymethods]
impl Verifier {
    #[new]
    #[pyo3(signature = (hotkey, scheme, *, policy=None, limits=None, replay_log=None))]
    fn new(
        py: Python<'_>,
        hotkey: &str,
        scheme: Scheme<'_>,
        policy: Option<&Policy>,
        limits: Option<&Limits>,
        replay_log: Option<PathBuf>,
    ) -> Result<Self, Failure> {
        let mut builder = scheme.layer(hotkey.parse()?);
        if let Some(Policy(policy)) = policy {
            builder = builder.policy(policy.clone());
        }
        if let Some(Limits { limits, load }) = limits {
            builder = builder.limits(*limits).load(*load);
        }
        let layer = match replay_log {
            Some(path) => py.detach(|| builder.build_with_replay_log(path))?,
            None => builder.build(),
        };
        Ok(Self { verifier: layer.verifier(), process: Process::current() })
    }

    /// The timeout for receiving a body, in seconds.
    #[getter]
    fn body_timeout(&self) -> f64 {
        self.verifier.limits().body_timeout.as_secs_f64()
    }

    /// The timeout of a handler, in seconds.
    #[getter]
    fn answer_timeout(&self) -> f64 {
        self.verifier.limits().answer_timeout.as_secs_f64()
    }

    /// Begins a request with the head that ASGI passes; `target` is its path with the query. `None`
    /// if it is malformed.
    fn request(
        &self,
        method: &str,
        target: &[u8],
        headers: Vec<(PyBackedBytes, PyBackedBytes)>,
    ) -> Result<Option<Request>, Failure> {
        self.process.check()?;
        let verifier = Arc::clone(&self.verifier);
        let inner =
            |head| Inner { verifier, head, arrived: Instant::now(), progress: Mutex::default() };
        Ok(parse_head(method, target, &headers).map(|head| Request(Arc::new(inner(head)))))
    }
}

fn parse_head(
    method: &str,
    target: &[u8],
    headers: &[(PyBackedBytes, PyBackedBytes)],
) -> Option<Parts> {
    let mut head = http::Request::new(()).into_parts().0;
    head.method = Method::from_bytes(method.as_bytes()).ok()?;
    head.uri = Uri::try_from(target).ok()?;
    for (name, value) in headers {
        head.headers
            .append(HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?);
    }
    Some(head)
}

/// A response to a refused request: status, headers and body.
type Refused = (u16, Vec<(Vec<u8>, Vec<u8>)>, Vec<u8>);

/// One request while it is checked. The steps, in order: `begin`, `feed` for each chunk of the
/// body, `finish`, `enter`; each returns the response to a refused request, or `None`.
#[pyclass(frozen, module = "taonet")]
pub(crate) struct Request(Arc<Inner>);

struct Inner {
    verifier: Arc<taonet_wire::Verifier>,
    head: Parts,
    arrived: Instant,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    claim: Option<Claim>,
    registration: Option<Registration>,
    buffer: Option<BodyBuffer>,
    body: Option<BufferedBody>,
    /// The task that waits for a permit.
    waiting: Option<AbortHandle>,
    entered: Option<Result<Option<Permit>, Refusal>>,
}

impl Inner {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) -> Result<(), Refusal> {
        let mut progress = self.progress();
        let claim = progress.claim.insert(self.verifier.claim(&self.head)?).clone();
        progress.registration = self.verifier.check_head(&self.head, &claim)?;
        progress.buffer = Some(self.verifier.body_buffer());
        Ok(())
    }

    fn finish(&self) -> Result<(), Refusal> {
        let mut progress = self.progress();
        // Only a caller that skips a step sees this refusal.
        let Some(buffer) = progress.buffer.take() else { return Err(Refusal::BodyUnreadable) };
        let Some(claim) = progress.claim.clone() else { return Err(Refusal::BodyUnreadable) };
        let body = buffer.finish();
        progress.registration = Some(self.verifier.check_body(
            &self.head,
            &claim,
            progress.registration,
            &body.bytes,
        )?);
        progress.body = Some(body);
        Ok(())
    }

    fn refuse(&self, refusal: &Refusal) -> Refused {
        let progress = self.progress();
        let response = self.verifier.refuse(
            refusal,
            &self.head,
            progress.claim.as_ref(),
            self.arrived.elapsed(),
        );
        let (head, body) = response.into_parts();
        // Refusals have complete bodies, which need no waiting.
        let body = body.collect().now_or_never().and_then(Result::ok);
        let body = body.map_or_else(Vec::new, |body| body.to_bytes().to_vec());
        (head.status.as_u16(), header_bytes(&head.headers), body)
    }

    fn result(&self, result: Result<(), Refusal>) -> Option<Refused> {
        result.err().map(|refusal| self.refuse(&refusal))
    }
}

#[pymethods]
impl Request {
    /// Checks the head.
    fn begin(&self, py: Python<'_>) -> Option<Refused> {
        py.detach(|| self.0.result(self.0.begin()))
    }

    /// Appends a chunk of the body.
    fn feed(&self, chunk: PyBackedBytes) -> Option<Refused> {
        let pushed = match self.0.progress().buffer.as_mut() {
            Some(buffer) => buffer.push(Bytes::from_owner(chunk)).map_err(Refusal::from),
            None => Err(Refusal::BodyUnreadable),
        };
        self.0.result(pushed)
    }

    /// Checks the complete body. Takes milliseconds for a large one.
    fn finish(&self, py: Python<'_>) -> Option<Refused> {
        py.detach(|| self.0.result(self.0.finish()))
    }

    /// Waits for a permit to run. Returns `True` if the result is there, or calls `done` on another
    /// thread once it is; then call `entered`.
    fn enter(&self, done: Py<PyAny>) -> Result<bool, Failure> {
        let mut progress = self.0.progress();
        let (Some(registration), Some(claim)) = (progress.registration, progress.claim.clone())
        else {
            return Err(Failure::runtime("the request is not verified"));
        };
        let verifier = Arc::clone(&self.0.verifier);
        let mut entering = Box::pin(async move { verifier.enter(registration, &claim).await });
        let runtime = runtime()?;
        let _context = runtime.enter();
        if let Poll::Ready(result) = entering.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        {
            progress.entered = Some(result);
            return Ok(true);
        }
        let request = Arc::clone(&self.0);
        let waiting = runtime.spawn(async move {
            let result = entering.await;
            request.progress().entered = Some(result);
            // `None` when the interpreter is exiting. An event loop that has closed raises an
            // error, and waits no more.
            Python::try_attach(|py| drop(done.call0(py)));
        });
        progress.waiting = Some(waiting.abort_handle());
        Ok(false)
    }

    /// Returns the result of `enter`.
    fn entered(&self) -> Option<Refused> {
        let refusal = match &self.0.progress().entered {
            Some(Ok(_)) => return None,
            Some(Err(refusal)) => refusal.clone(),
            None => Refusal::Busy,
        };
        Some(self.0.refuse(&refusal))
    }

    /// Creates the response to a request whose body or handler exceeded its timeout: "body" or
    /// "answer".
    fn timed_out(&self, part: &str) -> Refused {
        let limits = self.0.verifier.limits();
        self.0.refuse(&match part {
            "body" => Refusal::BodyTimeout { limit: limits.body_timeout },
            _ => Refusal::ResponseTimeout { limit: limits.answer_timeout },
        })
    }

    /// Returns the headers to add to the handler's response.
    fn complete(&self, status: u16) -> Vec<(Vec<u8>, Vec<u8>)> {
        let progress = self.0.progress();
        let Some(claim) = &progress.claim else { return Vec::new() };
        let mut response = http::Response::new(axum::body::Body::empty());
        *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
        let echo = self.0.verifier.echo(&self.0.head, claim);
        self.0.verifier.complete(echo, self.0.arrived.elapsed(), &mut response);
        header_bytes(response.headers())
    }

    /// Releases the body's memory and the permit, and leaves the queue.
    fn close(&self) {
        let progress = std::mem::take(&mut *self.0.progress());
        if let Some(waiting) = progress.waiting {
            waiting.abort();
        }
    }

    /// Returns the verified body, and releases its memory.
    fn take_body<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let body = self.0.progress().body.take();
        PyBytes::new(py, body.as_ref().map_or(&[], |body| &body.bytes))
    }

    /// The verified caller, after `finish`.
    #[getter]
    fn caller(&self) -> Option<Caller> {
        let progress = self.0.progress();
        let (claim, registration) = (progress.claim.as_ref()?, progress.registration?);
        Some(Caller {
            hotkey: claim.sender.to_string(),
            nonce: claim.nonce,
            uuid: claim.uuid.clone(),
            stake: registration.stake,
            validator_permit: registration.validator_permit,
        })
    }
}

/// The verified sender of a request.
#[pyclass(frozen, get_all, eq, module = "taonet")]
#[derive(PartialEq)]
pub(crate) struct Caller {
    /// The hotkey that signed the request.
    hotkey: String,
    /// The time of signing, in nanoseconds since the Unix epoch.
    nonce: u64,
    /// The calling process, in schemes with a process UUID.
    uuid: Option<String>,
    /// The hotkey's stake in rao; 0 without standings.
    stake: u64,
    /// Whether the hotkey has a validator permit.
    validator_permit: bool,
}

#[pymethods]
impl Caller {
    fn __repr__(&self) -> String {
        format!("Caller({:?})", self.hotkey)
    }
}
