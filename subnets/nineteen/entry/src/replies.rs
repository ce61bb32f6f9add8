//! Miners' answers to the choices of one request, read together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use taonet_nineteen_query::{Chunk, Interrupted, Queries, QueryError, Reply, Request};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::GatewayError;

/// Time after the beginning of a request in which a choice is asked again while all miners are
/// busy. With the time of the last answer, a request ends before it counts as abandoned.
const RETRY_PERIOD: Duration = Duration::from_mins(10);

/// Next chunk of an answer; `None` at its end. No chunk follows an error.
pub(crate) type NextChunk = Option<Result<Chunk, GatewayError>>;

/// Answers to the choices of a request. Dropping it cancels the miners' work.
pub(crate) enum Replies {
    /// The only answer; `None` after its end.
    One(Option<Reply>),
    /// Several answers.
    Many(Box<Choices>),
}

impl Replies {
    /// Queries miners for the answer to each request; returns once the first answer has begun.
    pub(crate) async fn query(
        queries: &Queries,
        mut requests: Vec<Request>,
    ) -> Result<Self, GatewayError> {
        if requests.len() > 1 {
            return Ok(Self::Many(Box::new(Choices::query(queries, requests).await?)));
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
                let chunk = read(reply.as_mut()?).await;
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
pub(crate) struct Choices {
    count: usize,
    /// Number of answers that have not ended.
    open: usize,
    /// The first chunk, which has been received and not returned.
    first: Option<(usize, NextChunk)>,
    chunks: mpsc::Receiver<(usize, NextChunk)>,
    /// The tasks, which are aborted when the set is dropped.
    _tasks: JoinSet<()>,
}

impl Choices {
    async fn query(queries: &Queries, requests: Vec<Request>) -> Result<Self, GatewayError> {
        let count = requests.len();
        let retries = Arc::new(ChoiceRetries::new(count));
        let (sender, chunks) = mpsc::channel(count.max(1));
        let mut tasks = JoinSet::new();
        for (choice, request) in requests.into_iter().enumerate() {
            tasks.spawn(answer(
                choice,
                request,
                queries.clone(),
                Arc::clone(&retries),
                sender.clone(),
            ));
        }
        drop(sender);
        let mut choices = Self { count, open: count, first: None, chunks, _tasks: tasks };
        match choices.chunks.recv().await {
            Some((_, Some(Err(error)))) => Err(error),
            first => {
                choices.first = first;
                Ok(choices)
            }
        }
    }

    async fn next(&mut self) -> Option<(usize, NextChunk)> {
        let next = match self.first.take() {
            None => self.chunks.recv().await,
            first => first,
        };
        match next {
            // A task has panicked.
            None if self.open > 0 => {
                self.open = 0;
                Some((0, Some(Err(GatewayError::Internal))))
            }
            next => {
                self.open = self.open.saturating_sub(usize::from(matches!(next, Some((_, None)))));
                next
            }
        }
    }
}

/// Queries miners for the answer to a choice, and sends its chunks, its end or an error.
async fn answer(
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
        if !is_busy || !retries.wait().await {
            let _ = chunks.send((choice, Some(Err(error.into())))).await;
            return;
        }
    };
    loop {
        let chunk = read(&mut reply).await;
        if chunk.is_none() {
            retries.end();
        }
        let is_last = !matches!(chunk, Some(Ok(_)));
        if chunks.send((choice, chunk)).await.is_err() || is_last {
            return;
        }
    }
}

async fn read(reply: &mut Reply) -> NextChunk {
    let chunk = reply.next().await?;
    Some(chunk.map_err(|error: Interrupted| {
        tracing::debug!(%error, "answer interrupted");
        GatewayError::Interrupted
    }))
}

/// Lets a choice for which all miners are busy wait for the end of another one of its request,
/// which may keep them busy, for at most [`RETRY_PERIOD`].
#[derive(Debug)]
struct ChoiceRetries {
    /// Number of choices that are asked or answered, and of permits.
    active: AtomicUsize,
    /// A permit for each ended choice for which no other one has been asked again.
    ended: Semaphore,
    /// Time from which no choice is asked again.
    deadline: Instant,
}

impl ChoiceRetries {
    fn new(choices: usize) -> Self {
        Self {
            active: AtomicUsize::new(choices),
            ended: Semaphore::new(0),
            deadline: Instant::now() + RETRY_PERIOD,
        }
    }

    /// Records the end of a complete answer.
    fn end(&self) {
        self.ended.add_permits(1);
    }

    /// Waits until the choice may be asked again; returns whether it may. It may not if all other
    /// choices wait, too, or after [`RETRY_PERIOD`].
    async fn wait(&self) -> bool {
        if self.active.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.ended.close();
        }
        // A timeout alone would still grant a permit that is available.
        if Instant::now() >= self.deadline {
            return false;
        }
        match timeout_at(self.deadline, self.ended.acquire()).await {
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
        let choices = Choices { count, open: count, first: None, chunks, _tasks: JoinSet::new() };
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
            logprob_count: 1,
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
        let waiting = retries.wait();
        tokio::pin!(waiting);
        assert!(timeout(Duration::from_millis(20), &mut waiting).await.is_err());
        retries.end();
        assert!(waiting.await);
        // No other choice is left whose end could help.
        assert!(!retries.wait().await);
    }

    #[tokio::test]
    async fn waiting_choices_fail_if_no_choice_runs() {
        let retries = ChoiceRetries::new(3);
        let waits = futures::future::join_all((0..3).map(|_| retries.wait()));
        assert_eq!(timeout(Duration::from_secs(10), waits).await.unwrap(), [false; 3]);
    }

    #[tokio::test]
    async fn choice_is_not_retried_after_the_time_limit() {
        let near_deadline = Instant::now() + Duration::from_millis(20);
        let retries = ChoiceRetries { deadline: near_deadline, ..ChoiceRetries::new(3) };
        assert!(!timeout(Duration::from_secs(10), retries.wait()).await.unwrap());
        // Not even if another choice has ended.
        retries.end();
        assert!(!retries.wait().await);
    }
}
