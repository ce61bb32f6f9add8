//! Descriptions of the models that the gateway offers: tasks, and aliases of the task file.
//!
//! The routes need no API key, so that buyers can compare prices before they have one. With a key,
//! they describe only the models that the key may use, and an invalid key is rejected: clients
//! check their keys with these routes.

use axum::extract::{Path, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Json, Response};
use serde_json::{Value, json};
use taonet_nineteen_core::task::Price;
use taonet_nineteen_core::{MarketConfig, Task};
use taonet_nineteen_store::ApiKey;

use crate::fallback::may_use;
use crate::{Gateway, GatewayError};

/// Maximum length of the unknown model's name in an error, in characters.
const MAX_NAME_LENGTH: usize = 100;

/// Handler of `GET /v1/models`.
pub(crate) async fn list(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
) -> Result<Response, GatewayError> {
    let key = gateway.authenticate_if_keyed(&headers).await?;
    let config = gateway.0.market.current();
    let tasks = config.enabled().filter(|task| is_allowed(key.as_ref(), task)).map(task_document);
    let aliases = config
        .aliases
        .keys()
        .filter_map(|alias| alias_document(&config, key.as_ref(), alias.as_str()));
    let data: Vec<_> = tasks.chain(aliases).collect();
    Ok(Json(json!({"object": "list", "data": data})).into_response())
}

/// Handler of `GET /v1/models/{id}`, for all names that requests may have in `model`. Names of
/// models have slashes.
pub(crate) async fn model(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, GatewayError> {
    let key = gateway.authenticate_if_keyed(&headers).await?;
    let config = gateway.0.market.current();
    let alias = alias_document(&config, key.as_ref(), &id);
    let task =
        || config.enabled().find(|task| task.is_named(&id) && is_allowed(key.as_ref(), task));
    match alias.or_else(|| task().map(task_document)) {
        Some(document) => Ok(Json(document).into_response()),
        None => Err(GatewayError::UnknownModel(id.chars().take(MAX_NAME_LENGTH).collect())),
    }
}

impl Gateway {
    /// Authenticates a request that needs no API key; returns `None` if it has none.
    async fn authenticate_if_keyed(
        &self,
        headers: &HeaderMap,
    ) -> Result<Option<ApiKey>, GatewayError> {
        let has_key = headers.get("x-api-key").is_some_and(|value| !value.is_empty())
            || headers.get(AUTHORIZATION).is_some_and(is_bearer_token);
        if has_key { self.authenticate(headers).await.map(Some) } else { Ok(None) }
    }
}

/// Returns whether a header `Authorization` has a bearer token. Other schemes, and an empty token,
/// are not API keys.
fn is_bearer_token(value: &HeaderValue) -> bool {
    let parts = value.as_bytes().split_at_checked(7);
    parts.is_some_and(|(scheme, token)| {
        scheme.eq_ignore_ascii_case(b"bearer ") && !token.trim_ascii().is_empty()
    })
}

fn is_allowed(key: Option<&ApiKey>, task: &Task) -> bool {
    key.is_none_or(|key| may_use(key, task))
}

fn task_document(task: &Task) -> Value {
    json!({
        "id": task.task,
        "object": "model",
        "created": 0,
        "owned_by": "nineteen",
        "endpoint": task.endpoint,
        "price": task.price,
        "context_length": task.context_length(),
        "image_tokens": task.image_tokens,
    })
}

/// Describes an alias, with the highest prices, also of images, and the shortest context of its
/// tasks; returns `None` if none of them is enabled and allowed.
fn alias_document(config: &MarketConfig, key: Option<&ApiKey>, alias: &str) -> Option<Value> {
    let tasks: Vec<_> = config.alias(alias)?.filter(|task| is_allowed(key, task)).collect();
    let first = tasks.first()?;
    let max_prices = |price: Price, task: &&Task| Price {
        input: price.input.max(task.price.input),
        output: price.output.max(task.price.output),
        step: price.step.max(task.price.step),
    };
    Some(json!({
        "id": alias,
        "object": "model",
        "created": 0,
        "owned_by": "nineteen",
        "endpoint": first.endpoint,
        "price": tasks.iter().fold(Price::default(), max_prices),
        "context_length": tasks.iter().filter_map(|task| task.context_length()).min(),
        "image_tokens": tasks.iter().filter_map(|task| task.image_tokens).max(),
        "models": tasks.iter().map(|task| &task.task).collect::<Vec<_>>(),
    }))
}
