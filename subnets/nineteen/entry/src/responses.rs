//! Requests to `/v1/responses`, OpenAI's newer protocol for text and tool calls: converted to chat
//! completions, without stored state.

mod output;
mod request;

use axum::response::{IntoResponse as _, Json, Response};
use serde_json::{Value, json};
use taonet_nineteen_query::Chunk;

use crate::GatewayError;
use crate::answer::{ChoiceEnd, ResponseHead};
use crate::bill::Bill;
use crate::delivery::{self, EventEncoder};
use crate::replies::Replies;
use crate::sse::named_event;
use output::Output;
pub(crate) use request::{EchoedFields, parse};

/// Returns an answer as one JSON document.
pub(crate) async fn respond(
    head: ResponseHead,
    echo: EchoedFields,
    replies: Replies,
    bill: Bill,
) -> Result<Response, GatewayError> {
    let mut output = Output::new(head.id.clone(), head.wants_logprobs);
    let (ends, tokens) = delivery::read_and_charge(replies, bill, |_, chunk| {
        output.add(chunk);
    })
    .await?;
    output.finish();
    let state = ResponseState::from_ends(&head, &ends);
    Ok(Json(echo.document(&head, state, output.items(), Some(tokens))).into_response())
}

/// Status of a response in OpenAI's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResponseState {
    InProgress,
    Completed,
    /// Incomplete, with the reason.
    Incomplete(&'static str),
    Failed,
}

impl ResponseState {
    /// Returns the status of a finished answer, which has one choice.
    fn from_ends(head: &ResponseHead, ends: &[ChoiceEnd]) -> Self {
        match ends.first().map(|end| head.finish_reason(end)).as_deref() {
            Some("length") => Self::Incomplete("max_output_tokens"),
            Some("content_filter") => Self::Incomplete("content_filter"),
            _ => Self::Completed,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete(_) => "incomplete",
            Self::Failed => "failed",
        }
    }
}

/// Returns an answer as a stream of server-sent events, each with a type and a sequence number.
pub(crate) fn stream(
    head: ResponseHead,
    echo: EchoedFields,
    replies: Replies,
    bill: Bill,
) -> Response {
    let output = Output::new(head.id.clone(), head.wants_logprobs);
    delivery::stream(ResponseEncoder { head, echo, output, sequence: 0 }, replies, bill)
}

struct ResponseEncoder {
    head: ResponseHead,
    echo: EchoedFields,
    output: Output,
    /// Sequence number of the next event.
    sequence: u64,
}

impl ResponseEncoder {
    fn numbered_event(&mut self, kind: &str, mut event: Value) -> String {
        if let Some(event) = event.as_object_mut() {
            event.insert("sequence_number".to_owned(), self.sequence.into());
        }
        self.sequence += 1;
        named_event(kind, event)
    }

    fn numbered_events<'a>(
        &mut self,
        events: impl IntoIterator<Item = (&'a str, Value)>,
    ) -> Vec<String> {
        events.into_iter().map(|(kind, event)| self.numbered_event(kind, event)).collect()
    }
}

impl EventEncoder for ResponseEncoder {
    fn begin(&mut self) -> Vec<String> {
        let response = self.echo.document(&self.head, ResponseState::InProgress, Vec::new(), None);
        ["response.created", "response.in_progress"]
            .map(|kind| self.numbered_event(kind, json!({ "response": response })))
            .into()
    }

    fn relay(&mut self, _: usize, chunk: &Chunk, events: &mut String) {
        let addition = self.output.add(chunk);
        events.extend(self.numbered_events(addition));
    }

    fn interrupt(&mut self) -> Vec<String> {
        let mut response =
            self.echo.document(&self.head, ResponseState::Failed, self.output.items(), None);
        if let Some(response) = response.as_object_mut() {
            let message = GatewayError::Interrupted.to_string();
            response
                .insert("error".to_owned(), json!({"code": "server_error", "message": message}));
        }
        vec![self.numbered_event("response.failed", json!({ "response": response }))]
    }

    fn finish(&mut self, ends: &[ChoiceEnd], tokens: (u64, u64)) -> Vec<String> {
        let last = self.output.finish();
        let mut events = self.numbered_events(last);
        let state = ResponseState::from_ends(&self.head, ends);
        let response = self.echo.document(&self.head, state, self.output.items(), Some(tokens));
        events.push(self.numbered_event(
            &format!("response.{}", state.as_str()),
            json!({ "response": response }),
        ));
        events
    }
}
