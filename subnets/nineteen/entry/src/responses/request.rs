//! Conversion of requests to `/v1/responses` into chat completions.

use serde_json::{Map, Value, json};
use taonet_nineteen_core::payload::TextInput;
use taonet_nineteen_openapi::{
    INCLUDE_VALUES, INCLUDED_LOGPROBS, REASONING_EFFORTS, SUMMARIES, VERBOSITIES,
};

use super::ResponseState;
use crate::GatewayError;
use crate::answer::ResponseHead;
use crate::request::{Fields, MAX_TOKENS, TextRequest};
use crate::translation::{
    function_choice, function_tool, joined_text, text_of, tool_call, tool_message,
};
use crate::vision::{check_image, image_part};

/// Maximum number of input items in a request.
const MAX_ITEMS: usize = 1_024;
/// Types of the parts of a message with text.
const TEXT_PART_TYPES: [&str; 2] = ["input_text", "output_text"];
/// Maximum number of likeliest tokens for each token.
const MAX_LOGPROBS: u64 = 20;

/// Fields of a request that the response repeats.
#[derive(Clone)]
pub(crate) struct EchoedFields(Map<String, Value>);

impl EchoedFields {
    /// Returns the response as a JSON document, with the output items and the token counts of
    /// request and answer.
    pub(super) fn document(
        &self,
        head: &ResponseHead,
        state: ResponseState,
        output: Vec<Value>,
        tokens: Option<(u64, u64)>,
    ) -> Value {
        let usage = tokens.map(|(input, answer)| {
            json!({
                "input_tokens": input, "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": answer, "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": input.saturating_add(answer),
            })
        });
        let reason = match state {
            ResponseState::Incomplete(reason) => json!({ "reason": reason }),
            _ => Value::Null,
        };
        let mut document = self.0.clone();
        for (name, value) in [
            ("id", json!(head.id)),
            ("object", json!("response")),
            ("created_at", json!(head.created)),
            ("status", json!(state.as_str())),
            ("error", Value::Null),
            ("incomplete_details", reason),
            ("model", json!(head.model)),
            ("output", output.into()),
            ("usage", json!(usage)),
        ] {
            document.insert(name.to_owned(), value);
        }
        document.into()
    }
}

/// Parses a request to `POST /v1/responses`; returns the equivalent chat completion request, and
/// the fields that the response repeats.
pub(crate) fn parse(body: &[u8]) -> Result<(TextRequest, EchoedFields), GatewayError> {
    let mut fields = Fields::parse(body)?;
    refuse_unsupported(&mut fields)?;
    let chat_fields = [
        "model",
        "stream",
        "stream_options",
        "temperature",
        "top_p",
        "service_tier",
        "prompt_cache_key",
    ];
    let mut chat = fields.split(&chat_fields);
    let mut echo = Map::new();
    let mut messages = Vec::new();
    match fields.take("instructions") {
        None => {}
        Some(Value::String(text)) => {
            messages.push(json!({"role": "system", "content": text}));
            echo.insert("instructions".to_owned(), text.into());
        }
        Some(_) => {
            return Err(GatewayError::field("instructions", "instructions must be a string"));
        }
    }
    let image_fields = add_input(&mut fields, &mut messages)?;
    let mut extra_fields = Map::new();
    convert_tools(&mut fields, &mut chat, &mut echo)?;
    convert_text_options(&mut fields, &mut chat, &mut extra_fields, &mut echo)?;
    chat.copy_tool_fields(&mut extra_fields)?;
    let reasoning = convert_reasoning(&mut fields, &mut extra_fields)?;
    let wants_logprobs = take_logprobs(&mut fields, &mut extra_fields)?;
    let top_logprobs = extra_fields.get("top_logprobs").cloned().unwrap_or_else(|| json!(0));
    if let Some(max_tokens) = fields.take_integer("max_output_tokens", 1, MAX_TOKENS)? {
        echo.insert("max_output_tokens".to_owned(), max_tokens.into());
        chat.0.insert("max_tokens".to_owned(), max_tokens.into());
    }
    let metadata = fields.take("metadata").unwrap_or_else(|| json!({}));
    let is_metadata =
        metadata.as_object().is_some_and(|pairs| pairs.values().all(Value::is_string));
    if !is_metadata {
        return Err(GatewayError::field(
            "metadata",
            "metadata must be an object with string values",
        ));
    }
    fields.reject_remaining()?;
    let request = chat
        .into_text_request(TextInput::Messages(messages), wants_logprobs, extra_fields)?
        .with_image_fields(image_fields)?;
    for (name, value) in [
        ("instructions", Value::Null),
        ("max_output_tokens", Value::Null),
        ("metadata", metadata),
        ("parallel_tool_calls", true.into()),
        ("previous_response_id", Value::Null),
        ("reasoning", reasoning),
        ("store", false.into()),
        ("temperature", request.payload.temperature.into()),
        ("text", json!({"format": {"type": "text"}})),
        ("tool_choice", "auto".into()),
        ("tools", json!([])),
        ("top_logprobs", top_logprobs),
        ("top_p", request.payload.top_p.into()),
        ("truncation", "disabled".into()),
    ] {
        echo.entry(name).or_insert(value);
    }
    Ok((request, EchoedFields(echo)))
}

/// Rejects options that need stored state, and others that the gateway does not support.
fn refuse_unsupported(fields: &mut Fields) -> Result<(), GatewayError> {
    for (name, message) in [
        (
            "previous_response_id",
            "responses are not stored; hint: send the complete conversation as input",
        ),
        (
            "conversation",
            "conversations are not stored; hint: send the complete conversation as input",
        ),
        ("prompt", "stored prompts are not supported"),
    ] {
        fields.refuse_unless(name, |_| false, message)?;
    }
    let is_false = |value: &Value| *value == Value::Bool(false);
    fields.refuse_unless("store", is_false, "responses are not stored; hint: set store = false")?;
    fields.refuse_unless("background", is_false, "background responses are not supported")?;
    fields.refuse_unless(
        "truncation",
        |value| value.as_str() == Some("disabled"),
        "only disabled is supported",
    )
}

/// Parses `include` and `top_logprobs`; returns whether the output has log-probabilities.
fn take_logprobs(
    fields: &mut Fields,
    extra_fields: &mut Map<String, Value>,
) -> Result<bool, GatewayError> {
    let is_included =
        |name: &Value| name.as_str().is_some_and(|name| INCLUDE_VALUES.contains(&name));
    let included = match fields.take("include") {
        None => Vec::new(),
        Some(Value::Array(names)) if names.iter().all(is_included) => names,
        Some(_) => {
            let message = format!("include must be an array of {}", INCLUDE_VALUES.join(" and "));
            return Err(GatewayError::field("include", message));
        }
    };
    let top_logprobs = fields
        .take_integer("top_logprobs", 0, MAX_LOGPROBS)?
        .filter(|top_logprobs| *top_logprobs > 0);
    if let Some(top_logprobs) = top_logprobs {
        extra_fields.insert("top_logprobs".to_owned(), top_logprobs.into());
    }
    Ok(top_logprobs.is_some() || included.iter().any(|name| name == INCLUDED_LOGPROBS))
}

/// Appends the input as chat messages; returns the names of the fields with images.
fn add_input(fields: &mut Fields, messages: &mut Vec<Value>) -> Result<Vec<String>, GatewayError> {
    let mut images = Vec::new();
    match fields.take("input") {
        Some(Value::String(text)) => messages.push(json!({"role": "user", "content": text})),
        Some(Value::Array(items)) if (1..=MAX_ITEMS).contains(&items.len()) => {
            let initial_count = messages.len();
            for (index, item) in items.iter().enumerate() {
                let parts = add_item(item, messages).map_err(|problem| {
                    let param = format!("input[{index}]");
                    GatewayError::field(param.clone(), format!("{param} {problem}"))
                })?;
                images.extend(
                    parts.into_iter().map(|part| format!("input[{index}].content[{part}]")),
                );
            }
            if messages.len() == initial_count {
                return Err(GatewayError::field(
                    "input",
                    "input must have items other than reasoning",
                ));
            }
        }
        _ => {
            return Err(GatewayError::field(
                "input",
                "input must be a string or an array of 1..=1024 items",
            ));
        }
    }
    Ok(images)
}

/// Converts `reasoning` to the fields of chat completions; returns the value that the response
/// repeats. A summary has no effect: the output has the reasoning itself.
fn convert_reasoning(
    fields: &mut Fields,
    extra_fields: &mut Map<String, Value>,
) -> Result<Value, GatewayError> {
    let mut echo = json!({"effort": null, "summary": null});
    let Some(value) = fields.take("reasoning") else { return Ok(echo) };
    let Value::Object(options) = value else {
        return Err(GatewayError::field("reasoning", "reasoning must be an object"));
    };
    for (name, value) in options {
        let allowed_values: &[&str] = match name.as_str() {
            "effort" => &REASONING_EFFORTS,
            "summary" | "generate_summary" => &SUMMARIES,
            _ => &[],
        };
        let is_valid =
            value.as_str().map_or(value.is_null() && !allowed_values.is_empty(), |value| {
                allowed_values.contains(&value)
            });
        if !is_valid {
            let param = format!("reasoning.{name}");
            let expected = if allowed_values.is_empty() {
                "omitted".to_owned()
            } else {
                format!("one of {}", allowed_values.join(", "))
            };
            return Err(GatewayError::field(param.clone(), format!("{param} must be {expected}")));
        }
        if name == "effort" && !value.is_null() {
            extra_fields.insert("reasoning_effort".to_owned(), value.clone());
        }
        if let Some(echo) = echo.get_mut(&name) {
            *echo = value;
        }
    }
    Ok(echo)
}

/// Appends an input item as a chat message; returns the indices of its images.
fn add_item(item: &Value, messages: &mut Vec<Value>) -> Result<Vec<usize>, String> {
    let mut images = Vec::new();
    let text = |name: &str| item.get(name).and_then(Value::as_str);
    let required_text =
        |name: &str| text(name).ok_or_else(|| format!("requires the string {name}"));
    match text("type").unwrap_or("message") {
        "message" => {
            let role = required_text("role")?;
            if !matches!(role, "system" | "developer" | "user" | "assistant") {
                return Err("must have the role system, developer, user or assistant".to_owned());
            }
            let content = match item.get("content") {
                Some(Value::Array(parts)) if role == "user" && parts.iter().any(is_input_image) => {
                    let parts: Result<Vec<Value>, String> = parts
                        .iter()
                        .enumerate()
                        .map(|(index, part)| convert_user_part(part, index, &mut images))
                        .collect();
                    parts?.into()
                }
                Some(content @ (Value::String(_) | Value::Array(_))) => Value::from(
                    joined_text(content, &TEXT_PART_TYPES, "")
                        .ok_or("must have parts of type input_text, output_text or, of a user, input_image only")?,
                ),
                _ => return Err("requires content: a string or an array of parts".to_owned()),
            };
            messages.push(json!({"role": role, "content": content}));
        }
        "function_call" => {
            let call = tool_call(
                required_text("call_id")?,
                required_text("name")?,
                required_text("arguments")?,
            );
            // Consecutive function calls form one message of the assistant.
            let last = messages
                .last_mut()
                .and_then(|last| last.get_mut("tool_calls"))
                .and_then(Value::as_array_mut);
            match last {
                Some(calls) => calls.push(call),
                None => messages
                    .push(json!({"role": "assistant", "content": null, "tool_calls": [call]})),
            }
        }
        "function_call_output" => {
            let output =
                item.get("output").and_then(|output| joined_text(output, &TEXT_PART_TYPES, ""));
            let output = output
                .ok_or("requires output: a string or an array of parts of type input_text")?;
            messages.push(tool_message(required_text("call_id")?, &output));
        }
        // Chat templates leave out the reasoning of earlier answers.
        "reasoning" => {}
        "item_reference" => {
            return Err(
                "refers to a response, but responses are not stored; hint: set store = false in the client, so \
                        that it sends complete items"
                    .to_owned(),
            );
        }
        _ => {
            return Err("must be a message, a function_call, a function_call_output or reasoning"
                .to_owned());
        }
    }
    Ok(images)
}

fn is_input_image(part: &Value) -> bool {
    part.get("type").is_some_and(|kind| kind == "input_image")
}

/// Converts a part of a user's message; appends its index to `images` if it is an image.
fn convert_user_part(part: &Value, index: usize, images: &mut Vec<usize>) -> Result<Value, String> {
    if let Some(text) = text_of(part, &TEXT_PART_TYPES) {
        return Ok(json!({"type": "text", "text": text}));
    }
    let url = part.get("image_url").and_then(Value::as_str).filter(|_| is_input_image(part));
    let url = url.ok_or_else(|| {
        format!("content[{index}] must be an input_text, or an input_image with image_url")
    })?;
    let mut image = image_part(url);
    let detail = part.get("detail").filter(|detail| !detail.is_null());
    if let (Some(detail), Some(fields)) =
        (detail, image.pointer_mut("/image_url").and_then(Value::as_object_mut))
    {
        fields.insert("detail".to_owned(), detail.clone());
    }
    check_image(&image).map_err(|problem| format!("content[{index}] {problem}"))?;
    images.push(index);
    Ok(image)
}

/// Converts tools and their choice to those of chat completions, and records the originals in
/// `echo`.
fn convert_tools(
    fields: &mut Fields,
    chat: &mut Fields,
    echo: &mut Map<String, Value>,
) -> Result<(), GatewayError> {
    if let Some(tools) = fields.take("tools") {
        let translate = |tool: &Value| {
            let mut function = tool.as_object()?.clone();
            let is_function = function.shift_remove("type")?.as_str() == Some("function");
            (is_function && function.get("name")?.is_string()).then(|| function_tool(&function))
        };
        let chat_tools: Option<Vec<Value>> =
            tools.as_array().and_then(|tools| tools.iter().map(translate).collect());
        let chat_tools = chat_tools.ok_or_else(|| {
            GatewayError::field("tools", "tools must be an array of functions, each with a name")
        })?;
        echo.insert("tools".to_owned(), tools);
        if !chat_tools.is_empty() {
            chat.0.insert("tools".to_owned(), chat_tools.into());
        }
    }
    if let Some(choice) = fields.take("tool_choice") {
        let translated = match &choice {
            Value::String(_) => choice.clone(),
            _ if choice.get("type").and_then(Value::as_str) == Some("function") => {
                function_choice(choice.get("name").and_then(Value::as_str).unwrap_or_default())
            }
            _ => {
                return Err(GatewayError::field(
                    "tool_choice",
                    "tool_choice must be none, auto, required or a function",
                ));
            }
        };
        echo.insert("tool_choice".to_owned(), choice);
        chat.0.insert("tool_choice".to_owned(), translated);
    }
    if let Some(parallel) = fields.take("parallel_tool_calls") {
        echo.insert("parallel_tool_calls".to_owned(), parallel.clone());
        chat.0.insert("parallel_tool_calls".to_owned(), parallel);
    }
    Ok(())
}

/// Converts `text`, the format and the verbosity of the answer's text, to fields of chat
/// completions, and adds the values that the response repeats to `echo`.
fn convert_text_options(
    fields: &mut Fields,
    chat: &mut Fields,
    extra_fields: &mut Map<String, Value>,
    echo: &mut Map<String, Value>,
) -> Result<(), GatewayError> {
    let Some(text) = fields.take("text") else { return Ok(()) };
    let mut options = text.as_object().cloned().unwrap_or_default();
    let format = options.shift_remove("format").unwrap_or_else(|| json!({"type": "text"}));
    let verbosity = options.shift_remove("verbosity").filter(|verbosity| !verbosity.is_null());
    if !text.is_object() || !options.is_empty() {
        return Err(GatewayError::field(
            "text",
            "text must be an object with the fields format and verbosity only",
        ));
    }
    let mut schema = format.as_object().cloned().unwrap_or_default();
    let translated = match schema.shift_remove("type").as_ref().and_then(Value::as_str) {
        Some("text") => None,
        Some("json_object") => Some(json!({"type": "json_object"})),
        Some("json_schema") => Some(json!({"type": "json_schema", "json_schema": schema})),
        _ => {
            return Err(GatewayError::field(
                "text.format",
                "text.format must be text, json_object or json_schema",
            ));
        }
    };
    let mut echoed_text = Map::new();
    echoed_text.insert("format".to_owned(), format);
    if let Some(verbosity) = verbosity {
        if verbosity.as_str().is_none_or(|value| !VERBOSITIES.contains(&value)) {
            let message = format!("text.verbosity must be one of {}", VERBOSITIES.join(", "));
            return Err(GatewayError::field("text.verbosity", message));
        }
        extra_fields.insert("verbosity".to_owned(), verbosity.clone());
        echoed_text.insert("verbosity".to_owned(), verbosity);
    }
    echo.insert("text".to_owned(), echoed_text.into());
    chat.0.extend(translated.map(|format| ("response_format".to_owned(), format)));
    Ok(())
}

#[cfg(test)]
mod tests;
