//! Parsing of buyers' requests in OpenAI's format.

mod functions;
mod sampling;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::RangeInclusive;

use rand::Rng as _;
use serde_json::{Map, Value};
use taonet_http::parse_object;
use taonet_nineteen_core::payload::{MAX_SEED, TextInput, TextPayload};
use taonet_nineteen_openapi::{REASONING_EFFORTS, VERBOSITIES};

use crate::GatewayError;
use crate::answer::ChoiceForm;
use crate::vision::{MAX_IMAGES, check_image, is_image};

/// Maximum number of tokens in an answer.
pub(crate) const MAX_TOKENS: u64 = 32_768;
/// `top_k` that selects among all tokens with every server: larger than any vocabulary. Servers
/// differ in whether 0, -1 or both have this meaning.
const ALL_TOKENS: i64 = 1_000_000;
/// Maximum number of answers to a request, as in OpenAI's API. Each is a request to miners.
const MAX_CHOICES: u64 = 128;
/// Maximum number of tokens of all answers to a request together. Answers that are not streamed are
/// in memory until the last one is complete: those to one request take as much of it as eight of
/// the longest ones. With log-probabilities, more than eight answers count as many tokens more as
/// each token has alternatives.
pub(crate) const MAX_TOTAL_TOKENS: u64 = MAX_LONGEST_ANSWERS * MAX_TOKENS;
/// Number of the longest answers that may be in memory for one request.
const MAX_LONGEST_ANSWERS: u64 = 8;
/// Maximum number of pairs in `metadata`.
const MAX_METADATA: usize = 16;
/// Maximum number of messages in a conversation.
pub(crate) const MAX_MESSAGES: usize = 1_024;
/// Maximum number of stop sequences.
pub(crate) const MAX_STOPS: usize = 4;
/// Maximum number of tools in a request.
const MAX_TOOLS: usize = 128;
/// Fields that the gateway ignores: OpenAI uses them for abuse detection and caching. Only text
/// requests have an effective `prompt_cache_key`.
const WITHOUT_EFFECT: [&str; 4] =
    ["user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"];

/// A parsed text request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TextRequest {
    /// Field `model` as the buyer sent it.
    pub(crate) model: String,
    /// Request to the miner, that of a completion with the first prompt. Its `max_tokens` is the
    /// maximum if the buyer has set none.
    pub(crate) payload: TextPayload,
    /// Prompts of a completion after the first one. Each prompt has its own choices.
    pub(crate) further_prompts: Vec<String>,
    pub(crate) form: ChoiceForm,
    /// Maximum number of tokens of the answer that the buyer has set.
    pub(crate) max_tokens: Option<u64>,
    /// Minimum number of tokens of the answer.
    pub(crate) min_tokens: u64,
    /// Names of the fields with images, in their order in the messages.
    pub(crate) images: Vec<String>,
    /// Number of choices of each prompt (`n`).
    pub(crate) choices: usize,
    /// Number of answers to each prompt that miners are asked for, of which the best ones are the
    /// choices (`best_of`). Equal to
    /// `choices` without a selection.
    pub(crate) answers: usize,
    pub(crate) streams: bool,
    pub(crate) wants_logprobs: bool,
    pub(crate) wants_usage: bool,
    /// Hash of `prompt_cache_key`.
    pub(crate) cache_key: Option<u64>,
}

impl TextRequest {
    /// Parses a request to `POST /v1/chat/completions`.
    pub(crate) fn chat(body: &[u8]) -> Result<Self, GatewayError> {
        let mut fields = Fields::parse(body)?;
        let mut messages = match fields.take("messages") {
            Some(Value::Array(messages)) if (1..=MAX_MESSAGES).contains(&messages.len()) => {
                messages
            }
            _ => {
                return Err(GatewayError::field(
                    "messages",
                    "messages must be an array of 1..=1024 messages",
                ));
            }
        };
        functions::translate_messages(&mut messages)?;
        let mut images = Vec::new();
        for (index, message) in messages.iter().enumerate() {
            let role = message.get("role").and_then(Value::as_str).unwrap_or_default();
            if !matches!(role, "system" | "developer" | "user" | "assistant" | "tool") {
                let param = format!("messages[{index}].role");
                let message =
                    format!("{param} must be system, developer, user, assistant, tool or function");
                return Err(GatewayError::field(param, message));
            }
            let content = message.get("content").unwrap_or(&Value::Null);
            let calls = message.get("tool_calls").is_some_and(Value::is_array);
            match content {
                Value::Array(parts) => check_parts(parts, (index, role), &mut images)?,
                Value::String(_) => {}
                Value::Null if calls => {}
                _ => {
                    let param = format!("messages[{index}].content");
                    let message = format!("{param} must be a string or an array of parts");
                    return Err(GatewayError::field(param, message));
                }
            }
        }
        let wants_logprobs = fields.flag("logprobs")?;
        let mut further = Map::new();
        if let Some(top) = fields.whole("top_logprobs", 0, 20)? {
            if !wants_logprobs {
                return Err(GatewayError::field(
                    "top_logprobs",
                    "top_logprobs requires logprobs = true",
                ));
            }
            further.insert("top_logprobs".to_owned(), top.into());
        }
        let form = if fields.functions()? { ChoiceForm::FunctionChat } else { ChoiceForm::Chat };
        fields.tools(&mut further)?;
        fields.template_options(&mut further)?;
        for (name, words) in [
            ("reasoning_effort", REASONING_EFFORTS.as_slice()),
            ("verbosity", VERBOSITIES.as_slice()),
        ] {
            let expected = format!("one of {}", words.join(", "));
            fields.copy_field(name, &mut further, &expected, |value| {
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
        let request = fields.request(TextInput::Messages(messages), wants_logprobs, further)?;
        Self { form, ..request }.with_images(images)?.within_limits()
    }

    /// Sets the names of the fields with images.
    pub(crate) fn with_images(self, images: Vec<String>) -> Result<Self, GatewayError> {
        match images.get(MAX_IMAGES) {
            Some(param) => Err(GatewayError::field(
                param.as_str(),
                format!("{param}: a request has at most 8 images"),
            )),
            None => Ok(Self { images, ..self }),
        }
    }

    /// Parses a request to `POST /v1/completions`.
    pub(crate) fn completion(body: &[u8]) -> Result<Self, GatewayError> {
        let mut fields = Fields::parse(body)?;
        let prompts = match fields.take("prompt") {
            Some(Value::String(prompt)) => Some((prompt, Vec::new())),
            Some(Value::Array(prompts)) => split_prompts(prompts),
            _ => None,
        };
        let (prompt, further_prompts) = prompts.ok_or_else(|| {
            GatewayError::field("prompt", "prompt must be a string or an array of 1..=128 strings")
        })?;
        fields.refuse_unless_off("suffix")?;
        let best_of = fields.whole("best_of", 1, MAX_CHOICES)?;
        let logprobs = fields.whole("logprobs", 0, 5)?;
        let echoes = fields.flag("echo")?;
        if echoes && logprobs.is_some() {
            let message =
                "echo cannot be combined with logprobs: miners send none of the prompt's tokens";
            return Err(GatewayError::field("echo", message));
        }
        let further = logprobs
            .filter(|top| *top > 1)
            .map(|top| ("logprobs".to_owned(), top.into()))
            .into_iter();
        let request =
            fields.request(TextInput::Prompt(prompt), logprobs.is_some(), further.collect())?;
        let request = Self { further_prompts, form: ChoiceForm::Completion { echoes }, ..request };
        request.with_best_of(best_of)?.within_limits()
    }

    /// Sets the number of answers of which the best ones are the choices.
    fn with_best_of(self, best_of: Option<u64>) -> Result<Self, GatewayError> {
        let Some(answers) = best_of.and_then(|answers| usize::try_from(answers).ok()) else {
            return Ok(self);
        };
        if answers < self.choices {
            return Err(GatewayError::field("best_of", "best_of must be at least n"));
        }
        if answers > 1 && self.streams {
            let message = "best_of above 1 cannot be streamed, because all answers must be complete; hint: stream = false";
            return Err(GatewayError::field("best_of", message));
        }
        Ok(Self { answers, ..self })
    }

    /// Checks that the answers to all prompts are within the limits of one request.
    fn within_limits(self) -> Result<Self, GatewayError> {
        let (field, answers) =
            (self.count_field(), u64::try_from(self.all_answers()).unwrap_or(u64::MAX));
        if answers > MAX_CHOICES {
            let message = format!(
                "the prompts have {answers} answers, but may have {MAX_CHOICES}; hint: send fewer prompts"
            );
            return Err(GatewayError::field(field, message));
        }
        let tokens = self.max_tokens.unwrap_or(self.min_tokens).saturating_mul(answers);
        let maximum = self.most_total_tokens();
        if tokens > maximum {
            let cause = if maximum < MAX_TOTAL_TOKENS {
                " with these log-probabilities without stream"
            } else {
                ""
            };
            let message = format!(
                "{answers} answers may have {tokens} tokens together, but at most {maximum} are supported{cause}; hint: \
                 lower {field} or max_tokens"
            );
            return Err(GatewayError::field(field, message));
        }
        Ok(self)
    }

    /// Returns the maximum number of tokens of all answers together.
    pub(crate) fn most_total_tokens(&self) -> u64 {
        let is_large =
            u64::try_from(self.all_answers()).is_ok_and(|count| count > MAX_LONGEST_ANSWERS);
        if self.streams || !self.wants_logprobs || !is_large {
            return MAX_TOTAL_TOKENS;
        }
        let further = &self.payload.further;
        // In completions, `logprobs` is the number of alternatives.
        let alternatives = further.get("top_logprobs").or_else(|| further.get("logprobs"));
        let alternatives = alternatives.and_then(Value::as_u64).unwrap_or(0);
        MAX_TOTAL_TOKENS / alternatives.saturating_add(1)
    }

    /// Returns the number of prompts; 1 for a chat.
    pub(crate) fn prompts(&self) -> usize {
        self.further_prompts.len().saturating_add(1)
    }

    /// Returns the number of answers to all prompts.
    pub(crate) fn all_answers(&self) -> usize {
        self.prompts().saturating_mul(self.answers)
    }

    /// Returns the prompts, if the choices begin with them.
    pub(crate) fn echo(&self) -> Vec<String> {
        match (&self.payload.input, self.form) {
            (TextInput::Prompt(first), ChoiceForm::Completion { echoes: true }) => {
                std::iter::once(first).chain(&self.further_prompts).cloned().collect()
            }
            _ => Vec::new(),
        }
    }

    /// Returns the name of the field on which the number of answers depends.
    pub(crate) fn count_field(&self) -> &'static str {
        match (self.prompts(), self.answers > self.choices) {
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

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Checks the parts of a message: texts and, in a user's message, images, whose fields are appended
/// to `images`. The tasks' models process no audio or files.
fn check_parts(
    parts: &[Value],
    (message, role): (usize, &str),
    images: &mut Vec<String>,
) -> Result<(), GatewayError> {
    let is_text = |part: &Value| {
        part.get("type").and_then(Value::as_str) == Some("text")
            && part.get("text").is_some_and(Value::is_string)
    };
    for (index, part) in parts.iter().enumerate() {
        if is_text(part) {
            continue;
        }
        let param = format!("messages[{message}].content[{index}]");
        let checked = if is_image(part) && role == "user" {
            check_image(part)
        } else {
            Err(
                "must have the type text and a string text, or be an image in a user's message; other parts are not \
                 supported",
            )
        };
        checked.map_err(|what| GatewayError::field(param.clone(), format!("{param} {what}")))?;
        images.push(param);
    }
    Ok(())
}

/// Fields of a request that remain to be parsed.
pub(crate) struct Fields(pub(crate) Map<String, Value>);

impl Fields {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, GatewayError> {
        parse_object(body).map(Self).map_err(|error| GatewayError::Body(error.to_string()))
    }

    /// Moves the named fields to a new set.
    pub(crate) fn split(&mut self, names: &[&str]) -> Self {
        Self(
            names
                .iter()
                .filter_map(|name| Some(((*name).to_owned(), self.0.shift_remove(*name)?)))
                .collect(),
        )
    }

    /// Parses the remaining fields of a text request and rejects unknown ones.
    pub(crate) fn request(
        mut self,
        input: TextInput,
        wants_logprobs: bool,
        mut further: Map<String, Value>,
    ) -> Result<TextRequest, GatewayError> {
        let model = self.model()?;
        let choices = self.whole("n", 1, MAX_CHOICES)?.unwrap_or(1);
        let streams = self.flag("stream")?;
        let wants_usage = self.stream_options(streams)?;
        let max_tokens = match (
            self.whole("max_completion_tokens", 1, MAX_TOKENS)?,
            self.whole("max_tokens", 1, MAX_TOKENS)?,
        ) {
            (Some(one), Some(other)) if one != other => {
                return Err(GatewayError::field(
                    "max_tokens",
                    "max_tokens and max_completion_tokens differ",
                ));
            }
            (one, other) => one.or(other),
        };
        let min_tokens = self.whole("min_tokens", 0, MAX_TOKENS)?.unwrap_or(0);
        if max_tokens.is_some_and(|maximum| maximum < min_tokens) {
            return Err(GatewayError::field("min_tokens", "min_tokens must be at most max_tokens"));
        }
        if min_tokens > 0 {
            further.insert("min_tokens".to_owned(), min_tokens.into());
        }
        let temperature = self.float("temperature", 0.0, 2.0)?.unwrap_or(1.0);
        let top_p = self.float("top_p", 0.0, 1.0)?.unwrap_or(1.0);
        let seed = self.seed()?;
        self.sampling(&mut further)?;
        self.refuse_unless("store", |value| *value == Value::Bool(false), "store must be false")?;
        let is_metadata = |value: &Value| {
            value.as_object().is_some_and(|pairs| {
                pairs.len() <= MAX_METADATA && pairs.values().all(Value::is_string)
            })
        };
        self.refuse_unless(
            "metadata",
            is_metadata,
            "metadata must be an object with at most 16 string values",
        )?;
        let is_standard = |value: &Value| matches!(value.as_str(), Some("auto" | "default"));
        self.refuse_unless("service_tier", is_standard, "service_tier must be auto or default")?;
        let cache_key = self.take("prompt_cache_key").as_ref().and_then(Value::as_str).map(hash);
        self.end()?;
        let maximum = max_tokens.unwrap_or(MAX_TOKENS);
        let form = match input {
            TextInput::Messages(_) => ChoiceForm::Chat,
            TextInput::Prompt(_) => ChoiceForm::Completion { echoes: false },
        };
        let payload = TextPayload {
            input,
            model: model.clone(),
            temperature,
            seed,
            top_p,
            max_tokens: maximum,
            further,
        };
        let choices = usize::try_from(choices).unwrap_or(1);
        Ok(TextRequest {
            model,
            payload,
            further_prompts: Vec::new(),
            form,
            max_tokens,
            min_tokens,
            images: Vec::new(),
            choices,
            answers: choices,
            streams,
            wants_logprobs,
            wants_usage,
            cache_key,
        })
    }

    /// Parses the fields for tools and the response format.
    pub(crate) fn tools(&mut self, further: &mut Map<String, Value>) -> Result<(), GatewayError> {
        let has_type = |value: &Value| value.get("type").is_some_and(Value::is_string);
        self.copy_field(
            "tools",
            further,
            "an array of 1..=128 tools, each with a type",
            |value| {
                let tools = value.as_array();
                tools.is_some_and(|tools| {
                    (1..=MAX_TOOLS).contains(&tools.len()) && tools.iter().all(has_type)
                })
            },
        )?;
        let is_choice = |value: &Value| match value {
            Value::String(choice) => matches!(choice.as_str(), "none" | "auto" | "required"),
            choice => has_type(choice),
        };
        self.copy_field(
            "tool_choice",
            further,
            "none, auto, required or an object with a type",
            is_choice,
        )?;
        self.copy_field("parallel_tool_calls", further, "true or false", Value::is_boolean)?;
        self.copy_field("response_format", further, "an object with a type", has_type)
    }

    /// Takes the model's name.
    pub(crate) fn model(&mut self) -> Result<String, GatewayError> {
        match self.take("model") {
            Some(Value::String(model)) if !model.is_empty() => Ok(model),
            _ => Err(GatewayError::field("model", "model must be the name of a model")),
        }
    }

    /// Takes the seed, any integer, or draws a random one. Other seeds than those of synthetic
    /// requests would reveal a buyer's request to the miner, so each is mapped to one of them;
    /// equal seeds remain equal.
    pub(crate) fn seed(&mut self) -> Result<u64, GatewayError> {
        let Some(value) = self.take("seed") else {
            return Ok(rand::rng().random_range(1..=MAX_SEED));
        };
        // A seed that is negative or has more than 64 bits counts as the unsigned number with the
        // same bits.
        let large = || value.as_f64().filter(|number| number.fract() == 0.0).map(f64::to_bits);
        let seed =
            value.as_u64().or_else(|| integer(&value).map(i64::cast_unsigned)).or_else(large);
        let seed = seed.ok_or_else(|| GatewayError::field("seed", "seed must be an integer"))?;
        Ok(if (1..=MAX_SEED).contains(&seed) { seed } else { seed % MAX_SEED + 1 })
    }

    fn stream_options(&mut self, streams: bool) -> Result<bool, GatewayError> {
        let options = match self.take("stream_options") {
            None => return Ok(false),
            Some(Value::Object(options)) if streams => options,
            Some(Value::Object(_)) => {
                return Err(GatewayError::field(
                    "stream_options",
                    "stream_options requires stream = true",
                ));
            }
            Some(_) => {
                return Err(GatewayError::field(
                    "stream_options",
                    "stream_options must be an object",
                ));
            }
        };
        let mut wants_usage = false;
        for (name, value) in options {
            match (name.as_str(), value.as_bool()) {
                ("include_usage", Some(wanted)) => wants_usage = wanted,
                ("include_usage", None) if value.is_null() => {}
                // The gateway never pads events, so only `false` is valid.
                ("include_obfuscation", Some(false)) => {}
                ("include_usage" | "include_obfuscation", _) => {
                    let message = format!("stream_options.{name} has an unsupported value");
                    return Err(GatewayError::field(format!("stream_options.{name}"), message));
                }
                _ => {
                    return Err(GatewayError::field(
                        format!("stream_options.{name}"),
                        "unknown stream option",
                    ));
                }
            }
        }
        Ok(wants_usage)
    }

    /// Ends the parsing: rejects the first remaining field, which is unknown or unsupported.
    pub(crate) fn end(mut self) -> Result<(), GatewayError> {
        for name in WITHOUT_EFFECT {
            self.take(name);
        }
        match self.0.iter().find(|(_, value)| !value.is_null()) {
            Some((name, _)) => {
                Err(GatewayError::field(name.clone(), format!("{name} is unknown or unsupported")))
            }
            None => Ok(()),
        }
    }

    /// Copies a field to the miner's request unchanged if its value is valid.
    fn copy_field(
        &mut self,
        name: &'static str,
        further: &mut Map<String, Value>,
        expected: &str,
        fits: impl Fn(&Value) -> bool,
    ) -> Result<(), GatewayError> {
        match self.take(name) {
            None => Ok(()),
            Some(value) if fits(&value) => {
                further.insert(name.to_owned(), value);
                Ok(())
            }
            Some(_) => Err(GatewayError::field(name, format!("{name} must be {expected}"))),
        }
    }

    /// Returns whether a field is set; `null` counts as absent.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !value.is_null())
    }

    /// Takes a field's value; `null` counts as absent.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.0.shift_remove(name).filter(|value| !value.is_null())
    }

    pub(crate) fn flag(&mut self, name: &'static str) -> Result<bool, GatewayError> {
        match self.take(name) {
            None => Ok(false),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| GatewayError::field(name, format!("{name} must be true or false"))),
        }
    }

    pub(crate) fn whole(
        &mut self,
        name: &'static str,
        smallest: u64,
        largest: u64,
    ) -> Result<Option<u64>, GatewayError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = integer(&value).and_then(|number| u64::try_from(number).ok());
        let number = number.filter(|number| (smallest..=largest).contains(number));
        number.map(Some).ok_or_else(|| {
            GatewayError::field(
                name,
                format!("{name} must be an integer in {smallest}..={largest}"),
            )
        })
    }

    pub(crate) fn float(
        &mut self,
        name: &'static str,
        smallest: f64,
        largest: f64,
    ) -> Result<Option<f64>, GatewayError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = value.as_f64().filter(|number| (smallest..=largest).contains(number));
        number.map(Some).ok_or_else(|| {
            GatewayError::field(name, format!("{name} must be a number in {smallest}..={largest}"))
        })
    }

    pub(crate) fn refuse_unless(
        &mut self,
        name: &'static str,
        fits: impl Fn(&Value) -> bool,
        message: &str,
    ) -> Result<(), GatewayError> {
        match self.take(name) {
            Some(value) if !fits(&value) => Err(GatewayError::field(name, message)),
            _ => Ok(()),
        }
    }

    fn refuse_unless_off(&mut self, name: &'static str) -> Result<(), GatewayError> {
        let is_off =
            |value: &Value| matches!(value, Value::Bool(false)) || value.as_u64() == Some(1);
        self.refuse_unless(name, is_off, &format!("{name} is not supported"))
    }
}

fn is_number_in(value: &Value, range: RangeInclusive<f64>) -> bool {
    value.as_f64().is_some_and(|number| range.contains(&number))
}

/// Returns a JSON number as an integer, even if it has a zero fraction, such as `24.0`.
pub(crate) fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        // Turns -0.0 into 0.0.
        let number = value.as_f64()? + 0.0;
        let integer = number as i64;
        // A float at either end of the range may represent an integer beyond it.
        let is_inside = i64::MIN < integer && integer < i64::MAX;
        (is_inside && (integer as f64).total_cmp(&number).is_eq()).then_some(integer)
    })
}

#[cfg(test)]
mod tests;
