//! A buyer's own API key: limits, credits, usage and top-ups.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Json, Response};
use serde_json::json;
use taonet_nineteen_store::{BudgetUse, Deposit};

use crate::bill::today;
use crate::{Gateway, GatewayError};

/// Handler of `GET /v1/key`: name, limits and credits of the request's API key.
pub(crate) async fn key(State(gateway): State<Gateway>, headers: HeaderMap) -> Result<Response, GatewayError> {
    let key = gateway.key(&headers).await?;
    let (_, today) = today(&gateway.0.clock);
    let budgets = gateway.0.store.budget_uses(Some(&key.id), &today).await?;
    let budget =
        |used: &BudgetUse| json!({"period": used.period.to_string(), "budget": used.budget, "spent": used.spent});
    let document = json!({
        "object": "key",
        "id": key.id,
        "name": key.terms.name,
        "balance": key.balance,
        "rate_per_minute": key.terms.rate_per_minute,
        "tokens_per_minute": key.terms.tokens_per_minute,
        "models": key.terms.models,
        "monthly_budget": key.terms.monthly_budget,
        "daily_budget": key.terms.daily_budget,
        "budgets": budgets.iter().map(budget).collect::<Vec<_>>(),
        "weight": key.terms.weight,
        "created": key.created_ms / 1_000,
        "expires": key.terms.expires_ms.map(|expires_ms| expires_ms / 1_000),
    });
    Ok(Json(document).into_response())
}

/// Handler of `GET /v1/usage`: usage of the request's API key by day and model.
pub(crate) async fn usage(State(gateway): State<Gateway>, headers: HeaderMap) -> Result<Response, GatewayError> {
    let key = gateway.key(&headers).await?;
    let rows = gateway.0.store.usage(Some(&key.id)).await?;
    let row = |row: taonet_nineteen_store::UsageRow| {
        json!({
            "day": row.day,
            "model": row.model,
            "requests": row.requests,
            "input_tokens": row.input_tokens,
            "output_tokens": row.output_tokens,
            "charged": row.charged,
        })
    };
    let data: Vec<_> = rows.into_iter().map(row).collect();
    Ok(Json(json!({"object": "list", "data": data})).into_response())
}

/// Handler of `GET /v1/topup`: address to which TAO for the request's API key is sent, price, and transfers so far.
pub(crate) async fn topup(State(gateway): State<Gateway>, headers: HeaderMap) -> Result<Response, GatewayError> {
    let key = gateway.key(&headers).await?;
    let store = &gateway.0.store;
    let topups = store.topups().await?.filter(|topups| topups.is_enabled).ok_or(GatewayError::NoTopUps)?;
    let found = store.deposit_address(&key.id).await?.ok_or(GatewayError::Key)?;
    let deposits = store.deposits(Some(&key.id)).await?;
    let deposit = |deposit: &Deposit| {
        json!({
            "block": deposit.block,
            "block_hash": deposit.block_hash,
            "event": deposit.event,
            "from": deposit.from,
            "amount_rao": deposit.amount_rao,
            "credits": deposit.credits,
            "recorded": deposit.recorded_ms / 1_000,
        })
    };
    let document = json!({
        "object": "topup",
        "address": found.address,
        "rao_per_credit": topups.terms.rao_per_credit,
        "balance": key.balance,
        "deposits": deposits.iter().map(deposit).collect::<Vec<_>>(),
    });
    Ok(Json(document).into_response())
}
