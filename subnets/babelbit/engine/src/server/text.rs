//! Routes of the text-prediction contest, which reveal dialogues word by word.

use std::sync::Arc;

use axum::extract::{FromRequest, Request, State as Shared};
use axum::response::Json;
use serde_json::Value;
use taonet_babelbit_challenges::TextChallenge;
use taonet_babelbit_core::engine_api::TextToken;

use super::State;
use super::answer::{ApiError, Body};
use super::routes::TextCaller;
use super::sessions::{SessionContent, Stream};

type EngineState = Shared<Arc<State>>;

/// A text challenge as a list of tokens.
pub(super) struct TokenStream {
    challenge_uid: String,
    tokens: Vec<TextToken>,
}

impl TokenStream {
    pub(super) fn new(challenge: &TextChallenge) -> Self {
        let position = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let token = |revealed: taonet_babelbit_challenges::RevealedToken<'_>| TextToken {
            session_id: None,
            word: None,
            token: Some(revealed.text.to_owned()),
            done: false,
            challenge_uid: Some(challenge.uid.clone()),
            dialogue_uid: challenge
                .dialogues
                .get(revealed.dialogue)
                .map(|dialogue| dialogue.uid.clone()),
            dialogue_index: position(revealed.dialogue),
            utterance_index: position(revealed.utterance),
            token_index: position(revealed.token),
        };
        Self {
            challenge_uid: challenge.uid.clone(),
            tokens: challenge.tokens().map(token).collect(),
        }
    }

    pub(super) fn uid(&self) -> &str {
        &self.challenge_uid
    }

    /// Returns the token at a position; after the last token, the end marker with the last token's
    /// position.
    fn token(&self, position: usize) -> Option<TextToken> {
        let end_marker =
            || self.tokens.last().map(|last| TextToken { token: None, done: true, ..last.clone() });
        self.tokens.get(position).cloned().or_else(end_marker)
    }
}

impl SessionContent for TokenStream {
    const CONTEST: &'static str = "text";

    fn len(&self) -> usize {
        self.tokens.len()
    }
}

/// Extractor of the session ID in a body. Rejects a missing ID like an unknown one, as the
/// reference system does.
pub(super) struct SessionId(String);

impl FromRequest<Arc<State>> for SessionId {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &Arc<State>) -> Result<Self, ApiError> {
        let Body(body) = Body::<Value>::from_request(request, state).await?;
        match body.get("session_id") {
            Some(Value::String(id)) => Ok(Self(id.clone())),
            Some(_) => Err(ApiError::TextSession("session_id: expected a text")),
            None => Err(ApiError::TextSession("session_id: missing")),
        }
    }
}

pub(super) async fn start_main(
    state: EngineState,
    caller: TextCaller,
) -> Result<Json<TextToken>, ApiError> {
    start(&state, &caller, Stream::Main)
}

pub(super) async fn start_solo(
    state: EngineState,
    caller: TextCaller,
) -> Result<Json<TextToken>, ApiError> {
    start(&state, &caller, Stream::Solo)
}

pub(super) async fn next_main(
    state: EngineState,
    caller: TextCaller,
    id: SessionId,
) -> Result<Json<TextToken>, ApiError> {
    next(&state, &caller, &id, Stream::Main)
}

pub(super) async fn next_solo(
    state: EngineState,
    caller: TextCaller,
    id: SessionId,
) -> Result<Json<TextToken>, ApiError> {
    next(&state, &caller, &id, Stream::Solo)
}

fn start(
    Shared(state): &EngineState,
    TextCaller(hotkey): &TextCaller,
    stream: Stream,
) -> Result<Json<TextToken>, ApiError> {
    let position = state.position(stream).checked_rem(state.texts.len());
    let text =
        position.and_then(|position| state.texts.get(position)).ok_or(ApiError::Unprepared)?;
    let first = text.token(0).ok_or(ApiError::Unprepared)?;
    let id = state.text_sessions.start(*hotkey, stream, Arc::clone(text), state.now());
    tracing::info!(%hotkey, ?stream, challenge_uid = text.uid(), "text session started");
    Ok(Json(TextToken { session_id: Some(id), ..first }))
}

fn next(
    Shared(state): &EngineState,
    TextCaller(hotkey): &TextCaller,
    SessionId(id): &SessionId,
    stream: Stream,
) -> Result<Json<TextToken>, ApiError> {
    let next_position = state.text_sessions.next(*hotkey, stream, id, state.now());
    let (text, position) = next_position.map_err(|error| match error {
        ApiError::WrongRoute => {
            ApiError::TextSession("advance main sessions at /next, solo sessions at /solo/next")
        }
        _ => ApiError::TextSession("the session is unknown or expired"),
    })?;
    text.token(position).map(Json).ok_or(ApiError::Unprepared)
}
