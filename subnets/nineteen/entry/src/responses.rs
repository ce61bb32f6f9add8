//! `/v1/responses`: OpenAI's newer protocol for text and tool calls, without stored state, implemented over chats.

mod output;
mod request;

use std::collections::VecDeque;
use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Json, Response};
use serde_json::{Value, json};
use taonet_nineteen_query::Answer;

use crate::GatewayError;
use crate::answer::{End, Head};
use crate::bill::Bill;
use output::Output;
pub(crate) use request::{Echo, parse};

/// Returns an answer as one JSON document.
pub(crate) async fn whole(
    head: Head,
    echo: Echo,
    mut answer: Answer,
    mut bill: Bill,
) -> Result<Response, GatewayError> {
    let (mut output, mut end) = (Output::new(head.id.clone()), End::default());
    while let Some(chunk) = answer.next().await {
        let Ok(chunk) = chunk else {
            // Nothing was delivered: the buyer gets an error instead.
            bill.deliver(0);
            bill.settle().await;
            return Err(GatewayError::Interrupted);
        };
        end.note(&chunk);
        bill.deliver(answer.pieces());
        output.take(&chunk);
    }
    drop(answer);
    let tokens = bill.tokens();
    bill.settle().await;
    output.finish();
    let is_cut = head.finish(&end, tokens.1) == "length";
    Ok(Json(echo.document(&head, State::ended(is_cut), output.items(), Some(tokens))).into_response())
}

/// State of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    InProgress,
    Completed,
    Incomplete,
    Failed,
}

impl State {
    const fn ended(is_cut: bool) -> Self {
        if is_cut { Self::Incomplete } else { Self::Completed }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
        }
    }
}

struct Stream {
    head: Head,
    echo: Echo,
    answer: Option<Answer>,
    bill: Option<Bill>,
    end: End,
    output: Output,
    ready: VecDeque<String>,
    /// Sequence number of the next event.
    sequence: u64,
}

/// Streams an answer as server-sent events, each with a type and a sequence number. The miner is read only as fast as
/// the buyer reads; a buyer that disconnects cancels its work and pays for what was delivered.
pub(crate) fn stream(head: Head, echo: Echo, answer: Answer, bill: Bill) -> Response {
    let output = Output::new(head.id.clone());
    let (answer, bill) = (Some(answer), Some(bill));
    let ready = VecDeque::new();
    let mut stream = Stream { head, echo, answer, bill, end: End::default(), output, ready, sequence: 0 };
    for kind in ["response.created", "response.in_progress"] {
        let response = stream.echo.document(&stream.head, State::InProgress, Vec::new(), None);
        stream.say(kind, json!({ "response": response }));
    }
    let events = futures::stream::unfold(stream, |mut stream| async move {
        let text = stream.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), stream))
    });
    let headers = [(CONTENT_TYPE, "text/event-stream; charset=utf-8"), (CACHE_CONTROL, "no-cache")];
    (headers, Body::from_stream(events)).into_response()
}

impl Stream {
    fn say(&mut self, kind: &str, mut event: Value) {
        if let Some(event) = event.as_object_mut() {
            event.insert("type".to_owned(), kind.into());
            event.insert("sequence_number".to_owned(), self.sequence.into());
        }
        self.sequence += 1;
        self.ready.push_back(format!("event: {kind}\ndata: {event}\n\n"));
    }

    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(text) = self.ready.pop_front() {
                return Some(text);
            }
            let answer = self.answer.as_mut()?;
            match answer.next().await {
                Some(Ok(chunk)) => {
                    self.end.note(&chunk);
                    if let Some(bill) = &mut self.bill {
                        bill.deliver(answer.pieces());
                    }
                    for (kind, event) in self.output.take(&chunk) {
                        self.say(kind, event);
                    }
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, "answer interrupted");
                    let mut response = self.echo.document(&self.head, State::Failed, self.output.items(), None);
                    let message = GatewayError::Interrupted.to_string();
                    if let Some(response) = response.as_object_mut() {
                        response.insert("error".to_owned(), json!({"code": "server_error", "message": message}));
                    }
                    self.say("response.failed", json!({ "response": response }));
                    self.settle().await;
                }
                None => {
                    for (kind, event) in self.output.finish() {
                        self.say(kind, event);
                    }
                    let tokens = self.bill.as_ref().map_or((0, 0), Bill::tokens);
                    let state = State::ended(self.head.finish(&self.end, tokens.1) == "length");
                    let response = self.echo.document(&self.head, state, self.output.items(), Some(tokens));
                    self.say(&format!("response.{}", state.as_str()), json!({ "response": response }));
                    // Charge before sending the final event.
                    self.settle().await;
                }
            }
        }
    }

    async fn settle(&mut self) {
        self.answer = None;
        if let Some(bill) = self.bill.take() {
            bill.settle().await;
        }
    }
}
