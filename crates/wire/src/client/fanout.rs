use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use futures::StreamExt as _;

use super::{Answer, Call, CallError, ReturnCode, SignedClient};
use crate::Peer;

/// The result of one call of [`SignedClient::call_all`].
#[derive(Debug)]
pub struct Reply {
    /// The peer that was called.
    pub peer: Peer,
    /// The result as a return code.
    pub code: ReturnCode,
    /// The response, or the error of the call.
    pub result: Result<Answer, CallError>,
    /// The duration of the call.
    pub took: Duration,
}

impl SignedClient {
    /// Calls many peers concurrently, at most `at_once` at a time, and returns one reply per call,
    /// in the order of the calls.
    ///
    /// A slow or broken peer delays no other: every call has its own deadline, counted from its own
    /// start. Dropping the future cancels all calls.
    pub async fn call_all(
        &self,
        calls: impl IntoIterator<Item = (Peer, Call)>,
        at_once: NonZeroUsize,
    ) -> Vec<Reply> {
        let running = calls.into_iter().enumerate().map(|(index, (peer, call))| async move {
            let began = Instant::now();
            let result = self.call(&peer, &call).await;
            (index, Reply { code: ReturnCode::of(&result), peer, result, took: began.elapsed() })
        });
        let mut replies: Vec<_> =
            futures::stream::iter(running).buffer_unordered(at_once.get()).collect().await;
        replies.sort_unstable_by_key(|(index, _)| *index);
        replies.into_iter().map(|(_, reply)| reply).collect()
    }
}
