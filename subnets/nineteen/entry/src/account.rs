//! A buyer's own API key: limits, credits, usage, invoices and top-ups.

use axum::extract::{Path, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse as _, Json, Response};
use serde_json::{Value, json};
use taonet_nineteen_store::{
    ApiKey, BudgetScope, BudgetUse, Deposit, InvoiceGrant, Month, MonthError, UsageRow, usage_csv,
};
use taonet_primitives::BlockNumber;

use crate::bill::{now_ms, utc_day};
use crate::{Gateway, GatewayError};

/// Maximum number of transfers in one document.
const MAX_TRANSFERS: u32 = 100;

impl Gateway {
    /// Authenticates a request for a document of its API key, subject to the rate limit of reads.
    async fn authenticate_read(&self, headers: &HeaderMap) -> Result<ApiKey, GatewayError> {
        let key = self.authenticate(headers).await?;
        self.0.rate_limiter.admit_read(&key, (self.0.clock)())?;
        Ok(key)
    }
}

/// Handler of `GET /v1/key`: name, limits and credits of the request's API key.
pub(crate) async fn key(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
) -> Result<Response, GatewayError> {
    let key = gateway.authenticate_read(&headers).await?;
    let today = utc_day(now_ms(&gateway.0.clock));
    let budget_uses = gateway.0.store.budget_uses(Some(&key.id), &today).await?;
    let budgets = |scope| budget_documents(&budget_uses, scope);
    let team = key
        .terms
        .team
        .as_ref()
        .map(|name| json!({"name": name, "budgets": budgets(BudgetScope::Team)}));
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
        "budgets": budgets(BudgetScope::Key),
        "team": team,
        "weight": key.terms.weight,
        "log_requests": key.terms.log_requests,
        "created": key.created_ms / 1_000,
        "expires": key.terms.expires_ms.map(|expires_ms| expires_ms / 1_000),
    });
    Ok(Json(document).into_response())
}

/// Describes the budgets of a key or of its team, with the spent credits.
fn budget_documents(budget_uses: &[BudgetUse], scope: BudgetScope) -> Vec<Value> {
    let document = |budget_use: &BudgetUse| json!({"period": budget_use.period.to_string(), "budget": budget_use.budget, "spent": budget_use.spent});
    budget_uses.iter().filter(|budget_use| budget_use.scope == scope).map(document).collect()
}

/// Handler of `GET /v1/usage`: usage of the request's API key by day and model.
pub(crate) async fn usage(
    State(gateway): State<Gateway>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, GatewayError> {
    let key = gateway.authenticate_read(&headers).await?;
    let format = Format::from_uri(&uri)?;
    let rows = gateway.0.store.usage(Some(&key.id)).await?;
    if format == Format::Csv {
        return Ok(csv_download("usage.csv", usage_csv(&rows)));
    }
    let row = |row: UsageRow| {
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

/// Handler of `GET /v1/invoices/{month}`: usage, grants and deposits of the request's API key in a
/// month.
pub(crate) async fn invoice(
    State(gateway): State<Gateway>,
    Path(month): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, GatewayError> {
    let key = gateway.authenticate_read(&headers).await?;
    let format = Format::from_uri(&uri)?;
    let month: Month = month
        .parse()
        .map_err(|error: MonthError| GatewayError::field("month", error.to_string()))?;
    let invoice = gateway.0.store.invoice(&key.id, month).await?.ok_or(GatewayError::UnknownKey)?;
    if format == Format::Csv {
        return Ok(csv_download(&format!("invoice-{month}.csv"), invoice.to_csv()));
    }
    // The reasons of grants are the operator's notes.
    let grant = |grant: &InvoiceGrant| json!({"credits": grant.credits, "granted": grant.granted_ms / 1_000});
    let document = json!({
        "object": "invoice",
        "key_id": invoice.key_id,
        "name": invoice.name,
        "month": invoice.month,
        "lines": invoice.lines,
        "charged": invoice.charged,
        "grants": invoice.grants.iter().map(grant).collect::<Vec<_>>(),
        "deposits": invoice.deposits.iter().map(deposit_document).collect::<Vec<_>>(),
    });
    Ok(Json(document).into_response())
}

/// Format of a document, in the parameter `format` of the URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Csv,
}

impl Format {
    fn from_uri(uri: &Uri) -> Result<Self, GatewayError> {
        match query_parameter(uri, "format") {
            None | Some("json") => Ok(Self::Json),
            Some("csv") => Ok(Self::Csv),
            Some(_) => Err(GatewayError::field("format", "format must be json or csv")),
        }
    }
}

/// Returns the value of a parameter of the URL.
fn query_parameter<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    let parameters = uri.query().unwrap_or_default().split('&');
    parameters.filter_map(|parameter| parameter.strip_prefix(name)?.strip_prefix('=')).next_back()
}

/// Reads the block and the event before which transfers are listed, such as `7654321-12`.
fn parse_before(uri: &Uri) -> Result<Option<(BlockNumber, u32)>, GatewayError> {
    let Some(value) = query_parameter(uri, "before") else { return Ok(None) };
    let cursor = value
        .split_once('-')
        .and_then(|(block, event)| Some((block.parse().ok()?, event.parse().ok()?)));
    let cursor: (u32, u32) = cursor.ok_or_else(|| {
        GatewayError::field("before", "before must be BLOCK-EVENT, such as 7654321-12")
    })?;
    Ok(Some((BlockNumber::new(cursor.0), cursor.1)))
}

/// Returns a CSV document as a download.
fn csv_download(name: &str, text: String) -> Response {
    let disposition = format!("attachment; filename=\"{name}\"");
    (
        [(CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (CONTENT_DISPOSITION, disposition)],
        text,
    )
        .into_response()
}

/// Describes a transfer to the buyer.
fn deposit_document(deposit: &Deposit) -> Value {
    json!({
        "block": deposit.block,
        "block_hash": deposit.block_hash,
        "event": deposit.event,
        "from": deposit.from,
        "amount_rao": deposit.amount_rao,
        "credits": deposit.credits,
        "recorded": deposit.recorded_ms / 1_000,
    })
}

/// Handler of `GET /v1/topup`: address to which TAO for the request's API key is sent, price, and
/// the newest transfers.
pub(crate) async fn topup(
    State(gateway): State<Gateway>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, GatewayError> {
    let key = gateway.authenticate_read(&headers).await?;
    let before = parse_before(&uri)?;
    let store = &gateway.0.store;
    let topups =
        store.topups().await?.filter(|topups| topups.is_enabled).ok_or(GatewayError::NoTopUps)?;
    let address = store.deposit_address(&key.id).await?.ok_or(GatewayError::UnknownKey)?.address;
    let mut deposits =
        store.latest_deposits(&key.id, before, MAX_TRANSFERS.saturating_add(1)).await?;
    let has_more = deposits.len() > MAX_TRANSFERS as usize;
    deposits.truncate(MAX_TRANSFERS as usize);
    let document = json!({
        "object": "topup",
        "address": address,
        "rao_per_credit": topups.terms.rao_per_credit,
        "balance": key.balance,
        "deposits": deposits.iter().map(deposit_document).collect::<Vec<_>>(),
        "has_more": has_more,
    });
    Ok(Json(document).into_response())
}
