//! Conversations for synthetic requests that the checking model has written in advance.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use taonet_nineteen_checker::{CheckError, Reference, ReferenceModel};
use taonet_nineteen_core::task::TaskType;
use taonet_service::Shutdown;

use super::words::{TextKind, generate_text};
use crate::{MarketFile, References};

/// Number of conversations to keep ready.
const TARGET_COUNT: usize = 256;
/// Number of conversations that the model writes concurrently.
const MAX_CONCURRENT: usize = 4;
/// Pause after a failure, and while enough conversations are ready.
const RETRY_DELAY: Duration = Duration::from_secs(5);
/// Maximum length of a written message, in tokens.
const MAX_DRAFT_TOKENS: u64 = 300;
/// Numbers of follow-up turns, drawn uniformly.
const FOLLOW_UP_COUNTS: [usize; 8] = [0, 0, 0, 0, 0, 1, 1, 2];
/// Styles in which the model is told to write a message.
const STYLES: [&str; 12] = [
    "short and casual",
    "polite and detailed",
    "in lower case, with typing errors",
    "by an expert",
    "by a beginner",
    "in two sentences",
    "with a list of facts",
    "with a quotation to work on",
    "with a few lines of code",
    "in one long paragraph",
    "as a single question",
    "in a language other than English",
];

/// A queue of conversations. Each conversation is used once. Clones share the queue.
#[derive(Clone, Default)]
pub struct Drafts(Arc<Mutex<VecDeque<Vec<Value>>>>);

impl Drafts {
    /// Takes a conversation, which ends with a message of the user; `None` if none is ready.
    pub fn take(&self) -> Option<Vec<Value>> {
        self.queue().pop_front()
    }

    /// Keeps conversations ready until shutdown. The models that check the market's text tasks
    /// generate them; returns immediately if these models cannot generate text.
    pub async fn refill_until_shutdown(
        &self,
        market: &MarketFile,
        references: &References,
        shutdown: &Shutdown,
    ) {
        while !shutdown.is_requested() {
            let models = text_models(market, references);
            let missing_count = TARGET_COUNT.saturating_sub(self.queue().len());
            let models = &models;
            let drafts =
                futures::stream::iter(0..missing_count.min(MAX_CONCURRENT)).map(|_| async move {
                    let mut random = StdRng::from_os_rng();
                    match models.choose(&mut random) {
                        Some(model) => generate_conversation(model.as_ref(), &mut random).await,
                        None => Ok(None),
                    }
                });
            let conversations: Vec<_> = tokio::select! {
                () = shutdown.requested() => return,
                conversations = drafts.buffer_unordered(MAX_CONCURRENT).collect() => conversations,
            };
            let mut is_idle = conversations.is_empty() || models.is_empty();
            for conversation in conversations {
                match conversation {
                    Ok(Some(conversation)) => self.queue().push_back(conversation),
                    Ok(None) if models.is_empty() => {}
                    Ok(None) => return,
                    Err(error) => {
                        is_idle = true;
                        tracing::debug!(
                            error = &error as &dyn std::error::Error,
                            "synthetic conversation not written"
                        );
                    }
                }
            }
            if is_idle && !shutdown.sleep(RETRY_DELAY).await {
                return;
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Vec<Value>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Drafts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drafts").field("ready", &self.queue().len()).finish()
    }
}

/// Returns the models that check the market's text tasks.
fn text_models(market: &MarketFile, references: &References) -> Vec<Arc<dyn ReferenceModel>> {
    let config = market.current();
    let text_tasks = config.enabled().filter(|task| task.task_type == TaskType::Text);
    let model = |reference| if let Reference::Text(model) = reference { Some(model) } else { None };
    text_tasks.filter_map(|task| references.for_task(task)).filter_map(model).collect()
}

/// Generates a conversation with a model; `None` if the model cannot generate text.
async fn generate_conversation(
    model: &dyn ReferenceModel,
    random: &mut StdRng,
) -> Result<Option<Vec<Value>>, CheckError> {
    let mut messages = Vec::new();
    if random.random_bool(0.25) {
        let example = generate_text(TextKind::System, 12, random);
        let instruction = format!(
            "Write the system prompt of an AI assistant. An example of a different one: \"{example}\". Reply with the \
             prompt only."
        );
        let Some(draft_text) =
            generate_message(model, &[message("user", &instruction)], random).await?
        else {
            return Ok(None);
        };
        messages.push(message("system", &draft_text));
    }
    let (example, style) = (
        generate_text(TextKind::Message, 25, random),
        STYLES.choose(random).copied().unwrap_or_default(),
    );
    let instruction = format!(
        "Write a message that a person could send to an AI assistant, {style}. These words set the subject, which you \
         can change to make sense: \"{example}\". Reply with the message only."
    );
    let Some(draft_text) =
        generate_message(model, &[message("user", &instruction)], random).await?
    else {
        return Ok(None);
    };
    messages.push(message("user", &draft_text));
    for _ in 0..FOLLOW_UP_COUNTS.choose(random).copied().unwrap_or(0) {
        let Some(answer) = generate_message(model, &messages, random).await? else {
            return Ok(None);
        };
        messages.push(message("assistant", &answer));
        let instruction = format!(
            "This is a conversation between a user and an AI assistant, in JSON:\n\n{}\n\nWrite the user's next \
             message. Reply with the message only.",
            Value::from(messages.clone())
        );
        let Some(next) = generate_message(model, &[message("user", &instruction)], random).await?
        else {
            return Ok(None);
        };
        messages.push(message("user", &next));
    }
    Ok(Some(messages))
}

async fn generate_message(
    model: &dyn ReferenceModel,
    messages: &[Value],
    random: &mut StdRng,
) -> Result<Option<String>, CheckError> {
    let Some(text) = model
        .generate(messages, MAX_DRAFT_TOKENS, random.random_range(1..=u32::MAX.into()))
        .await?
    else {
        return Ok(None);
    };
    // Models often put the requested message in quotation marks.
    let text = text.trim().trim_matches('"').trim();
    if text.is_empty() {
        Err(CheckError::Malformed("is an empty message"))
    } else {
        Ok(Some(text.to_owned()))
    }
}

fn message(role: &str, content: &str) -> Value {
    json!({"role": role, "content": content})
}
