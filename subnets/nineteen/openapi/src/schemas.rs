//! Schemas of requests and responses. Request schemas list exactly the fields that the gateway
//! accepts.

mod requests;

use utoipa::openapi::schema::{
    AdditionalProperties, AllOfBuilder, AnyOfBuilder, ArrayBuilder, ObjectBuilder, Schema,
    SchemaType, Type,
};
use utoipa::openapi::{ComponentsBuilder, Ref, RefOr};

type Field = (&'static str, RefOr<Schema>);

fn of_type(kind: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::Type(kind))
}

pub(crate) fn string() -> RefOr<Schema> {
    of_type(Type::String).into()
}

/// Returns the schema of a string that matches a regular expression.
pub(crate) fn pattern(regex: &str, max_length: Option<usize>) -> RefOr<Schema> {
    of_type(Type::String).pattern(Some(regex)).max_length(max_length).into()
}

/// Returns the schema of the formats of usage and invoices.
pub(crate) fn document_format() -> RefOr<Schema> {
    one_of(&["json", "csv"])
}

fn nonempty_string() -> RefOr<Schema> {
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

fn integer(minimum: f64, maximum: f64) -> RefOr<Schema> {
    of_type(Type::Integer).minimum(Some(minimum)).maximum(Some(maximum)).into()
}

fn count() -> RefOr<Schema> {
    of_type(Type::Integer).minimum(Some(0.0)).into()
}

fn number(minimum: f64, maximum: f64) -> RefOr<Schema> {
    of_type(Type::Number).minimum(Some(minimum)).maximum(Some(maximum)).into()
}

fn one_of(words: &[&str]) -> RefOr<Schema> {
    of_type(Type::String)
        .enum_values(Some(words.iter().map(|word| serde_json::Value::from(*word))))
        .into()
}

fn constant(value: serde_json::Value) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(SchemaType::AnyValue).enum_values(Some([value])).into()
}

fn list(items: RefOr<Schema>, min_items: usize, max_items: usize) -> RefOr<Schema> {
    ArrayBuilder::new().items(items).min_items(Some(min_items)).max_items(Some(max_items)).into()
}

fn array_of(items: RefOr<Schema>) -> RefOr<Schema> {
    ArrayBuilder::new().items(items).into()
}

/// Returns the schema of a list with at least one element.
fn nonempty_array(items: RefOr<Schema>) -> RefOr<Schema> {
    ArrayBuilder::new().items(items).min_items(Some(1)).into()
}

fn any_of(schemas: impl IntoIterator<Item = RefOr<Schema>>) -> RefOr<Schema> {
    schemas.into_iter().fold(AnyOfBuilder::new(), AnyOfBuilder::item).into()
}

fn reference(name: &str) -> RefOr<Schema> {
    Ref::from_schema_name(name).into()
}

/// Returns the schema of an object with these required and optional fields.
fn object(
    required: impl IntoIterator<Item = Field>,
    optional_fields: impl IntoIterator<Item = Field>,
) -> ObjectBuilder {
    let mut object = of_type(Type::Object);
    for (name, schema) in required {
        object = object.property(name, schema).required(name);
    }
    optional_fields.into_iter().fold(object, |object, (name, schema)| object.property(name, schema))
}

/// Returns the schema of a request that permits no other fields; optional fields may be null.
fn request(
    required: impl IntoIterator<Item = Field>,
    optional_fields: impl IntoIterator<Item = Field>,
) -> RefOr<Schema> {
    let ignored_fields =
        ["user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"]
            .map(|name| (name, any()));
    let optional_fields =
        optional_fields.into_iter().map(|(name, schema)| (name, any_of([schema, null()])));
    object(required, optional_fields.chain(ignored_fields))
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
        .into()
}

/// Returns the schema of an object with a `type` and any other fields.
fn typed_object() -> RefOr<Schema> {
    object([("type", string())], []).into()
}

/// Returns a request schema with conditions between its fields.
fn with_conditions(
    request: RefOr<Schema>,
    conditions: impl IntoIterator<Item = RefOr<Schema>>,
) -> RefOr<Schema> {
    conditions.into_iter().fold(AllOfBuilder::new().item(request), AllOfBuilder::item).into()
}

/// Returns the schema condition that `field` may be set only if `flag` is true.
fn requires(field: &'static str, flag: &'static str) -> RefOr<Schema> {
    any_of([
        object([], [(field, null())]).into(),
        object([(flag, constant(true.into()))], []).into(),
    ])
}

/// Returns the schema condition that at most one of two fields is set.
fn at_most_one(fields: [&'static str; 2]) -> RefOr<Schema> {
    any_of(fields.map(|field| object([], [(field, null())]).into()))
}

pub(crate) fn components() -> ComponentsBuilder {
    requests::add(ComponentsBuilder::new())
        .schema("ChatCompletion", completion_object("chat.completion"))
        .schema("Completion", completion_object("text_completion"))
        .schema("Response", response())
        .schema("AnthropicMessage", anthropic_message())
        .schema("TokenCount", object([("input_tokens", count())], []))
        .schema("AnthropicError", anthropic_error())
        .schema("EmbeddingList", embedding_list())
        .schema(
            "ImageList",
            object([("created", count()), ("data", array_of(image_entry().into()))], []),
        )
        .schema("Image", object([("image_b64", string())], []))
        .schema("Model", model())
        .schema(
            "ModelList",
            object([("object", one_of(&["list"])), ("data", array_of(reference("Model")))], []),
        )
        .schema("Key", key())
        .schema("TopUp", topup())
        .schema("Invoice", invoice())
        .schema("Csv", string())
        .schema("Usage", usage())
        .schema(
            "UsageList",
            object([("object", one_of(&["list"])), ("data", array_of(reference("Usage")))], []),
        )
        .schema("Status", object([("tasks", array_of(reference("TaskStatus")))], []))
        .schema("TaskStatus", task_status())
        .schema("Error", object([("error", error().into())], []))
        .schema("Event", object([("data", string())], [("event", string())]))
}

fn response() -> ObjectBuilder {
    object(
        [
            ("id", string()),
            ("object", one_of(&["response"])),
            ("created_at", count()),
            ("status", one_of(&["completed", "incomplete", "in_progress", "failed"])),
            ("model", string()),
            ("output", array_of(typed_object())),
        ],
        [("usage", any())],
    )
}

fn embedding_list() -> ObjectBuilder {
    object(
        [
            ("object", one_of(&["list"])),
            ("data", array_of(any())),
            ("model", string()),
            ("usage", any()),
        ],
        [],
    )
}

/// Returns the schema of a model, or of an alias, which has `models`.
fn model() -> ObjectBuilder {
    let prices = ["input", "output", "step"].map(|unit| (unit, count()));
    object(
        [
            ("id", string()),
            ("object", one_of(&["model"])),
            ("created", count()),
            ("owned_by", string()),
            ("endpoint", string()),
            ("price", object(prices, []).into()),
            ("context_length", any_of([count(), null()])),
        ],
        [("image_tokens", any_of([count(), null()])), ("models", array_of(string()))],
    )
}

fn key() -> ObjectBuilder {
    let team = object([("name", string()), ("budgets", array_of(budget()))], []);
    object(
        [
            ("object", one_of(&["key"])),
            ("id", string()),
            ("name", string()),
            ("balance", of_type(Type::Integer).into()),
            ("rate_per_minute", count()),
            ("tokens_per_minute", any_of([count(), null()])),
            ("models", any_of([array_of(string()), null()])),
            ("monthly_budget", any_of([count(), null()])),
            ("daily_budget", any_of([count(), null()])),
            ("budgets", array_of(budget())),
            ("team", any_of([team.into(), null()])),
            ("weight", count()),
            ("log_requests", flag()),
            ("created", count()),
            ("expires", any_of([count(), null()])),
        ],
        [],
    )
}

/// Returns the schema of an image in base64, or of one as a data URL.
fn image_entry() -> ObjectBuilder {
    object([], [("b64_json", string()), ("url", string())])
}

fn completion_object(kind: &str) -> ObjectBuilder {
    let usage =
        [("prompt_tokens", count()), ("completion_tokens", count()), ("total_tokens", count())];
    object(
        [
            ("id", string()),
            ("object", one_of(&[kind])),
            ("created", count()),
            ("model", string()),
            ("choices", list(any(), 1, 128)),
            ("usage", object(usage, []).into()),
        ],
        [],
    )
}

fn anthropic_message() -> ObjectBuilder {
    let usage = [("input_tokens", count()), ("output_tokens", count())];
    let reasons = ["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal"];
    object(
        [
            ("id", string()),
            ("type", one_of(&["message"])),
            ("role", one_of(&["assistant"])),
            ("model", string()),
            ("content", array_of(typed_object())),
            ("stop_reason", one_of(&reasons)),
            ("stop_sequence", any_of([string(), null()])),
            ("usage", object(usage, []).into()),
        ],
        [],
    )
}

fn anthropic_error() -> ObjectBuilder {
    let error = object([("type", string()), ("message", string())], []);
    let request_id = any_of([string(), null()]);
    object([("type", one_of(&["error"])), ("error", error.into())], [("request_id", request_id)])
}

fn usage() -> ObjectBuilder {
    let counts =
        ["requests", "input_tokens", "output_tokens", "charged"].map(|name| (name, count()));
    object([("day", string()), ("model", string())].into_iter().chain(counts), [])
}

/// Returns the schema of what a key or a team has spent of a budget.
fn budget() -> RefOr<Schema> {
    object([("period", one_of(&["day", "month"])), ("budget", count()), ("spent", count())], [])
        .into()
}

fn deposit() -> RefOr<Schema> {
    let texts = ["block_hash", "from"].map(|name| (name, string()));
    let counts =
        ["block", "event", "amount_rao", "credits", "recorded"].map(|name| (name, count()));
    object(texts.into_iter().chain(counts), []).into()
}

fn invoice() -> ObjectBuilder {
    let texts = ["key_id", "name", "month"].map(|name| (name, string()));
    let counts =
        ["requests", "input_tokens", "output_tokens", "charged"].map(|name| (name, count()));
    let line = object([("model", string())].into_iter().chain(counts), []);
    let grant = object([("credits", of_type(Type::Integer).into()), ("granted", count())], []);
    let lists = [
        ("object", one_of(&["invoice"])),
        ("lines", array_of(line.into())),
        ("charged", count()),
        ("grants", array_of(grant.into())),
        ("deposits", array_of(deposit())),
    ];
    object(texts.into_iter().chain(lists), [])
}

fn topup() -> ObjectBuilder {
    object(
        [
            ("object", one_of(&["topup"])),
            ("address", string()),
            ("rao_per_credit", count()),
            ("balance", of_type(Type::Integer).into()),
            ("deposits", array_of(deposit())),
            ("has_more", flag()),
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
            ("best_latency", any_of([quantity(), null()])),
            ("median_latency", any_of([quantity(), null()])),
        ],
        [],
    )
}

fn error() -> ObjectBuilder {
    let text_or_null = || any_of([string(), null()]);
    object(
        [
            ("message", string()),
            ("type", string()),
            ("param", text_or_null()),
            ("code", text_or_null()),
        ],
        [],
    )
}
