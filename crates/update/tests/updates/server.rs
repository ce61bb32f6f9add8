//! A release server that can misbehave.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use axum::http::{Response, StatusCode};
use futures::{StreamExt as _, stream};
use taonet_update::ReleaseSource;
use tokio::task::JoinHandle;

/// Behaviour of the server for requests for the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerBehaviour {
    Honest,
    /// Each connection breaks after this many bytes.
    Breaks(usize),
    /// The response body never ends, and its length is not announced.
    Endless,
    /// The connection stays open after this many bytes.
    Stalls(usize),
    /// The server ignores range requests.
    IgnoresRange,
    /// The server responds with status 503.
    Down,
}

/// A server of a directory.
pub(crate) struct Server {
    url: String,
    state: Arc<Served>,
    task: JoinHandle<()>,
}

struct Served {
    folder: PathBuf,
    behaviour: Mutex<ServerBehaviour>,
    /// Offsets of the requests for programs.
    offsets: Mutex<Vec<u64>>,
}

impl Server {
    pub(crate) async fn start(folder: PathBuf, behaviour: ServerBehaviour) -> Self {
        let state = Arc::new(Served {
            folder,
            behaviour: Mutex::new(behaviour),
            offsets: Mutex::default(),
        });
        let router = Router::new().fallback(serve).with_state(Arc::clone(&state));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, state, task }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn source(&self) -> ReleaseSource {
        self.url.parse().unwrap()
    }

    pub(crate) fn set(&self, behaviour: ServerBehaviour) {
        *self.state.behaviour.lock().unwrap() = behaviour;
    }

    /// Returns the offsets of all program requests so far.
    pub(crate) fn offsets(&self) -> Vec<u64> {
        self.state.offsets.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(State(state): State<Arc<Served>>, request: Request) -> Response<Body> {
    let path = request.uri().path().trim_start_matches('/');
    let Ok(content) = std::fs::read(state.folder.join(path)) else {
        return status(StatusCode::NOT_FOUND);
    };
    if !path.contains("/tao-") {
        return Response::new(content.into());
    }
    let range = request.headers().get(RANGE).map(|range| range.to_str().unwrap().to_owned());
    let from = range
        .as_deref()
        .map(|range| range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap());
    let offset: usize = from.map_or(0, |from| from.parse().unwrap());
    state.offsets.lock().unwrap().push(offset as u64);
    let behaviour = *state.behaviour.lock().unwrap();
    let from = if behaviour == ServerBehaviour::IgnoresRange { 0 } else { offset };
    if behaviour == ServerBehaviour::Down {
        return status(StatusCode::SERVICE_UNAVAILABLE);
    }
    let total = content.len();
    if from > 0 && from >= total {
        return status(StatusCode::RANGE_NOT_SATISFIABLE);
    }
    let remaining = Bytes::from(content).slice(from..);
    let length = remaining.len();
    let broken = || stream::iter([Err(std::io::Error::other("the connection breaks"))]);
    let body = match behaviour {
        ServerBehaviour::Endless => Body::from_stream(
            stream::repeat(Bytes::from(vec![0; 1 << 16])).map(Ok::<_, std::io::Error>),
        ),
        ServerBehaviour::Breaks(after) if after < length => {
            let pause = stream::once(async {
                // Without this pause, the connection would break before the bytes are sent.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                Ok(Bytes::new())
            });
            Body::from_stream(
                stream::iter([Ok(remaining.slice(..after))]).chain(pause).chain(broken()),
            )
        }
        ServerBehaviour::Stalls(after) => {
            let some =
                stream::iter([Ok::<_, std::io::Error>(remaining.slice(..after.min(length)))]);
            Body::from_stream(some.chain(stream::pending()))
        }
        _ => Body::from(remaining),
    };
    let mut response = Response::builder();
    if behaviour != ServerBehaviour::Endless {
        response = response.header(CONTENT_LENGTH, length);
    }
    if from > 0 {
        response = response.status(StatusCode::PARTIAL_CONTENT);
        response = response.header(CONTENT_RANGE, format!("bytes {from}-{}/{total}", total - 1));
    }
    response.body(body).unwrap()
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
