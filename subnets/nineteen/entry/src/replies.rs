//! Miners' answers to the choices of one request, read together.

use futures::StreamExt as _;
use futures::stream::{BoxStream, SelectAll, select_all, unfold};
use taonet_nineteen_query::{Chunk, Interrupted, Reply};

/// Next chunk of an answer; `None` at its end.
pub(crate) type NextChunk = Option<Result<Chunk, Interrupted>>;

/// Answers to the choices of a request. Dropping it cancels the miners' work.
pub(crate) enum Replies {
    /// The only answer; `None` after its end.
    One(Option<Reply>),
    /// Several answers, with the positions of their choices.
    Many(SelectAll<BoxStream<'static, (usize, NextChunk)>>),
}

impl From<Vec<Reply>> for Replies {
    fn from(mut replies: Vec<Reply>) -> Self {
        if replies.len() <= 1 {
            return Self::One(replies.pop());
        }
        let chunks = |(choice, reply): (usize, Reply)| {
            unfold(Some(reply), move |reply| async move {
                let mut reply = reply?;
                let chunk = reply.next().await;
                let rest = chunk.is_some().then_some(reply);
                Some(((choice, chunk), rest))
            })
            .boxed()
        };
        Self::Many(select_all(replies.into_iter().enumerate().map(chunks)))
    }
}

impl Replies {
    /// Returns the number of choices whose answers have not ended.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::One(reply) => usize::from(reply.is_some()),
            Self::Many(replies) => replies.len(),
        }
    }

    /// Returns the next chunk of any answer, with the position of its choice; `None` after the end of all answers. Reads
    /// from the miners only on demand: at most one chunk of each answer is ready.
    pub(crate) async fn next(&mut self) -> Option<(usize, NextChunk)> {
        match self {
            Self::One(reply) => {
                let chunk = reply.as_mut()?.next().await;
                if chunk.is_none() {
                    *reply = None;
                }
                Some((0, chunk))
            }
            Self::Many(replies) => replies.next().await,
        }
    }
}
