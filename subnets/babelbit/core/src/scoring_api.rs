//! Validators' queries of scores from the scoring API (`GET /v1/get_scores`).
//!
//! The signed text is Python's `json.dumps(…, sort_keys=True, separators=(",", ":"))` of
//! [`ScoreQuery::signed`]: `taonet_wire::sorted_json` renders it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::records::ChallengeType;

/// Contests that contribute to weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Contest {
    /// The main contest; queries name it `qualifying`.
    Main,
    /// The arena contest.
    Arena,
}

impl Contest {
    /// Returns the name of the contest in a query.
    pub const fn query_name(self) -> &'static str {
        match self {
            Self::Main => "qualifying",
            Self::Arena => "arena",
        }
    }

    /// Parses a query's contest; `None` if the name is unknown.
    pub fn from_query_name(name: &str) -> Option<Self> {
        [Self::Main, Self::Arena].into_iter().find(|contest| contest.query_name() == name)
    }

    /// Parses a row's contest: `main`, `arena` and their older names. Any other text, including
    /// `qualifying`, gives `None`.
    pub fn from_row_name(name: &str) -> Option<Self> {
        match name.parse() {
            Ok(ChallengeType::Main) => Some(Self::Main),
            Ok(ChallengeType::Arena) => Some(Self::Arena),
            _ => None,
        }
    }
}

/// Query of `GET /v1/get_scores`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoreQuery {
    /// Hotkey of the caller.
    pub hotkey: String,
    /// Time of signing in seconds since the Unix epoch.
    pub timestamp: i64,
    /// sr25519 signature over the text of [`ScoreQuery::signed`]: lowercase hex without `0x`.
    pub signature: String,
    /// ID of the challenge.
    pub challenge_uid: String,
    /// Name of the contest, from [`Contest::query_name`]; `None` requests the rows of all contests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge_type: Option<String>,
}

impl ScoreQuery {
    /// Returns the object to sign. The object names the contest only for the arena.
    pub fn signed(&self) -> Value {
        let mut data = json!({ "challenge_uid": self.challenge_uid });
        let mut signed = json!({ "challenge_id": self.challenge_uid, "hotkey": self.hotkey, "timestamp": self.timestamp });
        let arena = Contest::Arena.query_name();
        if self.challenge_type.as_deref() == Some(arena) {
            set(&mut data, "challenge_type", arena.into());
            set(&mut signed, "challenge_type", arena.into());
        }
        set(&mut signed, "data", data);
        signed
    }
}

fn set(object: &mut Value, key: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(key.to_owned(), value);
    }
}

/// Response to `GET /v1/get_scores`, as written by our scoring API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoresResponse {
    /// One row per miner and contest, best first.
    pub scores: Vec<ScoreRow>,
}

/// A miner's score in one contest, as written by our scoring API. Validators also accept other
/// formats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoreRow {
    /// Hotkey of the miner.
    pub miner_hotkey: String,
    /// Uid of the miner, if known.
    pub miner_uid: Option<u16>,
    /// ID of the challenge.
    pub challenge_uid: String,
    /// Contest, `main` or `arena`.
    pub challenge_type: ChallengeType,
    /// Aggregate of all validators' scores.
    pub challenge_mean_score: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns: requested contest · signed text
    #[test]
    fn signed_query_names_only_the_arena() {
        let without_arena = json!({
            "challenge_id": "c", "data": { "challenge_uid": "c" }, "hotkey": "5H", "timestamp": 7
        });
        let arena = json!({
            "challenge_id": "c", "challenge_type": "arena", "data": { "challenge_type": "arena", "challenge_uid": "c" },
            "hotkey": "5H", "timestamp": 7,
        });
        for (challenge_type, signed) in
            [(None, &without_arena), (Some("qualifying"), &without_arena), (Some("arena"), &arena)]
        {
            let query = ScoreQuery {
                hotkey: "5H".into(),
                timestamp: 7,
                signature: String::new(),
                challenge_uid: "c".into(),
                challenge_type: challenge_type.map(str::to_owned),
            };
            assert_eq!(query.signed(), *signed, "{challenge_type:?}");
        }
    }

    /// Columns: name · contest of a row · contest of a query
    #[test]
    fn contest_names_of_rows_and_queries_are_parsed() {
        for (name, in_row, in_query) in [
            ("main", Some(Contest::Main), None),
            ("round1", Some(Contest::Main), None),
            ("arena", Some(Contest::Arena), Some(Contest::Arena)),
            ("round2", Some(Contest::Arena), None),
            ("qualifying", None, Some(Contest::Main)),
            ("solo", None, None),
            ("", None, None),
        ] {
            assert_eq!(Contest::from_row_name(name), in_row, "{name}");
            assert_eq!(Contest::from_query_name(name), in_query, "{name}");
        }
    }
}
