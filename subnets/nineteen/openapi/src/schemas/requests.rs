//! Schemas of requests. A test with schemathesis checks that they match what the gateway accepts,
//! except for a few conditions between fields.

use utoipa::openapi::schema::{AdditionalProperties, Type};
use utoipa::openapi::{ComponentsBuilder, KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat};

use super::{
    Field, any, any_of, array_of, at_most_one, constant, flag, integer, list, nonempty_array,
    nonempty_string, null, number, object, of_type, one_of, pattern, reference, request, requires,
    string, typed_object, with_conditions,
};
use crate::{
    INCLUDE_VALUES, REASONING_EFFORTS, SUMMARIES, TEMPLATE_OVERRIDES, VERBOSITIES, VLLM_FLAGS,
};

/// Pattern of a JPEG, PNG, GIF, BMP or TIFF image in base64: the file signature, completed to full
/// groups of four characters, then the remaining data.
const IMAGE_PATTERN: &str = concat!(
    r"^(?:/9j/|iVBORw0KGg[o-r][A-Za-z0-9+/]|R0lGOD[dl]h|Qk[0-3][A-Za-z0-9+/]|SUkqA[A-P][A-Za-z0-9+/]{2}|",
    r"TU0AK[g-v][A-Za-z0-9+/]{2})(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$"
);
/// Pattern of a data URL with a JPEG, PNG, GIF or WebP image.
const DATA_URL_PATTERN: &str = concat!(
    r"^data:image/(?:jpeg|png|gif|webp);base64,(?:/9j/|iVBORw0KGg[o-r][A-Za-z0-9+/]|R0lGOD[dl]h|",
    r"UklGR[g-v][A-Za-z0-9+/]{4}[BFJNRVZdhlptx159]XRUJQ)",
    r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$"
);
/// Pattern of a JPEG, PNG, GIF or WebP image in base64.
const MESSAGE_IMAGE_PATTERN: &str = concat!(
    r"^(?:/9j/|iVBORw0KGg[o-r][A-Za-z0-9+/]|R0lGOD[dl]h|UklGR[g-v][A-Za-z0-9+/]{4}[BFJNRVZdhlptx159]XRUJQ)",
    r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$"
);
/// Pattern of an image size: `auto`, a small size of OpenAI's API, or a width and a height in
/// `513..=2047`, in pixels.
const SIZE_PATTERN: &str = concat!(
    "^(?:auto|256x256|512x512|(?:51[3-9]|5[2-9][0-9]|[6-9][0-9]{2}|1[0-9]{3}|20[0-3][0-9]|204[0-7])x",
    "(?:51[3-9]|5[2-9][0-9]|[6-9][0-9]{2}|1[0-9]{3}|20[0-3][0-9]|204[0-7]))$"
);

/// Fields of all text requests.
fn sampling() -> Vec<Field> {
    let stop = any_of([nonempty_string(), list(nonempty_string(), 1, 4)]);
    let options =
        object([], [("include_usage", flag()), ("include_obfuscation", constant(false.into()))])
            .additional_properties(Some(AdditionalProperties::FreeForm(false)));
    let bias = of_type(Type::Object).additional_properties(Some(number(-100.0, 100.0)));
    let openai = [
        ("stream", flag()),
        ("stream_options", options.into()),
        ("max_tokens", integer(1.0, 32_768.0)),
        ("max_completion_tokens", integer(1.0, 32_768.0)),
        ("temperature", number(0.0, 2.0)),
        ("top_p", number(0.0, 1.0)),
        ("seed", of_type(Type::Integer).into()),
        ("top_k", integer(-1.0, 1_000_000.0)),
        ("min_p", number(0.0, 1.0)),
        ("repetition_penalty", positive_number(2.0)),
        ("stop", stop),
        ("frequency_penalty", number(-2.0, 2.0)),
        ("presence_penalty", number(-2.0, 2.0)),
        ("logit_bias", bias.into()),
        ("n", integer(1.0, 128.0)),
        ("store", constant(false.into())),
        (
            "metadata",
            of_type(Type::Object)
                .additional_properties(Some(string()))
                .max_properties(Some(16))
                .into(),
        ),
        ("service_tier", one_of(&["auto", "default"])),
    ];
    openai.into_iter().chain(vllm_sampling()).collect()
}

/// Fields of text requests that only vLLM and servers like it have.
fn vllm_sampling() -> Vec<Field> {
    let tokens = || list(integer(0.0, 1_000_000.0), 1, 4_096);
    let texts = || list(nonempty_string(), 1, 4_096);
    let schema = || any_of([nonempty_string(), of_type(Type::Object).into()]);
    let constraint = |name: &'static str, value: RefOr<Schema>| -> RefOr<Schema> {
        let flags = ["disable_fallback", "disable_any_whitespace", "disable_additional_properties"];
        let options = flags
            .map(|name| (name, flag()))
            .into_iter()
            .chain([("whitespace_pattern", nonempty_string())]);
        object([(name, value)], options)
            .additional_properties(Some(AdditionalProperties::FreeForm(false)))
            .into()
    };
    let constraints = [
        constraint("json", schema()),
        constraint("regex", nonempty_string()),
        constraint("choice", texts()),
        constraint("grammar", nonempty_string()),
        constraint("json_object", constant(true.into())),
        constraint("structural_tag", nonempty_string()),
    ];
    let fields = [
        ("min_tokens", integer(0.0, 32_768.0)),
        ("length_penalty", number(-10.0, 10.0)),
        ("stop_token_ids", tokens()),
        ("allowed_token_ids", tokens()),
        ("bad_words", texts()),
        ("truncate_prompt_tokens", any_of([constant((-1).into()), integer(1.0, 1_000_000.0)])),
        ("use_beam_search", constant(false.into())),
        ("structured_outputs", any_of(constraints)),
        ("guided_json", schema()),
        ("guided_regex", nonempty_string()),
        ("guided_choice", texts()),
        ("guided_grammar", nonempty_string()),
        ("guided_whitespace_pattern", nonempty_string()),
        ("guided_decoding_backend", nonempty_string()),
    ];
    VLLM_FLAGS.map(|name| (name, flag())).into_iter().chain(fields).collect()
}

fn tools() -> Vec<Field> {
    let call = any_of([one_of(&["none", "auto"]), object([("name", string())], []).into()]);
    let options = object([], TEMPLATE_OVERRIDES.map(|name| (name, null())));
    vec![
        ("tools", list(typed_object(), 1, 128)),
        ("functions", list(object([("name", string())], []).into(), 1, 128)),
        ("function_call", call),
        ("chat_template_kwargs", options.into()),
        ("tool_choice", any_of([one_of(&["none", "auto", "required"]), typed_object()])),
        ("parallel_tool_calls", flag()),
        ("response_format", typed_object()),
        ("reasoning_effort", one_of(&REASONING_EFFORTS)),
        ("verbosity", one_of(&VERBOSITIES)),
        ("modalities", array_of(one_of(&["text"]))),
    ]
}

fn image(optional_fields: impl IntoIterator<Item = Field>) -> Vec<Field> {
    let fields = [
        ("negative_prompt", of_type(Type::String).max_length(Some(32_000)).into()),
        ("steps", integer(5.0, 49.0)),
        ("cfg_scale", number(1.5, 12.0)),
        ("seed", of_type(Type::Integer).into()),
    ];
    fields.into_iter().chain(optional_fields).collect()
}

/// Returns the optional fields of OpenAI's image routes.
fn openai_images() -> Vec<Field> {
    vec![
        ("size", pattern(SIZE_PATTERN, None)),
        ("n", integer(1.0, 10.0)),
        ("response_format", one_of(&["b64_json", "url"])),
        ("quality", one_of(&["auto", "low", "medium", "high", "standard", "hd"])),
        ("background", one_of(&["auto", "opaque"])),
        ("moderation", one_of(&["auto"])),
        ("output_format", one_of(&["png", "jpeg"])),
        ("output_compression", integer(0.0, 100.0)),
        ("stream", constant(false.into())),
        ("partial_images", constant(0.into())),
    ]
}

/// Returns the schema condition that only JPEG files are compressed as the buyer asks.
fn compressed_jpeg() -> RefOr<Schema> {
    let jpeg = object([("output_format", one_of(&["jpeg"]))], []);
    any_of([object([], [("output_compression", null())]).into(), jpeg.into()])
}

/// Returns the schema of the form of `/v1/images/edits`.
fn image_edit(prompt: Field) -> ObjectBuilder {
    let file = |name| {
        let binary = SchemaFormat::KnownFormat(KnownFormat::Binary);
        (name, of_type(Type::String).format(Some(binary)).into())
    };
    let optional_fields =
        [file("mask"), ("model", nonempty_string()), ("image_strength", number(0.1, 1.0))];
    let optional_fields = optional_fields
        .into_iter()
        .chain([("input_fidelity", one_of(&["low"]))])
        .chain(image(openai_images()));
    object([file("image"), prompt], optional_fields)
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
}

/// Returns the schema of a number above 0 and up to `maximum`.
fn positive_number(maximum: f64) -> RefOr<Schema> {
    of_type(Type::Number).exclusive_minimum(Some(0.0)).maximum(Some(maximum)).into()
}

fn width_and_height() -> [Field; 2] {
    [("width", integer(513.0, 2_047.0)), ("height", integer(513.0, 2_047.0))]
}

/// Returns the schema of an object with this `type` and any other fields.
fn object_of_type(name: &str) -> RefOr<Schema> {
    object([("type", one_of(&[name]))], []).into()
}

/// Returns the schema of an object with a URL of an image, which may have further fields.
fn image_url(optional_fields: impl IntoIterator<Item = Field>) -> ObjectBuilder {
    let url = any_of([pattern(DATA_URL_PATTERN, None), pattern("^https://", None)]);
    object([("url", url)], optional_fields)
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
}

/// Returns the schema of a chat message: with content, with tool calls, or with a function call or
/// its result. Only tasks with `image_tokens` accept images.
fn message() -> RefOr<Schema> {
    let detail = ("detail", one_of(&["auto", "low", "high"]));
    let image =
        object([("type", one_of(&["image_url"])), ("image_url", image_url([detail]).into())], [])
            .additional_properties(Some(AdditionalProperties::FreeForm(false)));
    let with_content = |roles: &[&str], part: RefOr<Schema>| -> RefOr<Schema> {
        object([("role", one_of(roles)), ("content", any_of([string(), array_of(part)]))], [])
            .into()
    };
    let roles = ["system", "developer", "user", "assistant", "tool"];
    let with_calls =
        object([("role", one_of(&roles)), ("tool_calls", array_of(any()))], [("content", null())]);
    let call = object([("name", string()), ("arguments", string())], []);
    let content = || ("content", any_of([string(), null()]));
    let with_function_call = object(
        [("role", one_of(&["assistant"])), ("function_call", call.into())],
        [content(), ("tool_calls", null())],
    );
    let result = object([("role", one_of(&["function"])), ("name", string())], [content()]);
    any_of([
        with_content(&roles, text_block()),
        with_content(&["user"], any_of([text_block(), image.into()])),
        with_calls.into(),
        with_function_call.into(),
        result.into(),
    ])
}

/// Returns the schema of `reasoning` in `/v1/responses`.
fn reasoning() -> RefOr<Schema> {
    let summary = || any_of([one_of(&SUMMARIES), null()]);
    let effort = any_of([one_of(&REASONING_EFFORTS), null()]);
    object([], [("effort", effort), ("summary", summary()), ("generate_summary", summary())])
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
        .into()
}

/// Returns the schema of an input item of `/v1/responses`.
fn item() -> RefOr<Schema> {
    let part =
        || object([("type", one_of(&["input_text", "output_text"])), ("text", string())], []);
    let url = any_of([pattern(DATA_URL_PATTERN, None), pattern("^https://", None)]);
    let detail = ("detail", any_of([one_of(&["auto", "low", "high"]), null()]));
    let image = object([("type", one_of(&["input_image"])), ("image_url", url)], [detail]);
    let message = |roles: &[&str], part: RefOr<Schema>| -> RefOr<Schema> {
        let content = any_of([string(), array_of(part)]);
        object([("role", one_of(roles)), ("content", content)], [("type", one_of(&["message"]))])
            .into()
    };
    let id = || ("call_id", string());
    let kind = |name: &str| ("type", one_of(&[name]));
    let call =
        object([kind("function_call"), id(), ("name", string()), ("arguments", string())], []);
    let result = any_of([string(), array_of(part().into())]);
    let output = object([kind("function_call_output"), id(), ("output", result)], []);
    let reasoning = object([kind("reasoning")], []);
    any_of([
        message(&["system", "developer", "user", "assistant"], part().into()),
        message(&["user"], any_of([part().into(), image.into()])),
        call.into(),
        output.into(),
        reasoning.into(),
    ])
}

/// Returns the schema of a content block with a text.
fn text_block() -> RefOr<Schema> {
    object([("type", one_of(&["text"])), ("text", string())], []).into()
}

/// Returns the schema of a message of `/v1/messages`.
fn anthropic_turn() -> RefOr<Schema> {
    let kind = |name: &str| ("type", one_of(&[name]));
    let texts = any_of([string(), null(), array_of(text_block())]);
    let result = object([kind("tool_result"), ("tool_use_id", string())], [("content", texts)]);
    let input = of_type(Type::Object).into();
    let call =
        object([kind("tool_use"), ("id", string()), ("name", string()), ("input", input)], []);
    let media = one_of(&["image/jpeg", "image/png", "image/gif", "image/webp"]);
    let base64 = object(
        [kind("base64"), ("media_type", media), ("data", pattern(MESSAGE_IMAGE_PATTERN, None))],
        [],
    );
    let url = object([kind("url"), ("url", pattern("^https://", None))], []);
    let image = object([kind("image"), ("source", any_of([base64.into(), url.into()]))], []);
    let reasoning = object([("type", one_of(&["thinking", "redacted_thinking"]))], []);
    let turn = |role: &str, block: RefOr<Schema>| -> RefOr<Schema> {
        object(
            [("role", one_of(&[role])), ("content", any_of([string(), nonempty_array(block)]))],
            [],
        )
        .into()
    };
    any_of([
        turn("user", any_of([text_block(), image.into(), result.into()])),
        turn("assistant", any_of([text_block(), call.into(), reasoning.into()])),
        turn("system", text_block()),
    ])
}

/// Returns the optional fields of `/v1/messages`.
fn anthropic_options() -> Vec<Field> {
    let disable_parallel = || ("disable_parallel_tool_use", any_of([flag(), null()]));
    let any_tool = object([("type", one_of(&["auto", "any", "none"]))], [disable_parallel()]);
    let one_tool = object([("type", one_of(&["tool"])), ("name", string())], [disable_parallel()]);
    let object_of_any = || RefOr::from(of_type(Type::Object));
    let tool = object(
        [("name", string()), ("input_schema", object_of_any())],
        [("type", any_of([one_of(&["custom"]), null()]))],
    );
    let display = any_of([one_of(&["summarized", "omitted"]), null()]);
    let thinking = one_of(&["enabled", "adaptive", "between_tools", "disabled"]);
    let thinking = object([("type", thinking)], [("display", display)]);
    let effort = any_of([one_of(&["low", "medium", "high", "xhigh", "max"]), null()]);
    let format = object([("type", one_of(&["json_schema"])), ("schema", object_of_any())], []);
    let config = object([], [("effort", effort), ("format", any_of([format.into(), null()]))])
        .additional_properties(Some(AdditionalProperties::FreeForm(false)));
    vec![
        ("system", any_of([string(), array_of(text_block())])),
        ("stream", flag()),
        ("temperature", number(0.0, 2.0)),
        ("top_p", number(0.0, 1.0)),
        ("top_k", integer(-1.0, 1_000_000.0)),
        ("stop_sequences", list(nonempty_string(), 0, 4)),
        ("tools", list(tool.into(), 0, 128)),
        ("tool_choice", any_of([any_tool.into(), one_tool.into()])),
        ("thinking", thinking.into()),
        ("output_config", config.into()),
        ("metadata", object([], [("user_id", any_of([string(), null()]))]).into()),
        ("service_tier", one_of(&["auto", "standard_only"])),
        ("speed", one_of(&["standard"])),
        ("cache_control", any()),
        ("context_management", any()),
        ("diagnostics", any()),
        ("inference_geo", any()),
        ("user_profile_id", any()),
    ]
}

/// Adds the schemas of requests.
pub(super) fn add(components: ComponentsBuilder) -> ComponentsBuilder {
    add_images(add_texts(components))
}

/// Adds the schemas of requests for texts and embeddings.
fn add_texts(components: ComponentsBuilder) -> ComponentsBuilder {
    let model = || ("model", nonempty_string());
    let embedding =
        [("encoding_format", one_of(&["float", "base64"])), ("dimensions", integer(1.0, 65_536.0))];
    let turns = || ("messages", list(reference("AnthropicTurn"), 1, 1_024));
    let positive_integer = || -> RefOr<Schema> { of_type(Type::Integer).minimum(Some(1.0)).into() };
    components
        .schema("Message", message())
        .schema("ChatRequest", chat(model()))
        .schema("CompletionRequest", completion(model()))
        .schema("Item", item())
        .schema(
            "ResponseRequest",
            request(
                [model(), ("input", any_of([string(), list(reference("Item"), 1, 1_024)]))],
                response_options(),
            ),
        )
        .schema("AnthropicTurn", anthropic_turn())
        .schema(
            "MessageRequest",
            request([model(), turns(), ("max_tokens", positive_integer())], anthropic_options()),
        )
        .schema(
            "TokenCountRequest",
            request(
                [model(), turns()],
                anthropic_options().into_iter().chain([("max_tokens", positive_integer())]),
            ),
        )
        .schema(
            "EmbeddingRequest",
            request(
                [
                    model(),
                    ("input", any_of([nonempty_string(), list(nonempty_string(), 1, 2_048)])),
                ],
                embedding,
            ),
        )
}

/// Returns the conditions on the lengths and the stream of a chat or completion. The gateway has
/// further ones: on numbers, which a schema cannot compare, on functions and tools, and on the
/// constraints of the text. With these as well, the schema would have more combinations than
/// programs that expand it support.
fn text_conditions() -> [RefOr<Schema>; 2] {
    [at_most_one(["max_tokens", "max_completion_tokens"]), requires("stream_options", "stream")]
}

fn chat(model: Field) -> RefOr<Schema> {
    let options = [("logprobs", flag()), ("top_logprobs", integer(0.0, 20.0))];
    let options = sampling().into_iter().chain(tools()).chain(options);
    let conditions = text_conditions().into_iter().chain([requires("top_logprobs", "logprobs")]);
    with_conditions(
        request([model, ("messages", list(reference("Message"), 1, 1_024))], options),
        conditions,
    )
}

fn completion(model: Field) -> RefOr<Schema> {
    let optional_fields =
        [("logprobs", integer(0.0, 5.0)), ("best_of", integer(1.0, 128.0)), ("echo", flag())];
    let prompt = ("prompt", any_of([string(), list(string(), 1, 128)]));
    let false_or_null = || any_of([constant(false.into()), null()]);
    let without_stream = object([], [("stream", false_or_null())]);
    let without_best_of = object([], [("best_of", any_of([integer(1.0, 1.0), null()]))]);
    // A stream has no selection of answers, and prompts have no log-probabilities.
    let conditions = text_conditions().into_iter().chain([
        any_of([without_stream.into(), without_best_of.into()]),
        any_of([
            object([], [("logprobs", null())]).into(),
            object([], [("echo", false_or_null())]).into(),
        ]),
    ]);
    with_conditions(
        request([model, prompt], sampling().into_iter().chain(optional_fields)),
        conditions,
    )
}

/// Returns the optional fields of `/v1/responses`.
fn response_options() -> Vec<Field> {
    let format = object([("type", one_of(&["text", "json_object", "json_schema"]))], []);
    let verbosity = any_of([one_of(&VERBOSITIES), null()]);
    let text = object([], [("format", format.into()), ("verbosity", verbosity)])
        .additional_properties(Some(AdditionalProperties::FreeForm(false)));
    vec![
        ("instructions", string()),
        ("max_output_tokens", integer(1.0, 32_768.0)),
        ("temperature", number(0.0, 2.0)),
        ("top_p", number(0.0, 1.0)),
        ("stream", flag()),
        (
            "tools",
            list(object([("type", one_of(&["function"])), ("name", string())], []).into(), 0, 128),
        ),
        (
            "tool_choice",
            any_of([one_of(&["none", "auto", "required"]), object_of_type("function")]),
        ),
        ("parallel_tool_calls", flag()),
        ("text", text.into()),
        ("reasoning", reasoning()),
        ("include", array_of(one_of(&INCLUDE_VALUES))),
        ("top_logprobs", integer(0.0, 20.0)),
        ("metadata", of_type(Type::Object).additional_properties(Some(string())).into()),
        ("store", constant(false.into())),
    ]
}

/// Adds the schemas of requests for images.
fn add_images(components: ComponentsBuilder) -> ComponentsBuilder {
    let prompt = || ("prompt", pattern(r"\S", Some(32_000)));
    let model = || ("model", nonempty_string());
    let picture = |name| (name, any_of([pattern(IMAGE_PATTERN, None), pattern("^https://", None)]));
    let strength = |name| (name, number(0.1, 1.0));
    let init_image = || picture("init_image");
    components
        .schema(
            "GenerationRequest",
            with_conditions(
                request([model(), prompt()], image(openai_images())),
                [compressed_jpeg()],
            ),
        )
        .schema("EditRequest", image_edit(prompt()))
        .schema("TextToImageRequest", request([model(), prompt()], image(width_and_height())))
        .schema(
            "ImageToImageRequest",
            request(
                [model(), prompt(), init_image()],
                image(width_and_height().into_iter().chain([strength("image_strength")])),
            ),
        )
        .schema(
            "InpaintRequest",
            request(
                [prompt(), init_image(), picture("mask")],
                image(width_and_height().into_iter().chain([model()])),
            ),
        )
        .schema(
            "AvatarRequest",
            request(
                [prompt(), init_image()],
                image(width_and_height().into_iter().chain([
                    strength("ipadapter_strength"),
                    strength("control_strength"),
                    model(),
                ])),
            ),
        )
}
