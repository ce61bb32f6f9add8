//! Routes of the gateway.

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    ContentBuilder, HttpMethod, InfoBuilder, OpenApi, OpenApiBuilder, PathItem, PathsBuilder, Ref,
    RefOr, Required,
};

use crate::is_message_route;
use crate::schemas::{self, components, string};

/// Names of the security schemes: the API key as a bearer token or in the header `x-api-key`.
const SECURITY_SCHEMES: [&str; 2] = ["key", "x-api-key"];
const JSON: &str = "application/json";
const FORM: &str = "multipart/form-data";

/// A billed route of the gateway.
struct BilledRoute {
    path: &'static str,
    summary: &'static str,
    request_schema: &'static str,
    response_schema: &'static str,
    streams: bool,
}

const BILLED_ROUTES: [BilledRoute; 12] = [
    billed_route(
        "/v1/chat/completions",
        "Creates a chat completion",
        "ChatRequest",
        "ChatCompletion",
        true,
    ),
    billed_route(
        "/v1/completions",
        "Creates a text completion",
        "CompletionRequest",
        "Completion",
        true,
    ),
    billed_route(
        "/v1/responses",
        "Creates a response, without stored state",
        "ResponseRequest",
        "Response",
        true,
    ),
    billed_route(
        "/v1/messages",
        "Creates a message in Anthropic's format",
        "MessageRequest",
        "AnthropicMessage",
        true,
    ),
    billed_route(
        "/v1/messages/count_tokens",
        "Counts the tokens of a message request",
        "TokenCountRequest",
        "TokenCount",
        false,
    ),
    billed_route(
        "/v1/embeddings",
        "Creates embedding vectors",
        "EmbeddingRequest",
        "EmbeddingList",
        false,
    ),
    billed_route(
        "/v1/images/generations",
        "Creates images from a prompt",
        "GenerationRequest",
        "ImageList",
        false,
    ),
    billed_route(
        "/v1/images/edits",
        "Changes an image, or the masked part of it",
        "EditRequest",
        "ImageList",
        false,
    ),
    billed_route(
        "/v1/text-to-image",
        "Creates an image from a prompt",
        "TextToImageRequest",
        "Image",
        false,
    ),
    billed_route(
        "/v1/image-to-image",
        "Creates an image from a prompt and an image",
        "ImageToImageRequest",
        "Image",
        false,
    ),
    billed_route("/v1/inpaint", "Replaces part of an image", "InpaintRequest", "Image", false),
    billed_route(
        "/v1/avatar",
        "Creates an avatar from an image of a face",
        "AvatarRequest",
        "Image",
        false,
    ),
];

const fn billed_route(
    path: &'static str,
    summary: &'static str,
    request_schema: &'static str,
    response_schema: &'static str,
    streams: bool,
) -> BilledRoute {
    BilledRoute { path, summary, request_schema, response_schema, streams }
}

/// HTTP statuses of errors, with their descriptions.
const ERROR_RESPONSES: [(&str, &str); 12] = [
    ("400", "A field is invalid; `error.param` names it"),
    ("401", "The API key is missing, unknown, expired or revoked"),
    ("403", "The key may not use the model, or the image was withheld"),
    ("404", "The model does not exist"),
    ("408", "The request body did not arrive in time"),
    ("409", "A request with this Idempotency-Key is in progress"),
    ("413", "The request is too large; `error.param` names the largest image, or `n`"),
    (
        "422",
        "An image cannot be downloaded, or the Idempotency-Key was used for a different request",
    ),
    (
        "429",
        "The API key exceeds its rate limit; with `error.type` insufficient_quota, it has too few credits, or a budget is exhausted",
    ),
    ("500", "Internal error"),
    ("502", "No miner answered"),
    ("503", "No miner has remaining capacity"),
];

/// Statuses that differ on routes in Anthropic's format, which have no 503.
const ANTHROPIC_ERROR_RESPONSES: [(&str, &str); 3] = [
    ("402", "The API key has too few credits, or a budget is exhausted"),
    ("429", "The API key exceeds its rate limit"),
    ("529", "No miner has remaining capacity"),
];

/// Builds the OpenAPI document.
pub(crate) fn build_document() -> OpenApi {
    let info = InfoBuilder::new().title("Nineteen").version(env!("CARGO_PKG_VERSION")).description(
        Some("Inference by the miners of subnet 19, through an OpenAI-compatible API."),
    );
    let mut paths = PathsBuilder::new();
    for route in &BILLED_ROUTES {
        paths = paths.path(route.path, PathItem::new(HttpMethod::Post, billed_operation(route)));
    }
    let id = parameter("id", ParameterIn::Path, string()).required(Required::True);
    // These routes need no API key, but a key that is sent must be valid.
    let public_operation = |id: &str, summary: &str, schema: &str| {
        get_operation(id, summary, schema)
            .response("401", error_response("The API key is unknown, expired or revoked", "Error"))
            .response("500", error_response("Internal error", "Error"))
    };
    let models = public_operation(
        "models",
        "Lists the models; with an API key, those that it may use",
        "ModelList",
    );
    let model = public_operation("model", "Describes a model", "Model");
    let model = model.parameter(id).response("404", error_response("Unknown model", "Error"));
    let paths = add_key_routes(paths)
        .path("/v1/models", PathItem::new(HttpMethod::Get, models))
        .path("/v1/models/{id}", PathItem::new(HttpMethod::Get, model))
        .path(
            "/status.json",
            PathItem::new(
                HttpMethod::Get,
                get_operation("status", "Reports capacity and latency", "Status"),
            ),
        );
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let header = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("x-api-key")));
    let [in_bearer, in_header] = SECURITY_SCHEMES;
    OpenApiBuilder::new()
        .info(info.build())
        .paths(paths)
        .components(Some(
            components()
                .security_scheme(in_bearer, bearer)
                .security_scheme(in_header, header)
                .build(),
        ))
        .build()
}

/// Adds the routes that describe the request's API key.
fn add_key_routes(paths: PathsBuilder) -> PathsBuilder {
    let key_operation = |id: &str, summary: &str, schema: &str| {
        get_operation(id, summary, schema)
            .securities(Some(key_requirements()))
            .response(
                "401",
                error_response("The API key is missing, unknown, expired or revoked", "Error"),
            )
            .response(
                "429",
                error_response(
                    "More than 120 requests for documents of the key in a minute",
                    "Error",
                ),
            )
            .response("500", error_response("Internal error", "Error"))
    };
    // Routes whose documents are also available as CSV.
    let json_or_csv = |id: &str, summary: &str, schema: &str| {
        let response = ResponseBuilder::new().description("OK");
        let response = response
            .content(JSON, schema_content(schema))
            .content("text/csv", schema_content("Csv"));
        key_operation(id, summary, schema)
            .parameter(parameter("format", ParameterIn::Query, schemas::document_format()))
            .response("200", response)
            .response(
                "400",
                error_response("A parameter is invalid; `error.param` names it", "Error"),
            )
    };
    let month = schemas::pattern("^(19[7-9][0-9]|[2-9][0-9]{3})-(0[1-9]|1[0-2])$", None);
    let month = parameter("month", ParameterIn::Path, month).required(Required::True);
    let invoice = json_or_csv("invoice", "Invoice of the request's API key for a month", "Invoice")
        .parameter(month);
    let usage = json_or_csv("usage", "Usage of the request's API key", "UsageList");
    let before = schemas::pattern("^[0-9]{1,9}-[0-9]{1,9}$", None);
    let topup = key_operation(
        "topup",
        "Describes how the request's API key is topped up with TAO",
        "TopUp",
    )
    .parameter(parameter("before", ParameterIn::Query, before))
    .response("400", error_response("A parameter is invalid; `error.param` names it", "Error"))
    .response("404", error_response("Credits cannot be bought with TAO", "Error"));
    paths
        .path("/v1/topup", PathItem::new(HttpMethod::Get, topup))
        .path(
            "/v1/key",
            PathItem::new(
                HttpMethod::Get,
                key_operation("key", "Describes the request's API key", "Key"),
            ),
        )
        .path("/v1/usage", PathItem::new(HttpMethod::Get, usage))
        .path("/v1/invoices/{month}", PathItem::new(HttpMethod::Get, invoice))
}

/// Returns the `GET` operation of a JSON document.
fn get_operation(id: &str, summary: &str, schema: &str) -> OperationBuilder {
    let response = ResponseBuilder::new().description("OK").content(JSON, schema_content(schema));
    OperationBuilder::new().operation_id(Some(id)).summary(Some(summary)).response("200", response)
}

fn parameter(name: &str, location: ParameterIn, schema: RefOr<Schema>) -> ParameterBuilder {
    ParameterBuilder::new().name(name).parameter_in(location).schema(Some(schema))
}

/// Returns the alternative ways to send the API key.
fn key_requirements() -> [SecurityRequirement; 2] {
    SECURITY_SCHEMES.map(|key| SecurityRequirement::new::<_, [&str; 0], &str>(key, []))
}

fn billed_operation(route: &BilledRoute) -> OperationBuilder {
    let id = route.path.trim_start_matches("/v1/").replace(['/', '-'], "_");
    let key_schema = schemas::pattern("^[!-~](?:[ -~]*[!-~])?$", Some(255));
    let idempotency_key = parameter("Idempotency-Key", ParameterIn::Header, key_schema).description(Some(
        "Retries with the same key within a day get the stored response and are not charged again.",
    ));
    let content_type = if route.request_schema == "EditRequest" { FORM } else { JSON };
    let body = RequestBodyBuilder::new()
        .content(content_type, schema_content(route.request_schema))
        .required(Some(Required::True));
    let mut response = ResponseBuilder::new()
        .description("The answer")
        .content(JSON, schema_content(route.response_schema));
    if route.streams {
        // The schema of each event.
        response = response.content("text/event-stream", schema_content("Event"));
    }
    for (name, description) in [
        (
            "x-request-id",
            "Id of the request: the buyer's if the request has one, otherwise a new id",
        ),
        ("x-ratelimit-limit-requests", "Maximum number of requests per minute"),
        ("x-ratelimit-remaining-requests", "Number of requests that remain before the limit"),
        (
            "x-ratelimit-reset-requests",
            "Time until the limit is fully available again, such as `12s`",
        ),
        (
            "x-ratelimit-limit-tokens",
            "Maximum number of tokens per minute, if the API key has such a limit",
        ),
        ("x-ratelimit-remaining-tokens", "Number of tokens that remain before the limit"),
        (
            "x-ratelimit-reset-tokens",
            "Time until the limit of tokens is fully available again, such as `12s`",
        ),
        (
            "x-taonet-budget-warning",
            "Budgets of the API key of which 80 % and more are spent, such as `day 83%`",
        ),
    ] {
        response = response.header(
            name,
            HeaderBuilder::new().schema(Some(string())).description(Some(description)).build(),
        );
    }
    let mut operation = OperationBuilder::new()
        .operation_id(Some(id))
        .summary(Some(route.summary))
        .securities(Some(key_requirements()))
        .parameter(idempotency_key)
        .request_body(Some(body.build()))
        .response("200", response);
    let is_message = is_message_route(route.path);
    for (status, description) in ERROR_RESPONSES {
        operation = match (is_message, status) {
            (true, "503") => operation,
            (true, _) => operation.response(status, error_response(description, "AnthropicError")),
            (false, _) => operation.response(status, error_response(description, "Error")),
        };
    }
    if is_message {
        for (status, description) in ANTHROPIC_ERROR_RESPONSES {
            operation = operation.response(status, error_response(description, "AnthropicError"));
        }
    }
    operation
}

fn error_response(description: &str, schema: &str) -> ResponseBuilder {
    ResponseBuilder::new().description(description).content(JSON, schema_content(schema))
}

fn schema_content(schema: &str) -> utoipa::openapi::Content {
    ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build()
}
