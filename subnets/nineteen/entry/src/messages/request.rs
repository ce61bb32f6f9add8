//! Conversion of requests to `/v1/messages` into chat completions.

use serde_json::{Map, Value, json};
use taonet_nineteen_core::payload::TextInput;

use crate::GatewayError;
use crate::request::{Fields, MAX_MESSAGES, MAX_STOPS, MAX_TOKENS, TextRequest};
use crate::translation::{
    function_choice, function_tool, joined_text, text_of, tool_call, tool_message,
};
use crate::vision::{check_image, image_part};

/// Type of a content block with text.
const TEXT_TYPES: [&str; 1] = ["text"];

/// Fields that the gateway ignores: they cannot change an answer that depends only on its request.
const IGNORED_FIELDS: [&str; 5] =
    ["cache_control", "context_management", "diagnostics", "inference_geo", "user_profile_id"];

/// Fields of a request on which the format of the answer depends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MessageOptions {
    pub(super) stop_sequences: Vec<String>,
    /// Whether the answer contains the model's reasoning.
    pub(super) wants_reasoning: bool,
}

/// Parses a request to `POST /v1/messages`; returns the equivalent chat completion request.
pub(crate) fn parse(body: &[u8]) -> Result<(TextRequest, MessageOptions), GatewayError> {
    let mut fields = Fields::parse(body)?;
    if fields.0.get("max_tokens").is_none_or(Value::is_null) {
        return Err(GatewayError::field(
            "max_tokens",
            "max_tokens is required: a positive integer",
        ));
    }
    omit_large_limit(&mut fields);
    convert(fields)
}

/// Parses a request to `POST /v1/messages/count_tokens`: the same, but `max_tokens` is optional.
pub(crate) fn parse_count(body: &[u8]) -> Result<TextRequest, GatewayError> {
    let mut fields = Fields::parse(body)?;
    omit_large_limit(&mut fields);
    convert(fields).map(|(request, _)| request)
}

/// Removes a `max_tokens` above the gateway's maximum, which counts as no limit: LiteLLM sends 128
/// 000 for models that it does not know.
fn omit_large_limit(fields: &mut Fields) {
    let limit = fields.0.get("max_tokens").and_then(Value::as_f64);
    if limit.is_some_and(|limit| limit.fract() == 0.0 && limit > MAX_TOKENS as f64) {
        fields.take("max_tokens");
    }
}

fn convert(mut fields: Fields) -> Result<(TextRequest, MessageOptions), GatewayError> {
    let mut chat =
        fields.split(&["model", "max_tokens", "stream", "temperature", "top_p", "top_k"]);
    let mut extra_fields = Map::new();
    let mut messages = Vec::new();
    if let Some(system) = fields.take("system") {
        let text = joined_text(&system, &TEXT_TYPES, "\n");
        let text = text.ok_or_else(|| {
            GatewayError::field("system", "system must be a string or an array of text blocks")
        })?;
        messages.push(json!({"role": "system", "content": text}));
    }
    let image_fields = add_conversation(&mut fields, &mut messages)?;
    convert_tools(&mut fields, &mut chat)?;
    convert_output_config(&mut fields, &mut chat, &mut extra_fields)?;
    chat.copy_tool_fields(&mut extra_fields)?;
    let stop_sequences = take_stop_sequences(&mut fields)?;
    if !stop_sequences.is_empty() {
        chat.0.insert("stop".to_owned(), stop_sequences.clone().into());
    }
    let wants_reasoning = take_thinking(&mut fields)?;
    for name in IGNORED_FIELDS {
        fields.take(name);
    }
    fields.refuse_unless("speed", |speed| speed == "standard", "speed must be standard")?;
    let is_id = |id: &Value| id.is_null() || id.is_string();
    let is_metadata = |value: &Value| {
        value.as_object().is_some_and(|pairs| pairs.get("user_id").is_none_or(is_id))
    };
    fields.refuse_unless(
        "metadata",
        is_metadata,
        "metadata must be an object; its user_id must be a string",
    )?;
    let is_tier = |value: &Value| matches!(value.as_str(), Some("auto" | "standard_only"));
    fields.refuse_unless("service_tier", is_tier, "service_tier must be auto or standard_only")?;
    fields.reject_remaining()?;
    let request = chat
        .into_text_request(TextInput::Messages(messages), false, extra_fields)?
        .with_image_fields(image_fields)?;
    Ok((request, MessageOptions { stop_sequences, wants_reasoning }))
}

/// Consecutive messages of one role.
struct Turn {
    role: String,
    blocks: Vec<Value>,
    /// Name of the field of each block.
    fields: Vec<String>,
}

/// Appends the messages of a request as messages of a chat; returns the names of the fields with
/// images.
fn add_conversation(
    fields: &mut Fields,
    messages: &mut Vec<Value>,
) -> Result<Vec<String>, GatewayError> {
    let message_list = match fields.take("messages") {
        Some(Value::Array(message_list)) if (1..=MAX_MESSAGES).contains(&message_list.len()) => {
            message_list
        }
        _ => {
            return Err(GatewayError::field(
                "messages",
                "messages must be an array of 1..=1024 messages",
            ));
        }
    };
    let turns = merge_turns(message_list)?;
    // Models would begin a new message instead of continuing this one.
    let ends_with_assistant = turns.last().is_some_and(|turn| turn.role == "assistant");
    let mut images = Vec::new();
    for Turn { role, blocks, fields } in turns {
        match role.as_str() {
            "user" => {
                let blocks = add_user_turn(&blocks, messages)
                    .map_err(|error| block_error(&fields, error))?;
                images.extend(blocks.into_iter().filter_map(|block| fields.get(block).cloned()));
            }
            "assistant" => {
                add_assistant_turn(&blocks, messages)
                    .map_err(|error| block_error(&fields, error))?;
            }
            _ => add_system_turn(&blocks, messages).map_err(|error| block_error(&fields, error))?,
        }
    }
    if ends_with_assistant {
        return Err(GatewayError::field(
            "messages",
            "messages must not end with an assistant message; hint: end with a user message",
        ));
    }
    Ok(images)
}

/// Merges consecutive messages of one role, as Anthropic's API does: the templates of some models
/// require alternating roles.
fn merge_turns(messages: Vec<Value>) -> Result<Vec<Turn>, GatewayError> {
    let mut turns: Vec<Turn> = Vec::new();
    for (index, mut message) in messages.into_iter().enumerate() {
        let blocks = match message.get_mut("content").map(Value::take) {
            Some(Value::String(text)) => vec![json!({"type": "text", "text": text})],
            Some(Value::Array(blocks)) if !blocks.is_empty() => blocks,
            _ => {
                return Err(message_error(
                    index,
                    "content",
                    "a string or an array of at least one content block",
                ));
            }
        };
        let role = message.get("role").and_then(Value::as_str);
        let role = role.filter(|role| matches!(*role, "user" | "assistant" | "system"));
        let role = role.ok_or_else(|| message_error(index, "role", "user, assistant or system"))?;
        let fields = (0..blocks.len()).map(|block| format!("messages[{index}].content[{block}]"));
        match turns.last_mut().filter(|turn| turn.role == role) {
            Some(turn) => {
                turn.fields.extend(fields);
                turn.blocks.extend(blocks);
            }
            None => turns.push(Turn { role: role.to_owned(), fields: fields.collect(), blocks }),
        }
    }
    Ok(turns)
}

/// Index of a content block, and why it is invalid.
type BlockError = (usize, &'static str);

fn block_error(fields: &[String], (block, problem): BlockError) -> GatewayError {
    let param = fields.get(block).cloned().unwrap_or_default();
    GatewayError::field(param.clone(), format!("{param} {problem}"))
}

fn message_error(index: usize, field: &str, expected: &str) -> GatewayError {
    let param = format!("messages[{index}].{field}");
    GatewayError::field(param.clone(), format!("{param} must be {expected}"))
}

/// Returns the type of a content block.
fn type_of(block: &Value) -> &str {
    block.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// Appends the tool results of a user's message, then its texts and images; returns the indices of
/// the images.
fn add_user_turn(blocks: &[Value], messages: &mut Vec<Value>) -> Result<Vec<usize>, BlockError> {
    let (mut parts, mut images) = (Vec::new(), Vec::new());
    for (index, block) in blocks.iter().enumerate() {
        match type_of(block) {
            "text" => {
                let text =
                    text_of(block, &TEXT_TYPES).ok_or((index, "requires the string text"))?;
                parts.push(json!({"type": "text", "text": text}));
            }
            "image" => {
                let part = convert_image(block)
                    .ok_or((index, "requires a source of the type base64 or url"))?;
                check_image(&part).map_err(|problem| (index, problem))?;
                parts.push(part);
                images.push(index);
            }
            "tool_result" => {
                messages.push(convert_tool_result(block).map_err(|problem| (index, problem))?);
            }
            _ => {
                return Err((
                    index,
                    "must have the type text, image or tool_result; other content is not supported",
                ));
            }
        }
    }
    if !parts.is_empty() {
        let parts = Value::from(parts);
        // Not all models accept parts.
        let text = if images.is_empty() { joined_text(&parts, &TEXT_TYPES, "\n") } else { None };
        messages.push(json!({"role": "user", "content": text.map_or(parts, Value::from)}));
    }
    Ok(images)
}

/// Converts an image; `None` if its source is of another type.
fn convert_image(block: &Value) -> Option<Value> {
    let source = block.get("source")?;
    let text = |name: &str| source.get(name).and_then(Value::as_str);
    match type_of(source) {
        "base64" => {
            Some(image_part(&format!("data:{};base64,{}", text("media_type")?, text("data")?)))
        }
        "url" => Some(image_part(text("url")?)),
        _ => None,
    }
}

fn convert_tool_result(block: &Value) -> Result<Value, &'static str> {
    let id = block
        .get("tool_use_id")
        .and_then(Value::as_str)
        .ok_or("requires the string tool_use_id")?;
    let text = match block.get("content") {
        None | Some(Value::Null) => String::new(),
        Some(content) => joined_text(content, &TEXT_TYPES, "\n")
            .ok_or("requires content: a string or an array of text blocks")?,
    };
    // Messages of chats have no field for errors.
    let is_error = block.get("is_error") == Some(&Value::Bool(true));
    Ok(tool_message(id, &if is_error { format!("Error: {text}") } else { text }))
}

/// Appends the texts and tool calls of an assistant's message, without its reasoning.
fn add_assistant_turn(blocks: &[Value], messages: &mut Vec<Value>) -> Result<(), BlockError> {
    let (mut texts, mut calls) = (Vec::new(), Vec::new());
    for (index, block) in blocks.iter().enumerate() {
        match type_of(block) {
            "text" => {
                texts.push(text_of(block, &TEXT_TYPES).ok_or((index, "requires the string text"))?);
            }
            "tool_use" => {
                calls.push(
                    convert_tool_use(block)
                        .ok_or((index, "requires id, name and an object input"))?,
                );
            }
            "thinking" | "redacted_thinking" => {}
            _ => {
                return Err((
                    index,
                    "must have the type text, tool_use or thinking; other content is not supported",
                ));
            }
        }
    }
    let mut message = Map::new();
    message.insert("role".to_owned(), "assistant".into());
    let content =
        if texts.is_empty() && !calls.is_empty() { Value::Null } else { texts.join("\n").into() };
    message.insert("content".to_owned(), content);
    if !calls.is_empty() {
        message.insert("tool_calls".to_owned(), calls.into());
    }
    messages.push(message.into());
    Ok(())
}

fn convert_tool_use(block: &Value) -> Option<Value> {
    let text = |name: &str| block.get(name).and_then(Value::as_str);
    let input = block.get("input").filter(|input| input.is_object())?;
    Some(tool_call(text("id")?, text("name")?, &input.to_string()))
}

/// Appends a system message in the conversation.
fn add_system_turn(blocks: &[Value], messages: &mut Vec<Value>) -> Result<(), BlockError> {
    let texts: Result<Vec<&str>, BlockError> = blocks
        .iter()
        .enumerate()
        .map(|(index, block)| {
            text_of(block, &TEXT_TYPES).ok_or((index, "must have the type text and a string text"))
        })
        .collect();
    messages.push(json!({"role": "system", "content": texts?.join("\n")}));
    Ok(())
}

/// Converts tools and their choice to those of chat completions.
fn convert_tools(fields: &mut Fields, chat: &mut Fields) -> Result<(), GatewayError> {
    if let Some(tools) = fields.take("tools") {
        let message = "tools must be an array of up to 128 tools, each with a name and an object input_schema; tools of \
                       other types than custom are not supported";
        let tools: Option<Vec<Value>> =
            tools.as_array().and_then(|tools| tools.iter().map(convert_tool).collect());
        let tools = tools.ok_or_else(|| GatewayError::field("tools", message))?;
        if !tools.is_empty() {
            chat.0.insert("tools".to_owned(), tools.into());
        }
    }
    let Some(choice) = fields.take("tool_choice") else { return Ok(()) };
    let translated: Value = match (type_of(&choice), choice.get("name").and_then(Value::as_str)) {
        (choice @ ("auto" | "none"), _) => choice.into(),
        ("any", _) => "required".into(),
        ("tool", Some(name)) => function_choice(name),
        _ => {
            let message =
                "tool_choice must be an object with the type auto, any, none, or tool with a name";
            return Err(GatewayError::field("tool_choice", message));
        }
    };
    chat.0.insert("tool_choice".to_owned(), translated);
    match choice.get("disable_parallel_tool_use") {
        None | Some(Value::Null | Value::Bool(false)) => {}
        Some(Value::Bool(true)) => {
            _ = chat.0.insert("parallel_tool_calls".to_owned(), false.into());
        }
        Some(_) => {
            let param = "tool_choice.disable_parallel_tool_use";
            return Err(GatewayError::field(param, format!("{param} must be true or false")));
        }
    }
    Ok(())
}

/// Converts a tool; `None` if it is malformed or is to be executed by the server.
fn convert_tool(tool: &Value) -> Option<Value> {
    let is_custom = tool.get("type").is_none_or(|kind| kind.is_null() || kind == "custom");
    let mut function = Map::new();
    function.insert("name".to_owned(), tool.get("name").filter(|name| name.is_string())?.clone());
    for name in ["description", "strict"] {
        let value = tool.get(name).filter(|value| !value.is_null());
        function.extend(value.map(|value| (name.to_owned(), value.clone())));
    }
    function.insert(
        "parameters".to_owned(),
        tool.get("input_schema").filter(|schema| schema.is_object())?.clone(),
    );
    is_custom.then(|| function_tool(&function))
}

/// Converts the effort and the format of the answer.
fn convert_output_config(
    fields: &mut Fields,
    chat: &mut Fields,
    extra_fields: &mut Map<String, Value>,
) -> Result<(), GatewayError> {
    let config = match fields.take("output_config") {
        None => return Ok(()),
        Some(Value::Object(config)) => config,
        Some(_) => {
            return Err(GatewayError::field("output_config", "output_config must be an object"));
        }
    };
    for (name, value) in &config {
        let param = format!("output_config.{name}");
        let expected = match name.as_str() {
            "effort" | "format" if value.is_null() => continue,
            "effort" => {
                let effort = match value.as_str() {
                    Some("max") => Some("xhigh"),
                    effort => {
                        effort.filter(|effort| ["low", "medium", "high", "xhigh"].contains(effort))
                    }
                };
                if let Some(effort) = effort {
                    extra_fields.insert("reasoning_effort".to_owned(), effort.into());
                    continue;
                }
                "low, medium, high, xhigh or max"
            }
            "format" => {
                let schema = value
                    .get("schema")
                    .filter(|schema| schema.is_object() && type_of(value) == "json_schema");
                if let Some(schema) = schema {
                    let format = json!({"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}});
                    chat.0.insert("response_format".to_owned(), format);
                    continue;
                }
                "an object with the type json_schema and an object schema"
            }
            _ => "omitted: it is unknown or unsupported",
        };
        return Err(GatewayError::field(param.clone(), format!("{param} must be {expected}")));
    }
    Ok(())
}

fn take_stop_sequences(fields: &mut Fields) -> Result<Vec<String>, GatewayError> {
    let Some(value) = fields.take("stop_sequences") else { return Ok(Vec::new()) };
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let sequences: Option<Vec<String>> =
        value.as_array().and_then(|values| values.iter().map(text).collect());
    let invalid_sequences = || {
        GatewayError::field(
            "stop_sequences",
            "stop_sequences must be an array of up to 4 non-empty strings",
        )
    };
    sequences.filter(|sequences| sequences.len() <= MAX_STOPS).ok_or_else(invalid_sequences)
}

/// Takes `thinking`; returns whether the answer contains the model's reasoning. Whether and how
/// long a model reasons is up to the model.
fn take_thinking(fields: &mut Fields) -> Result<bool, GatewayError> {
    let Some(value) = fields.take("thinking") else { return Ok(false) };
    let shows_thinking = match value.get("display") {
        None | Some(Value::Null) => true,
        Some(display) if display == "summarized" => true,
        Some(display) if display == "omitted" => false,
        Some(_) => {
            let param = "thinking.display";
            return Err(GatewayError::field(
                param,
                format!("{param} must be summarized or omitted"),
            ));
        }
    };
    match type_of(&value) {
        "enabled" | "adaptive" | "between_tools" => Ok(shows_thinking),
        "disabled" => Ok(false),
        _ => {
            let message =
                "thinking must have the type enabled, adaptive, between_tools or disabled";
            Err(GatewayError::field("thinking", message))
        }
    }
}

#[cfg(test)]
mod tests;
