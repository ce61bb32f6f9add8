//! Services of others that are slow, fail or lie: those of the subnet owner, and miners.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use futures::stream;

/// A fault of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServiceFault {
    /// Each response takes this many seconds.
    Slow(u64),
    /// Requests are refused with this status.
    RejectsRequests(u16),
    /// Requests are executed, but their responses have status 500.
    LosesResponses,
    /// Requests are executed, but their responses are no JSON.
    MalformedJson,
    /// Requests are executed, but their responses break off in the middle.
    TruncatedBody,
    /// Reads get the first response that the path ever had.
    StaleReads,
}

/// The faults of one service, in all runs of its process.
#[derive(Clone, Default)]
pub(crate) struct ServiceFaults(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    faults: Vec<ServiceFault>,
    /// First response to a read of each path.
    first_responses: BTreeMap<String, Bytes>,
}

impl ServiceFaults {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, fault: ServiceFault) {
        self.state().faults.push(fault);
    }

    pub(crate) fn remove(&self, fault: ServiceFault) {
        let mut state = self.state();
        if let Some(index) = state.faults.iter().position(|other| *other == fault) {
            state.faults.remove(index);
        }
    }

    fn current(&self) -> Vec<ServiceFault> {
        self.state().faults.clone()
    }

    /// Adds the faults to the routes of a service.
    pub(crate) fn apply(&self, router: Router) -> Router {
        let faults = self.clone();
        router.layer(middleware::from_fn(move |request: Request, next: Next| {
            let faults = faults.clone();
            async move { faults.respond(request, next).await }
        }))
    }

    async fn respond(&self, request: Request, next: Next) -> Response {
        for fault in self.current() {
            if let ServiceFault::Slow(seconds) = fault {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
            }
        }
        let refusal = self.current().into_iter().find_map(|fault| match fault {
            ServiceFault::RejectsRequests(status) => StatusCode::from_u16(status).ok(),
            _ => None,
        });
        if let Some(status) = refusal {
            return status.into_response();
        }
        let read = (request.method() == Method::GET).then(|| request.uri().path().to_owned());
        let response = next.run(request).await;
        match read.filter(|_| response.status() == StatusCode::OK) {
            Some(path) => self.distort(self.outdated_response(path, response).await).await,
            None => self.distort(response).await,
        }
    }

    /// Remembers the first response to a read, and returns it while responses are outdated.
    async fn outdated_response(&self, path: String, response: Response) -> Response {
        let (mut head, body) = response.into_parts();
        let Ok(body) = to_bytes(body, usize::MAX).await else {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        let mut state = self.state();
        let first = state.first_responses.entry(path).or_insert_with(|| body.clone()).clone();
        let is_outdated = state.faults.contains(&ServiceFault::StaleReads);
        head.headers.remove(CONTENT_LENGTH);
        Response::from_parts(head, Body::from(if is_outdated { first } else { body }))
    }

    /// Changes the response to a request that was executed.
    async fn distort(&self, response: Response) -> Response {
        let faults = self.current();
        if faults.contains(&ServiceFault::LosesResponses) {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        if faults.contains(&ServiceFault::MalformedJson) {
            return "<html>maintenance</html>".into_response();
        }
        if !faults.contains(&ServiceFault::TruncatedBody) {
            return response;
        }
        let (mut head, body) = response.into_parts();
        head.headers.remove(CONTENT_LENGTH);
        let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
        let parts = [
            Ok(body.slice(..body.len() / 2)),
            Err(io::Error::other("the service closes the connection")),
        ];
        Response::from_parts(head, Body::from_stream(stream::iter(parts)))
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};
    use tower::ServiceExt as _;

    use super::*;

    /// Returns the status and the body of a response, or the part of the body before it breaks off.
    async fn send_request(router: &Router, method: Method, path: &str) -> (u16, String) {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await;
        (
            status,
            body.map_or_else(
                |_| "broken".to_owned(),
                |body| String::from_utf8(body.to_vec()).unwrap(),
            ),
        )
    }

    #[tokio::test]
    async fn service_faults_alter_responses() {
        let executed = Arc::new(Mutex::new(0_u32));
        let count = Arc::clone(&executed);
        let execute = move || {
            let count = Arc::clone(&count);
            async move {
                *count.lock().unwrap() += 1;
                "stored"
            }
        };
        let news = Arc::new(Mutex::new("old"));
        let newest = Arc::clone(&news);
        let read = move || {
            let newest = Arc::clone(&newest);
            async move { *newest.lock().unwrap() }
        };
        let faults = ServiceFaults::default();
        let router =
            faults.apply(Router::new().route("/read", get(read)).route("/write", post(execute)));
        assert_eq!(send_request(&router, Method::GET, "/read").await, (200, "old".to_owned()));
        *news.lock().unwrap() = "new";
        assert_eq!(send_request(&router, Method::GET, "/read").await, (200, "new".to_owned()));
        for (fault, read, write, is_executed) in [
            (ServiceFault::RejectsRequests(429), (429, ""), (429, ""), false),
            (ServiceFault::LosesResponses, (500, ""), (500, ""), true),
            (
                ServiceFault::MalformedJson,
                (200, "<html>maintenance</html>"),
                (200, "<html>maintenance</html>"),
                true,
            ),
            (ServiceFault::TruncatedBody, (200, "broken"), (200, "broken"), true),
            (ServiceFault::StaleReads, (200, "old"), (200, "stored"), true),
        ] {
            let before = *executed.lock().unwrap();
            faults.add(fault);
            let response = send_request(&router, Method::GET, "/read").await;
            assert_eq!(response, (read.0, read.1.to_owned()), "{fault:?}");
            let response = send_request(&router, Method::POST, "/write").await;
            assert_eq!(response, (write.0, write.1.to_owned()), "{fault:?}");
            assert_eq!(*executed.lock().unwrap() > before, is_executed, "{fault:?}");
            faults.remove(fault);
        }
        assert_eq!(send_request(&router, Method::GET, "/read").await, (200, "new".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn slow_service_responds_late() {
        let faults = ServiceFaults::default();
        let router = faults.apply(Router::new().route("/read", get(|| async { "new" })));
        faults.add(ServiceFault::Slow(20));
        let start = tokio::time::Instant::now();
        assert_eq!(send_request(&router, Method::GET, "/read").await, (200, "new".to_owned()));
        assert_eq!(start.elapsed(), Duration::from_secs(20));
    }
}
