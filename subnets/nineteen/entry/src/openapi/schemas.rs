//! Schemas of requests and answers. Request schemas allow exactly what the gateway accepts.

use utoipa::openapi::schema::{
    AdditionalProperties, AnyOfBuilder, ArrayBuilder, ObjectBuilder, Schema, SchemaType, Type,
};
use utoipa::openapi::{ComponentsBuilder, Ref, RefOr};

type Field = (&'static str, RefOr<Schema>);

fn of_type(kind: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::Type(kind))
}

pub(super) fn string() -> RefOr<Schema> {
    of_type(Type::String).into()
}

/// A string of `1..=longest` characters.
pub(super) fn name(longest: usize) -> RefOr<Schema> {
    of_type(Type::String).min_length(Some(1)).max_length(Some(longest)).into()
}

fn some_text() -> RefOr<Schema> {
    of_type(Type::String).min_length(Some(1)).into()
}

fn flag() -> RefOr<Schema> {
    of_type(Type::Boolean).into()
}

fn null() -> RefOr<Schema> {
    of_type(Type::Null).into()
}

fn any() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(SchemaType::AnyValue).into()
}

fn whole(smallest: f64, largest: f64) -> RefOr<Schema> {
    of_type(Type::Integer).minimum(Some(smallest)).maximum(Some(largest)).into()
}

fn count() -> RefOr<Schema> {
    of_type(Type::Integer).minimum(Some(0.0)).into()
}

fn number(smallest: f64, largest: f64) -> RefOr<Schema> {
    of_type(Type::Number).minimum(Some(smallest)).maximum(Some(largest)).into()
}

fn seed() -> RefOr<Schema> {
    whole(-9_007_199_254_740_991.0, 9_007_199_254_740_991.0)
}

fn one_of(words: &[&str]) -> RefOr<Schema> {
    of_type(Type::String).enum_values(Some(words.iter().map(|word| serde_json::Value::from(*word)))).into()
}

fn exactly(value: serde_json::Value) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(SchemaType::AnyValue).enum_values(Some([value])).into()
}

fn list(of: RefOr<Schema>, fewest: usize, most: usize) -> RefOr<Schema> {
    ArrayBuilder::new().items(of).min_items(Some(fewest)).max_items(Some(most)).into()
}

fn lists(of: RefOr<Schema>) -> RefOr<Schema> {
    ArrayBuilder::new().items(of).into()
}

fn either(schemas: impl IntoIterator<Item = RefOr<Schema>>) -> RefOr<Schema> {
    schemas.into_iter().fold(AnyOfBuilder::new(), AnyOfBuilder::item).into()
}

fn refer(name: &str) -> RefOr<Schema> {
    Ref::from_schema_name(name).into()
}

/// An object with these required and optional fields.
fn object(required: impl IntoIterator<Item = Field>, further: impl IntoIterator<Item = Field>) -> ObjectBuilder {
    let mut object = of_type(Type::Object);
    for (name, schema) in required {
        object = object.property(name, schema).required(name);
    }
    further.into_iter().fold(object, |object, (name, schema)| object.property(name, schema))
}

/// A request object: other fields are rejected, and optional ones may be null.
fn request(required: impl IntoIterator<Item = Field>, further: impl IntoIterator<Item = Field>) -> RefOr<Schema> {
    let ignored = ["user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"].map(|name| (name, any()));
    let further = further.into_iter().map(|(name, schema)| (name, either([schema, null()])));
    object(required, further.chain(ignored)).additional_properties(Some(AdditionalProperties::FreeForm(false))).into()
}

/// An object with a `type` and any other fields.
fn typed() -> RefOr<Schema> {
    object([("type", string())], []).into()
}

/// Fields of all text requests.
fn sampling() -> Vec<Field> {
    let stop = either([some_text(), list(some_text(), 1, 4)]);
    let options = object([], [("include_usage", flag()), ("include_obfuscation", exactly(false.into()))])
        .additional_properties(Some(AdditionalProperties::FreeForm(false)));
    let bias = of_type(Type::Object).additional_properties(Some(number(-100.0, 100.0)));
    vec![
        ("stream", flag()),
        ("stream_options", options.into()),
        ("max_tokens", whole(1.0, 32_768.0)),
        ("max_completion_tokens", whole(1.0, 32_768.0)),
        ("temperature", number(0.0, 2.0)),
        ("top_p", number(0.0, 1.0)),
        ("seed", seed()),
        ("stop", stop),
        ("frequency_penalty", number(-2.0, 2.0)),
        ("presence_penalty", number(-2.0, 2.0)),
        ("logit_bias", bias.into()),
        ("n", exactly(1.into())),
        ("store", exactly(false.into())),
        ("service_tier", one_of(&["auto", "default"])),
    ]
}

fn tools() -> Vec<Field> {
    vec![
        ("tools", list(typed(), 1, 128)),
        ("tool_choice", either([one_of(&["none", "auto", "required"]), typed()])),
        ("parallel_tool_calls", flag()),
        ("response_format", typed()),
    ]
}

fn image(further: impl IntoIterator<Item = Field>) -> Vec<Field> {
    let fields = [
        ("negative_prompt", of_type(Type::String).max_length(Some(32_000)).into()),
        ("steps", whole(5.0, 49.0)),
        ("cfg_scale", number(1.5, 12.0)),
        ("seed", seed()),
    ];
    fields.into_iter().chain(further).collect()
}

fn sides() -> [Field; 2] {
    [("width", whole(513.0, 2_047.0)), ("height", whole(513.0, 2_047.0))]
}

pub(super) fn components() -> ComponentsBuilder {
    let prompt = || ("prompt", name(32_000));
    let model = || ("model", some_text());
    let picture = |name| (name, string());
    let strength = |name| (name, number(0.1, 1.0));
    let message = object(
        [("role", one_of(&["system", "developer", "user", "assistant", "tool"]))],
        [("content", either([string(), lists(any()), null()])), ("tool_calls", lists(any()))],
    );
    let chat = sampling().into_iter().chain(tools()).chain([("logprobs", flag()), ("top_logprobs", whole(0.0, 20.0))]);
    let completion = sampling().into_iter().chain([("logprobs", whole(0.0, 5.0))]);
    let text = object([], [("format", typed())]).additional_properties(Some(AdditionalProperties::FreeForm(false)));
    let response = vec![
        ("instructions", string()),
        ("max_output_tokens", whole(1.0, 32_768.0)),
        ("temperature", number(0.0, 2.0)),
        ("top_p", number(0.0, 1.0)),
        ("stream", flag()),
        ("tools", lists(typed())),
        ("tool_choice", either([one_of(&["none", "auto", "required"]), typed()])),
        ("parallel_tool_calls", flag()),
        ("text", text.into()),
        ("metadata", of_type(Type::Object).additional_properties(Some(string())).into()),
        ("store", exactly(false.into())),
    ];
    let embedding = [("encoding_format", one_of(&["float", "base64"])), ("dimensions", whole(1.0, 65_536.0))];
    let generation = [
        ("size", string()),
        ("n", exactly(1.into())),
        ("response_format", one_of(&["b64_json"])),
        ("quality", one_of(&["auto"])),
        ("background", one_of(&["auto"])),
        ("moderation", one_of(&["auto"])),
    ];
    let init = || picture("init_image");
    ComponentsBuilder::new()
        .schema("Message", message)
        .schema("ChatRequest", request([model(), ("messages", list(refer("Message"), 1, 1_024))], chat))
        .schema(
            "CompletionRequest",
            request([model(), ("prompt", either([string(), list(string(), 1, 1)]))], completion),
        )
        .schema("ResponseRequest", request([model(), ("input", either([string(), list(any(), 1, 1_024)]))], response))
        .schema(
            "EmbeddingRequest",
            request([model(), ("input", either([some_text(), list(some_text(), 1, 2_048)]))], embedding),
        )
        .schema("GenerationRequest", request([model(), prompt()], image(generation)))
        .schema("TextToImageRequest", request([model(), prompt()], image(sides())))
        .schema(
            "ImageToImageRequest",
            request([model(), prompt(), init()], image(sides().into_iter().chain([strength("image_strength")]))),
        )
        .schema("InpaintRequest", request([prompt(), init(), picture("mask")], image(sides())))
        .schema(
            "AvatarRequest",
            request(
                [prompt(), init()],
                image(sides().into_iter().chain([strength("ipadapter_strength"), strength("control_strength")])),
            ),
        )
        .schema("ChatCompletion", answer("chat.completion"))
        .schema("Completion", answer("text_completion"))
        .schema(
            "Response",
            object(
                [
                    ("id", string()),
                    ("object", one_of(&["response"])),
                    ("created_at", count()),
                    ("status", one_of(&["completed", "incomplete", "in_progress", "failed"])),
                    ("model", string()),
                    ("output", lists(typed())),
                ],
                [("usage", any())],
            ),
        )
        .schema(
            "EmbeddingList",
            object([("object", one_of(&["list"])), ("data", lists(any())), ("model", string()), ("usage", any())], []),
        )
        .schema(
            "ImageList",
            object([("created", count()), ("data", lists(object([picture("b64_json")], []).into()))], []),
        )
        .schema("Image", object([picture("image_b64")], []))
        .schema(
            "Model",
            object([("id", string()), ("object", one_of(&["model"])), ("endpoint", string())], [("price", any())]),
        )
        .schema("ModelList", object([("object", one_of(&["list"])), ("data", lists(refer("Model")))], []))
        .schema("Status", object([("tasks", lists(refer("TaskStatus")))], []))
        .schema("TaskStatus", task_status())
        .schema("Error", object([("error", error().into())], []))
}

fn answer(kind: &str) -> ObjectBuilder {
    let usage = [("prompt_tokens", count()), ("completion_tokens", count()), ("total_tokens", count())];
    object(
        [
            ("id", string()),
            ("object", one_of(&[kind])),
            ("created", count()),
            ("model", string()),
            ("choices", list(any(), 1, 1)),
            ("usage", object(usage, []).into()),
        ],
        [],
    )
}

fn task_status() -> ObjectBuilder {
    let quantity = || RefOr::from(of_type(Type::Number).minimum(Some(0.0)));
    object(
        [
            ("task", string()),
            ("endpoint", string()),
            ("miners", count()),
            ("is_served", flag()),
            ("capacity", quantity()),
            ("used", quantity()),
            ("running", count()),
            ("requests", quantity()),
            ("rate_limited", quantity()),
            ("failed", quantity()),
            ("best_latency", either([quantity(), null()])),
            ("median_latency", either([quantity(), null()])),
        ],
        [],
    )
}

fn error() -> ObjectBuilder {
    let text_or_null = || either([string(), null()]);
    object([("message", string()), ("type", string()), ("param", text_or_null()), ("code", text_or_null())], [])
}
