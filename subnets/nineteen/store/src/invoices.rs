//! Invoices: usage, grants and deposits of an API key in a calendar month.

use std::fmt::Write as _;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;
use taonet_database::statement;

use crate::topups::Deposit;
use crate::{ApiKey, Store, StoreError, UsageRow};

/// A calendar month in UTC, such as `2026-11`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Month {
    year: i16,
    /// From 1 to 12.
    month: i8,
}

/// The text is not a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a month such as 2026-11")]
pub struct MonthError;

impl std::str::FromStr for Month {
    type Err = MonthError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (year, month) = text.split_once('-').ok_or(MonthError)?;
        let is_decimal =
            [year, month].iter().all(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        if !is_decimal || year.len() != 4 || month.len() != 2 {
            return Err(MonthError);
        }
        let (year, month) =
            (year.parse().map_err(|_| MonthError)?, month.parse().map_err(|_| MonthError)?);
        let is_valid = (1970..=9999).contains(&year) && (1..=12).contains(&month);
        if is_valid { Ok(Self { year, month }) } else { Err(MonthError) }
    }
}

impl std::fmt::Display for Month {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl Month {
    /// Returns the beginning of the month, in milliseconds since the Unix epoch; `i64::MAX` after
    /// the year 9999.
    fn start_ms(self) -> i64 {
        let start =
            Date::new(self.year, self.month, 1).and_then(|first| first.to_zoned(TimeZone::UTC));
        start.map_or(i64::MAX, |start| start.timestamp().as_millisecond())
    }

    fn next(self) -> Self {
        if self.month == 12 {
            Self { year: self.year.saturating_add(1), month: 1 }
        } else {
            Self { month: self.month + 1, ..self }
        }
    }
}

/// Usage of a model in the month of an invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InvoiceLine {
    /// Name of the task.
    pub model: String,
    /// Number of requests.
    pub requests: i64,
    /// Number of input tokens.
    pub input_tokens: i64,
    /// Number of output tokens.
    pub output_tokens: i64,
    /// Credits charged.
    pub charged: i64,
}

/// Credits that an operator has granted, or withdrawn if negative.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InvoiceGrant {
    /// Reason of the grant.
    pub reason: String,
    /// Number of credits.
    pub credits: i64,
    /// Time of the grant, in milliseconds since the Unix epoch.
    pub granted_ms: i64,
}

/// Usage and grants of an API key in a calendar month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Invoice {
    /// ID of the API key.
    pub key_id: String,
    /// Display name of the API key.
    pub name: String,
    /// The month in UTC, such as `2026-11`.
    pub month: String,
    /// Usage by model.
    pub lines: Vec<InvoiceLine>,
    /// Sum of the charged credits.
    pub charged: i64,
    /// Grants of the operator.
    pub grants: Vec<InvoiceGrant>,
    /// Transfers of TAO whose credits the key has received in the month.
    pub deposits: Vec<Deposit>,
}

impl Invoice {
    /// Formats the usage, the grants and the transfers of TAO as CSV with a header row. Times are
    /// in seconds since the Unix epoch. Grants have no reasons, which are the operator's notes.
    pub fn to_csv(&self) -> String {
        let mut csv =
            "month,key,name,type,model,requests,input_tokens,output_tokens,time,amount_rao,credits\n".to_owned();
        let row_start = format!("{},{},{}", self.month, self.key_id, csv_field(&self.name));
        for InvoiceLine { model, requests, input_tokens, output_tokens, charged } in &self.lines {
            let _ = writeln!(
                csv,
                "{row_start},usage,{model},{requests},{input_tokens},{output_tokens},,,{charged}"
            );
        }
        for InvoiceGrant { credits, granted_ms, .. } in &self.grants {
            let _ = writeln!(csv, "{row_start},grant,,,,,{},,{credits}", granted_ms / 1_000);
        }
        for Deposit { amount_rao, credits, credited_ms, .. } in &self.deposits {
            let (time, rao) = (credited_ms.unwrap_or_default() / 1_000, amount_rao.get());
            let _ = writeln!(csv, "{row_start},deposit,,,,,{time},{rao},{credits}");
        }
        csv
    }
}

/// Formats usage as CSV with a header row.
pub fn usage_csv(rows: &[UsageRow]) -> String {
    let mut csv = "day,key,model,requests,input_tokens,output_tokens,credits\n".to_owned();
    for UsageRow { key_id, day, model, requests, input_tokens, output_tokens, charged } in rows {
        let _ = writeln!(
            csv,
            "{day},{key_id},{model},{requests},{input_tokens},{output_tokens},{charged}"
        );
    }
    csv
}

/// Quotes a text for CSV if necessary. A text that a spreadsheet would take for a formula begins
/// with an apostrophe.
fn csv_field(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

impl Store {
    /// Returns the invoice of an API key for a month; `None` if the key is unknown.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn invoice(&self, key: &str, month: Month) -> Result<Option<Invoice>, StoreError> {
        let Some(ApiKey { id: key_id, terms, .. }) = self.key(key).await? else { return Ok(None) };
        let rows = statement(
            "SELECT model, CAST(SUM(requests) AS BIGINT) AS requests, CAST(SUM(input_tokens) AS BIGINT) AS input_tokens,
             CAST(SUM(output_tokens) AS BIGINT) AS output_tokens, CAST(SUM(charged) AS BIGINT) AS charged
             FROM usage_day WHERE key_id = $1 AND day LIKE $2 || '-%' GROUP BY model",
        );
        let mut lines = Vec::new();
        for row in rows.bind(key).bind(month.to_string()).rows(&self.database).await? {
            lines.push(InvoiceLine {
                model: row.get("model")?,
                requests: row.get("requests")?,
                input_tokens: row.get("input_tokens")?,
                output_tokens: row.get("output_tokens")?,
                charged: row.get("charged")?,
            });
        }
        // PostgreSQL sorts strings by its locale.
        lines.sort_by(|one, other| one.model.cmp(&other.model));
        let (start_ms, end_ms) = (month.start_ms(), month.next().start_ms());
        let rows = statement(
            "SELECT transfer.reference AS reference, transfer.created_ms AS created_ms, posting.amount AS amount
             FROM posting JOIN transfer ON transfer.id = posting.transfer_id
             WHERE posting.account = 'key:' || $1 AND transfer.kind = 'grant'
             AND transfer.created_ms >= $2 AND transfer.created_ms < $3 ORDER BY transfer.created_ms, transfer.id",
        );
        let mut grants = Vec::new();
        for row in rows.bind(key).bind(start_ms).bind(end_ms).rows(&self.database).await? {
            let (reason, credits) = (row.get("reference")?, row.get("amount")?);
            grants.push(InvoiceGrant { reason, credits, granted_ms: row.get("created_ms")? });
        }
        let deposits = self.deposits_credited(key, start_ms, end_ms).await?;
        let charged = lines.iter().fold(0_i64, |sum, line| sum.saturating_add(line.charged));
        let (name, month) = (terms.name, month.to_string());
        Ok(Some(Invoice { key_id, name, month, lines, charged, grants, deposits }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_begin_at_midnight_in_utc() {
        let start = |text: &str| text.parse::<Month>().unwrap().start_ms();
        assert_eq!(start("1970-01"), 0);
        assert_eq!(start("2000-03"), 951_868_800_000);
        assert_eq!(start("2024-02"), 1_706_745_600_000);
        assert_eq!(start("2024-03"), 1_709_251_200_000);
        assert_eq!(start("2026-11"), 1_793_491_200_000);
        assert_eq!("2026-12".parse::<Month>().unwrap().next().to_string(), "2027-01");
        assert_eq!("2026-09".parse::<Month>().unwrap().next().to_string(), "2026-10");
        for text in [
            "",
            "2026",
            "2026-13",
            "2026-00",
            "26-11",
            "2026-1",
            "2026-11-01",
            "+026-11",
            "1969-12",
            "2026-é",
        ] {
            assert!(text.parse::<Month>().is_err(), "{text}");
        }
    }

    #[test]
    fn texts_are_quoted_for_spreadsheets() {
        for (text, field) in [
            ("shop", "shop"),
            ("a, b", "\"a, b\""),
            ("a \"b\"", "\"a \"\"b\"\"\""),
            ("=1+2", "'=1+2"),
            ("-x,y", "\"'-x,y\""),
        ] {
            assert_eq!(csv_field(text), field);
        }
    }
}
