//! Miners' answers to the choices of one request, read together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use taonet_nineteen_query::{Chunk, Interrupted, Queries, QueryError, Reply, Request};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::GatewayError;

/// Time after the beginning of a request in which a choice is retried while all miners are busy.
/// Even with the time of the last answer, a request ends before it counts as abandoned.
const RETRY_PERIOD: Duration = Duration::from_mins(10);

/// Next chunk of an answer; `None` at its end. No chunk follows an error.
pub(crate) type NextChunk = Option<Result<Chunk, GatewayError>>;

/// Answers to the choices of a request. Dropping it cancels the miners' work.
pub(crate) enum Replies {
    /// The only answer; `None` after its end.
    One(Option<Reply>),
    /// Several answers.
    Many(Box<ChoiceAnswers>),
}

impl Replies {
    /// Queries miners for the answer to each request; returns once the first answer has begun.
    pub(crate) async fn query(
        queries: &Queries,
        mut requests: Vec<Request>,
    ) -> Result<Self, GatewayError> {
        if requests.len() > 1 {
            return Ok(Self::Many(Box::new(ChoiceAnswers::query(queries, requests).await?)));
        }
        let Some(request) = requests.pop() else { return Ok(Self::One(None)) };
        Ok(Self::One(Some(queries.query(request).await?)))
    }

    /// Returns the number of choices.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::One(reply) => usize::from(reply.is_some()),
            Self::Many(choices) => choices.count,
        }
    }

    /// Returns the next chunk of any answer, with the index of its choice; `None` after the end of
    /// all answers. Reads ahead at most two chunks of each answer.
    pub(crate) async fn next(&mut self) -> Option<(usize, NextChunk)> {
        match self {
            Self::One(reply) => {
                let chunk = next_chunk(reply.as_mut()?).await;
                if chunk.is_none() {
                    *reply = None;
                }
                Some((0, chunk))
            }
            Self::Many(choices) => choices.next().await,
        }
    }
}

/// Answers to several choices. A task for each choice queries miners and reads the answer, so that
/// the time until the buyer reads the next chunk is not the miners' time.
pub(crate) struct ChoiceAnswers {
    count: usize,
    /// Number of answers that have not ended.
    unfinished: usize,
    /// The first chunk, which has been received and not returned.
    first_chunk: Option<(usize, NextChunk)>,
    chunks: mpsc::Receiver<(usize, NextChunk)>,
    /// The tasks, which are aborted when the set is dropped.
    _tasks: JoinSet<()>,
}

impl ChoiceAnswers {
    async fn query(queries: &Queries, requests: Vec<Request>) -> Result<Self, GatewayError> {
        let count = requests.len();
        let retries = Arc::new(ChoiceRetries::new(count));
        let (sender, chunks) = mpsc::channel(count.max(1));
        let mut tasks = JoinSet::new();
        for (choice, request) in requests.into_iter().enumerate() {
            tasks.spawn(relay_answer(
                choice,
                request,
                queries.clone(),
                Arc::clone(&retries),
                sender.clone(),
            ));
        }
        drop(sender);
        let mut choices =
            Self { count, unfinished: count, first_chunk: None, chunks, _tasks: tasks };
        match choices.chunks.recv().await {
            Some((_, Some(Err(error)))) => Err(error),
            first => {
                choices.first_chunk = first;
                Ok(choices)
            }
        }
    }

    async fn next(&mut self) -> Option<(usize, NextChunk)> {
        let next = match self.first_chunk.take() {
            None => self.chunks.recv().await,
            first => first,
        };
        match next {
            // A task has panicked.
            None if self.unfinished > 0 => {
                self.unfinished = 0;
                Some((0, Some(Err(GatewayError::Internal))))
            }
            next => {
                self.unfinished =
                    self.unfinished.saturating_sub(usize::from(matches!(next, Some((_, None)))));
                next
            }
        }
    }
}

/// Queries miners for the answer to a choice, and sends its chunks, its end or an error.
async fn relay_answer(
    choice: usize,
    request: Request,
    queries: Queries,
    retries: Arc<ChoiceRetries>,
    chunks: mpsc::Sender<(usize, NextChunk)>,
) {
    let mut reply = loop {
        let error = match queries.query(request.clone()).await {
            Ok(reply) => break reply,
            Err(error) => error,
        };
        let is_busy = matches!(error, QueryError::Busy { .. } | QueryError::Limited(_));
        if !is_busy || !retries.wait_for_retry().await {
            let _ = chunks.send((choice, Some(Err(error.into())))).await;
            return;
        }
    };
    loop {
        let chunk = next_chunk(&mut reply).await;
        if chunk.is_none() {
            retries.record_end();
        }
        let is_last = !matches!(chunk, Some(Ok(_)));
        if chunks.send((choice, chunk)).await.is_err() || is_last {
            return;
        }
    }
}

async fn next_chunk(reply: &mut Reply) -> NextChunk {
    let chunk = reply.next().await?;
    Some(chunk.map_err(|error: Interrupted| {
        tracing::debug!(%error, "answer interrupted");
        GatewayError::Interrupted
    }))
}

/// Retries of the choices of one request while all miners are busy: a choice waits until another
/// choice of the request has ended, which may be the one that occupies the miners, for at most
/// [`RETRY_PERIOD`].
#[derive(Debug)]
struct ChoiceRetries {
    /// Number of choices in progress, plus the number of permits.
    active: AtomicUsize,
    /// One permit for each ended choice that has not been used for a retry.
    retry_permits: Semaphore,
    /// Time from which no choice is retried.
    deadline: Instant,
}

impl ChoiceRetries {
    fn new(choices: usize) -> Self {
        Self {
            active: AtomicUsize::new(choices),
            retry_permits: Semaphore::new(0),
            deadline: Instant::now() + RETRY_PERIOD,
        }
    }

    /// Records the end of a complete answer.
    fn record_end(&self) {
        self.retry_permits.add_permits(1);
    }

    /// Waits until the choice may be retried; returns whether it may. It may not if all other
    /// choices are waiting, too, or after [`RETRY_PERIOD`].
    async fn wait_for_retry(&self) -> bool {
        if self.active.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.retry_permits.close();
        }
        // A timeout alone would still grant a permit that is available.
        if Instant::now() >= self.deadline {
            return false;
        }
        match timeout_at(self.deadline, self.retry_permits.acquire()).await {
            // The choice counts in `active` instead of the permit.
            Ok(Ok(permit)) => {
                permit.forget();
                true
            }
            Ok(Err(_)) | Err(_) => false,
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// Returns the answers to a number of choices, with the sender of their chunks.
    pub(crate) fn replies_from_channel(
        count: usize,
    ) -> (mpsc::Sender<(usize, NextChunk)>, Replies) {
        let (sender, chunks) = mpsc::channel(8);
        let choices = ChoiceAnswers {
            count,
            unfinished: count,
            first_chunk: None,
            chunks,
            _tasks: JoinSet::new(),
        };
        (sender, Replies::Many(Box::new(choices)))
    }
}

#[cfg(test)]
mod tests {
    use taonet_nineteen_query::ChunkBody;
    use tokio::time::timeout;

    use super::testing::replies_from_channel;
    use super::*;

    fn chunk(text: &str) -> Chunk {
        Chunk {
            body: ChunkBody::Text(text.to_owned()),
            characters: text.len(),
            entries: 1,
            is_content: true,
        }
    }

    #[tokio::test]
    async fn replies_end_after_the_end_of_each_choice() {
        let (sender, mut replies) = replies_from_channel(2);
        assert_eq!(replies.len(), 2);
        for (choice, next) in
            [(1, Some(Ok(chunk("a")))), (1, None), (0, Some(Ok(chunk("b")))), (0, None)]
        {
            sender.send((choice, next)).await.unwrap();
        }
        drop(sender);
        let mut received = Vec::new();
        while let Some((choice, next)) = replies.next().await {
            received.push((
                choice,
                next.map(|chunk| chunk.unwrap().text().unwrap_or_default().to_owned()),
            ));
        }
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(received, [(1, text("a")), (1, None), (0, text("b")), (0, None)]);
    }

    /// Otherwise, an incomplete answer would be delivered as a complete one.
    #[tokio::test]
    async fn choice_without_an_end_is_an_error() {
        let (sender, mut replies) = replies_from_channel(2);
        sender.send((1, None)).await.unwrap();
        drop(sender);
        assert!(matches!(replies.next().await, Some((1, None))));
        assert!(matches!(replies.next().await, Some((_, Some(Err(GatewayError::Internal))))));
        assert!(replies.next().await.is_none());
    }

    #[tokio::test]
    async fn busy_choice_is_retried_after_another_ends() {
        let retries = ChoiceRetries::new(2);
        let waiting = retries.wait_for_retry();
        tokio::pin!(waiting);
        assert!(timeout(Duration::from_millis(20), &mut waiting).await.is_err());
        retries.record_end();
        assert!(waiting.await);
        // No other choice is left whose end could help.
        assert!(!retries.wait_for_retry().await);
    }

    #[tokio::test]
    async fn waiting_choices_fail_if_no_choice_runs() {
        let retries = ChoiceRetries::new(3);
        let waits = futures::future::join_all((0..3).map(|_| retries.wait_for_retry()));
        assert_eq!(timeout(Duration::from_secs(10), waits).await.unwrap(), [false; 3]);
    }

    #[tokio::test]
    async fn choice_is_not_retried_after_the_time_limit() {
        let near_deadline = Instant::now() + Duration::from_millis(20);
        let retries = ChoiceRetries { deadline: near_deadline, ..ChoiceRetries::new(3) };
        assert!(!timeout(Duration::from_secs(10), retries.wait_for_retry()).await.unwrap());
        // Not even if another choice has ended.
        retries.record_end();
        assert!(!retries.wait_for_retry().await);
    }
}
