use serde_json::{Value, json};
use taonet_babelbit_core::engine_api::UtterancePayload;

use super::{ChallengeKind, EngineClient, EngineError};

/// Maximum length of a challenge's title in characters, as in challenge files.
const MAX_TITLE_CHARS: usize = 200;

/// Reference document of a challenge, with its source.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// Reference document, `{"challenge_uid", "utterances": […]}`, with each utterance in one of
    /// the three reference schemas.
    pub document: Value,
    /// URL of the reference: `<engine>/transcription` or `<engine>/source-audio`.
    pub source: String,
}

/// All utterances of a challenge, fetched before the first one is played.
#[derive(Debug, Clone, PartialEq)]
pub struct PrefetchedChallenge {
    /// ID of the challenge; empty if the engine has no challenge.
    pub challenge_uid: String,
    /// Title of the challenge, for display; `None` if the engine sends none, or an unusable one.
    pub title: Option<String>,
    /// Fetched utterances in order; each has audio.
    pub utterances: Vec<UtterancePayload>,
    /// Why fetching stopped before the end of the challenge, in the format of score files, e.g.
    /// `AudioChallengeError:Failed to advance source-audio session: HTTP 503`.
    pub error: Option<String>,
    /// Reference from the engine, or else from the utterances; `None` if only local files can
    /// provide one.
    pub reference: Option<Reference>,
}

impl EngineClient {
    /// Starts a session and fetches the complete challenge.
    ///
    /// # Errors
    /// [`EngineError`] when no session could be started. [`PrefetchedChallenge::error`] reports
    /// later failures, together with the utterances fetched up to that point.
    pub async fn prefetch(&self, kind: ChallengeKind) -> Result<PrefetchedChallenge, EngineError> {
        let first = self.start(kind).await?;
        Ok(self.prefetch_from(kind, first).await)
    }

    /// Fetches the remaining utterances of a challenge after `first`, the response to the start
    /// call.
    ///
    /// An utterance with `done` ends the challenge, with or without audio. Empty audio without
    /// `done` is an error.
    #[tracing::instrument(skip_all, fields(challenge_uid = %first.challenge_uid))]
    pub async fn prefetch_from(
        &self,
        kind: ChallengeKind,
        first: UtterancePayload,
    ) -> PrefetchedChallenge {
        let challenge_uid = first.challenge_uid.clone();
        let title = title_of(&first);
        if challenge_uid.is_empty() || (first.audio_b64.is_empty() && first.done) {
            return PrefetchedChallenge {
                challenge_uid,
                title,
                utterances: Vec::new(),
                error: None,
                reference: None,
            };
        }
        let transcription = match kind {
            ChallengeKind::Main => self.fetch_reference(&challenge_uid).await,
            ChallengeKind::Solo => None,
        };
        let mut utterances = Vec::new();
        let error = self.fetch_utterances(kind, first, &mut utterances).await.err();
        if let Some(error) = &error {
            tracing::warn!(%error, utterances = utterances.len(), "the engine delivered only part of the challenge");
        }
        let reference = transcription.or_else(|| {
            inline_document(&challenge_uid, &utterances).map(|document| Reference {
                document,
                source: format!("{}/source-audio", self.url_without_credentials()),
            })
        });
        let error = error.map(|error| error.to_score_file_text());
        PrefetchedChallenge { challenge_uid, title, utterances, error, reference }
    }

    async fn fetch_utterances(
        &self,
        kind: ChallengeKind,
        first: UtterancePayload,
        utterances: &mut Vec<UtterancePayload>,
    ) -> Result<(), EngineError> {
        let mut payload = first;
        let mut bytes = 0_usize;
        loop {
            let is_last = payload.done;
            if payload.audio_b64.is_empty() {
                return if is_last { Ok(()) } else { Err(EngineError::EmptyAudio) };
            }
            if utterances.len() >= self.options.max_utterances {
                return Err(EngineError::TooManyUtterances(self.options.max_utterances));
            }
            bytes = bytes.saturating_add(payload.audio_b64.len());
            if bytes > self.options.max_challenge_bytes {
                return Err(EngineError::ChallengeTooLarge(self.options.max_challenge_bytes));
            }
            let session = payload.session_id.clone();
            utterances.push(payload);
            if is_last {
                return Ok(());
            }
            payload = self.next(kind, &session).await?;
        }
    }

    /// Fetches the engine's reference; `None` if it is unavailable or belongs to another challenge.
    async fn fetch_reference(&self, challenge_uid: &str) -> Option<Reference> {
        let source = format!("{}/transcription", self.url_without_credentials());
        match self.transcription().await {
            Ok(response)
                if response.challenge_uid == challenge_uid && response.metadata.is_object() =>
            {
                Some(Reference { document: response.metadata, source })
            }
            Ok(response) => {
                tracing::warn!(other = %response.challenge_uid, "the engine's reference belongs to another challenge");
                None
            }
            Err(error) => {
                tracing::warn!(%error, "cannot fetch the engine's reference");
                None
            }
        }
    }

    fn url_without_credentials(&self) -> String {
        self.http.base().without_credentials()
    }
}

/// Returns the challenge's title without surrounding spaces; `None` if it is missing, blank, too
/// long or not a text: titles are for display only, so an unusable one is not an error.
fn title_of(payload: &UtterancePayload) -> Option<String> {
    let title = payload.title.as_ref()?.as_str()?.trim();
    (!title.is_empty() && title.chars().count() <= MAX_TITLE_CHARS).then(|| title.to_owned())
}

/// Builds a reference document from the inline references of the utterances; `None` if there are
/// none.
fn inline_document(challenge_uid: &str, utterances: &[UtterancePayload]) -> Option<Value> {
    let entries: Vec<Value> = utterances.iter().filter_map(inline_entry).collect();
    (!entries.is_empty()).then(|| json!({ "challenge_uid": challenge_uid, "utterances": entries }))
}

fn inline_entry(payload: &UtterancePayload) -> Option<Value> {
    let fields = [
        ("target", &payload.target),
        ("reference_text", &payload.reference_text),
        ("reference_words", &payload.reference_words),
        ("reference_wps", &payload.reference_wps),
        ("utterance_translations", &payload.utterance_translations),
    ];
    if payload.target.is_none()
        && payload.reference_text.is_none()
        && payload.utterance_translations.is_none()
    {
        return None;
    }
    let mut entry = serde_json::Map::new();
    entry.insert("utterance_id".to_owned(), json!(payload.utterance_id));
    entry.insert("utterance_index".to_owned(), json!(payload.utterance_index));
    for (name, value) in fields {
        if let Some(value) = value {
            entry.insert(name.to_owned(), value.clone());
        }
    }
    Some(Value::Object(entry))
}
