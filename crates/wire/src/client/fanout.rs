use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use futures::StreamExt as _;

use super::{Call, CallError, CallResponse, ReturnCode, SignedClient};
use crate::Peer;

/// The result of one call of [`SignedClient::call_all`].
#[derive(Debug)]
pub struct Reply {
    /// The peer that was called.
    pub peer: Peer,
    /// The result as a return code.
    pub code: ReturnCode,
    /// The response, or the error of the call.
    pub result: Result<CallResponse, CallError>,
    /// The duration of the call.
    pub elapsed: Duration,
}

impl SignedClient {
    /// Calls many peers concurrently, at most `concurrency` at a time, and returns one reply per
    /// call, in the order of the calls.
    ///
    /// A slow or broken peer delays no other: every call has its own deadline, counted from its own
    /// start. Dropping the future cancels all calls.
    pub async fn call_all(
        &self,
        calls: impl IntoIterator<Item = (Peer, Call)>,
        concurrency: NonZeroUsize,
    ) -> Vec<Reply> {
        self.call_each(calls, concurrency, |reply| reply).await
    }

    /// Calls many peers like [`Self::call_all`], and converts each reply as soon as it is complete,
    /// so that its bytes need not wait for slower peers.
    pub async fn call_each<T>(
        &self,
        calls: impl IntoIterator<Item = (Peer, Call)>,
        concurrency: NonZeroUsize,
        convert: impl Fn(Reply) -> T,
    ) -> Vec<T> {
        let convert = &convert;
        let pending_calls = calls.into_iter().enumerate().map(|(index, (peer, call))| async move {
            let start = Instant::now();
            let result = self.call(&peer, &call).await;
            let (code, elapsed) = (ReturnCode::of(&result), start.elapsed());
            (index, convert(Reply { peer, code, result, elapsed }))
        });
        let mut replies: Vec<_> = futures::stream::iter(pending_calls)
            .buffer_unordered(concurrency.get())
            .collect()
            .await;
        replies.sort_unstable_by_key(|(index, _)| *index);
        replies.into_iter().map(|(_, reply)| reply).collect()
    }
}
