//! Parsing of buyers' requests in OpenAI's format.

mod fields;
mod functions;
mod messages;
mod sampling;
mod text_fields;

use serde_json::{Map, Value};
use taonet_nineteen_core::payload::{TextInput, TextPayload};
use taonet_nineteen_openapi::{REASONING_EFFORTS, VERBOSITIES};

pub(crate) use self::fields::{Fields, as_integer};
use crate::GatewayError;
use crate::answer::ChoiceFormat;
use crate::vision::MAX_IMAGES;

/// Maximum number of tokens in an answer.
pub(crate) const MAX_TOKENS: u64 = 32_768;
/// Maximum number of answers to a request, as in OpenAI's API. Each is a request to miners.
const MAX_CHOICES: u64 = 128;
/// Maximum number of tokens of all answers to a request together: those of eight answers of maximum
/// length, because answers that are not streamed are in memory until the last one is complete. With
/// more than eight answers with log-probabilities, each alternative of a token also counts as a
/// token.
pub(crate) const MAX_TOTAL_TOKENS: u64 = MAX_LONGEST_ANSWERS * MAX_TOKENS;
/// Number of answers of maximum length that may be in memory for one request.
const MAX_LONGEST_ANSWERS: u64 = 8;
/// Maximum number of messages in a conversation.
pub(crate) const MAX_MESSAGES: usize = 1_024;
/// Maximum number of stop sequences.
pub(crate) const MAX_STOPS: usize = 4;
/// Maximum number of tools in a request.
const MAX_TOOLS: usize = 128;

/// A parsed text request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TextRequest {
    /// Field `model` as the buyer sent it.
    pub(crate) model: String,
    /// Request to the miner, that of a completion with the first prompt. Its `max_tokens` is the
    /// maximum if the buyer has set none.
    pub(crate) payload: TextPayload,
    /// Prompts of a completion after the first one. Each prompt has its own choices.
    pub(crate) extra_prompts: Vec<String>,
    pub(crate) choice_format: ChoiceFormat,
    /// Maximum number of tokens of the answer that the buyer has set.
    pub(crate) max_tokens: Option<u64>,
    /// Minimum number of tokens of the answer.
    pub(crate) min_tokens: u64,
    /// Names of the fields with images, in their order in the messages.
    pub(crate) image_fields: Vec<String>,
    /// Number of choices of each prompt (`n`).
    pub(crate) choices_per_prompt: usize,
    /// Number of answers to each prompt that miners are asked for, of which the best ones are the
    /// choices (`best_of`). Equal to `choices_per_prompt` without `best_of`.
    pub(crate) answers_per_prompt: usize,
    pub(crate) streams: bool,
    pub(crate) wants_logprobs: bool,
    pub(crate) wants_usage: bool,
    /// Hash of `prompt_cache_key`.
    pub(crate) cache_key: Option<u64>,
}

impl TextRequest {
    /// Parses a request to `POST /v1/chat/completions`.
    pub(crate) fn parse_chat(body: &[u8]) -> Result<Self, GatewayError> {
        let mut fields = Fields::parse(body)?;
        let (messages, image_fields) = fields.take_messages()?;
        let wants_logprobs = fields.take_flag("logprobs")?;
        let mut extra_fields = Map::new();
        if let Some(top_logprobs) = fields.take_integer("top_logprobs", 0, 20)? {
            if !wants_logprobs {
                return Err(GatewayError::field(
                    "top_logprobs",
                    "top_logprobs requires logprobs = true",
                ));
            }
            extra_fields.insert("top_logprobs".to_owned(), top_logprobs.into());
        }
        let choice_format = if fields.translate_functions()? {
            ChoiceFormat::FunctionChat
        } else {
            ChoiceFormat::Chat
        };
        fields.copy_tool_fields(&mut extra_fields)?;
        fields.copy_template_options(&mut extra_fields)?;
        for (name, words) in [
            ("reasoning_effort", REASONING_EFFORTS.as_slice()),
            ("verbosity", VERBOSITIES.as_slice()),
        ] {
            let expected = format!("one of {}", words.join(", "));
            fields.copy_field(name, &mut extra_fields, &expected, |value| {
                value.as_str().is_some_and(|word| words.contains(&word))
            })?;
        }
        let is_text = |value: &Value| {
            value.as_array().is_some_and(|kinds| kinds.iter().all(|kind| kind == "text"))
        };
        fields.refuse_unless(
            "modalities",
            is_text,
            "modalities must be [\"text\"]; the models write only texts",
        )?;
        let request = fields.into_text_request(
            TextInput::Messages(messages),
            wants_logprobs,
            extra_fields,
        )?;
        Self { choice_format, ..request }.with_image_fields(image_fields)?.check_limits()
    }

    /// Sets the names of the fields with images.
    pub(crate) fn with_image_fields(self, image_fields: Vec<String>) -> Result<Self, GatewayError> {
        match image_fields.get(MAX_IMAGES) {
            Some(param) => Err(GatewayError::field(
                param.as_str(),
                format!("{param}: a request has at most 8 images"),
            )),
            None => Ok(Self { image_fields, ..self }),
        }
    }

    /// Parses a request to `POST /v1/completions`.
    pub(crate) fn parse_completion(body: &[u8]) -> Result<Self, GatewayError> {
        let mut fields = Fields::parse(body)?;
        let prompts = match fields.take("prompt") {
            Some(Value::String(prompt)) => Some((prompt, Vec::new())),
            Some(Value::Array(prompts)) => split_prompts(prompts),
            _ => None,
        };
        let (prompt, extra_prompts) = prompts.ok_or_else(|| {
            GatewayError::field("prompt", "prompt must be a string or an array of 1..=128 strings")
        })?;
        fields.refuse_unless_off("suffix")?;
        let best_of = fields.take_integer("best_of", 1, MAX_CHOICES)?;
        let logprobs = fields.take_integer("logprobs", 0, 5)?;
        let echoes = fields.take_flag("echo")?;
        if echoes && logprobs.is_some() {
            let message =
                "echo cannot be combined with logprobs: miners send none of the prompt's tokens";
            return Err(GatewayError::field("echo", message));
        }
        let extra_fields = logprobs
            .filter(|top_logprobs| *top_logprobs > 1)
            .map(|top_logprobs| ("logprobs".to_owned(), top_logprobs.into()))
            .into_iter();
        let request = fields.into_text_request(
            TextInput::Prompt(prompt),
            logprobs.is_some(),
            extra_fields.collect(),
        )?;
        let request =
            Self { extra_prompts, choice_format: ChoiceFormat::Completion { echoes }, ..request };
        request.with_best_of(best_of)?.check_limits()
    }

    /// Sets the number of answers of which the best ones are the choices.
    fn with_best_of(self, best_of: Option<u64>) -> Result<Self, GatewayError> {
        let best_of = best_of.and_then(|best_of| usize::try_from(best_of).ok());
        let Some(answers_per_prompt) = best_of else {
            return Ok(self);
        };
        if answers_per_prompt < self.choices_per_prompt {
            return Err(GatewayError::field("best_of", "best_of must be at least n"));
        }
        if answers_per_prompt > 1 && self.streams {
            let message = "best_of above 1 cannot be streamed, because all answers must be complete; hint: stream = false";
            return Err(GatewayError::field("best_of", message));
        }
        Ok(Self { answers_per_prompt, ..self })
    }

    /// Checks that the answers to all prompts are within the limits of one request.
    fn check_limits(self) -> Result<Self, GatewayError> {
        let (field, answers) =
            (self.count_field(), u64::try_from(self.answer_count()).unwrap_or(u64::MAX));
        if answers > MAX_CHOICES {
            let message = format!(
                "the prompts have {answers} answers, but may have {MAX_CHOICES}; hint: send fewer prompts"
            );
            return Err(GatewayError::field(field, message));
        }
        let tokens = self.max_tokens.unwrap_or(self.min_tokens).saturating_mul(answers);
        let maximum = self.max_total_tokens();
        if tokens > maximum {
            let reason = if maximum < MAX_TOTAL_TOKENS {
                " with these log-probabilities without stream"
            } else {
                ""
            };
            let message = format!(
                "{answers} answers may have {tokens} tokens together, but at most {maximum} are supported{reason}; hint: \
                 lower {field} or max_tokens"
            );
            return Err(GatewayError::field(field, message));
        }
        Ok(self)
    }

    /// Returns the maximum number of tokens of all answers together.
    pub(crate) fn max_total_tokens(&self) -> u64 {
        let is_large =
            u64::try_from(self.answer_count()).is_ok_and(|count| count > MAX_LONGEST_ANSWERS);
        if self.streams || !self.wants_logprobs || !is_large {
            return MAX_TOTAL_TOKENS;
        }
        let extra_fields = &self.payload.extra_fields;
        // In completions, `logprobs` is the number of alternatives.
        let alternatives =
            extra_fields.get("top_logprobs").or_else(|| extra_fields.get("logprobs"));
        let alternatives = alternatives.and_then(Value::as_u64).unwrap_or(0);
        MAX_TOTAL_TOKENS / alternatives.saturating_add(1)
    }

    /// Returns the number of prompts; 1 for a chat.
    pub(crate) fn prompt_count(&self) -> usize {
        self.extra_prompts.len().saturating_add(1)
    }

    /// Returns the number of answers to all prompts.
    pub(crate) fn answer_count(&self) -> usize {
        self.prompt_count().saturating_mul(self.answers_per_prompt)
    }

    /// Returns the prompts, if the choices begin with them.
    pub(crate) fn echoed_prompts(&self) -> Vec<String> {
        match (&self.payload.input, self.choice_format) {
            (TextInput::Prompt(first), ChoiceFormat::Completion { echoes: true }) => {
                std::iter::once(first).chain(&self.extra_prompts).cloned().collect()
            }
            _ => Vec::new(),
        }
    }

    /// Returns the name of the field on which the number of answers depends.
    pub(crate) fn count_field(&self) -> &'static str {
        match (self.prompt_count(), self.answers_per_prompt > self.choices_per_prompt) {
            (2.., _) => "prompt",
            (_, true) => "best_of",
            (_, false) => "n",
        }
    }
}

/// Returns the first one and the others of a completion's prompts; `None` if they are not 1..=128
/// texts.
fn split_prompts(prompts: Vec<Value>) -> Option<(String, Vec<String>)> {
    let count = u64::try_from(prompts.len()).unwrap_or(u64::MAX);
    let prompts = prompts.into_iter().map(|prompt| match prompt {
        Value::String(prompt) => Some(prompt),
        _ => None,
    });
    let mut prompts =
        prompts.collect::<Option<Vec<_>>>().filter(|_| count <= MAX_CHOICES)?.into_iter();
    Some((prompts.next()?, prompts.collect()))
}

#[cfg(test)]
mod tests;
