//! Services with injected faults.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};

/// Scripted fault of a service.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    Status(u16),
    Text(&'static str),
    /// Rate limit, with a retry hint.
    Wait(u32),
    /// Truncates the body.
    Truncated,
    /// Never responds.
    Silent,
}

impl Fault {
    async fn respond(self) -> Response {
        match self {
            Self::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
            Self::Text(text) => ([("content-type", "application/json")], text).into_response(),
            Self::Wait(seconds) => {
                (StatusCode::TOO_MANY_REQUESTS, [("retry-after", seconds.to_string())])
                    .into_response()
            }
            Self::Truncated => {
                let parts = [Ok("{\"block\": "), Err(std::io::Error::other("cut"))];
                Response::builder()
                    .header("content-length", 100)
                    .body(Body::from_stream(futures::stream::iter(parts)))
                    .unwrap()
            }
            Self::Silent => std::future::pending().await,
        }
    }
}

/// Queued faults per route.
type Faults = Vec<(&'static str, VecDeque<Fault>)>;

/// Queued faults and received requests of a service.
#[derive(Clone, Default)]
pub(super) struct ServiceScript {
    pub(super) faults: Arc<Mutex<Faults>>,
    requested_paths: Arc<Mutex<Vec<String>>>,
}

impl ServiceScript {
    /// Queues faults for the next requests of a route.
    pub(super) fn fail(&self, path: &'static str, faults: &[Fault]) {
        self.faults.lock().unwrap().push((path, faults.iter().copied().collect()));
    }

    pub(super) fn request_count(&self, path: &str) -> usize {
        self.requested_paths
            .lock()
            .unwrap()
            .iter()
            .filter(|requested_path| *requested_path == path)
            .count()
    }

    fn take(&self, path: &str) -> Option<Fault> {
        self.requested_paths.lock().unwrap().push(path.to_owned());
        let mut faults = self.faults.lock().unwrap();
        faults
            .iter_mut()
            .filter(|(fault_path, _)| *fault_path == path)
            .find_map(|(_, faults)| faults.pop_front())
    }

    pub(super) fn with_faults(&self, routes: Router) -> Router {
        let intercept = |State(script): State<Self>, request: Request, next: Next| async move {
            match script.take(request.uri().path()) {
                Some(fault) => fault.respond().await,
                None => next.run(request).await,
            }
        };
        routes.layer(middleware::from_fn_with_state(self.clone(), intercept))
    }
}
