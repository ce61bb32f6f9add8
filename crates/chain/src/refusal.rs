use serde::{Deserialize, Serialize};

/// Why a transaction pool refuses an extrinsic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefusalReason {
    /// The signature is invalid: made with the wrong key, or for a different call, chain or runtime
    /// version.
    #[error("the signature does not match this call on this chain")]
    BadSignature,
    /// The nonce is already used.
    #[error("the nonce is already used")]
    Stale,
    /// The nonce is higher than the account's next nonce.
    #[error("the nonce is higher than the account's next nonce")]
    Future,
    /// The era ended, or its birth block is not on this chain.
    #[error("the era has expired")]
    AncientBirthBlock,
    /// The account cannot pay the fee.
    #[error("the account cannot pay the fee")]
    Payment,
    /// A custom check in the runtime's transaction extensions refused the extrinsic.
    #[error("{text} (custom error {code})")]
    Custom {
        /// The code of the check.
        code: u8,
        /// The meaning of the code.
        text: String,
    },
    /// The node has banned the extrinsic temporarily after an earlier refusal.
    #[error("the node has banned the extrinsic temporarily")]
    Banned,
    /// Another extrinsic with the same nonce and at least the same tip is in the pool.
    #[error(
        "another extrinsic with the same nonce is in the pool; hint: wait for it, or offer a higher tip"
    )]
    LowPriority,
    /// The bytes do not decode as an extrinsic of this runtime.
    #[error("the node cannot decode the extrinsic: {message}")]
    Unreadable {
        /// The node's message.
        message: String,
    },
    /// Any other refusal.
    #[error("the node refused the extrinsic: {message} (code {code})")]
    Other {
        /// The JSON-RPC error code.
        code: i32,
        /// The node's message.
        message: String,
    },
}

/// JSON-RPC error code: the runtime refuses the extrinsic as invalid.
const INVALID_TRANSACTION: i32 = 1010;

impl RefusalReason {
    /// Parses a JSON-RPC error of `author_submitExtrinsic`.
    pub fn from_rpc_error(code: i32, message: &str, data: Option<&str>) -> Self {
        let data = data.unwrap_or_default();
        match code {
            INVALID_TRANSACTION => Self::from_validity_text(data)
                .unwrap_or_else(|| Self::Other { code, message: join_message(message, data) }),
            1012 => Self::Banned,
            1014 => Self::LowPriority,
            1001 => Self::Unreadable { message: join_message(message, data) },
            _ => Self::Other { code, message: join_message(message, data) },
        }
    }

    /// Whether the extrinsic itself is invalid, for every pool and permanently. [`Self::Stale`]
    /// does not count: the same extrinsic may already have used the nonce.
    pub(crate) fn is_permanent(&self) -> bool {
        match self {
            Self::Stale | Self::Banned | Self::LowPriority => false,
            Self::Other { code, .. } => *code == INVALID_TRANSACTION,
            _ => true,
        }
    }

    fn from_validity_text(data: &str) -> Option<Self> {
        if let Some(code) = data.split("Custom error: ").nth(1) {
            let code = code.trim().parse().ok()?;
            return Some(Self::custom(code));
        }
        Some(match data {
            "Transaction has a bad signature" => Self::BadSignature,
            "Transaction is outdated" => Self::Stale,
            "Transaction will be valid in the future" => Self::Future,
            "Transaction has an ancient birth block" => Self::AncientBirthBlock,
            data if data.starts_with("Inability to pay some fees") => Self::Payment,
            _ => return None,
        })
    }

    /// Creates the refusal for a custom error code of the runtime.
    pub fn custom(code: u8) -> Self {
        let text = CUSTOM_ERROR_MEANINGS
            .get(usize::from(code))
            .copied()
            .unwrap_or("refused by the runtime");
        Self::Custom { code, text: text.to_owned() }
    }
}

fn join_message(message: &str, data: &str) -> String {
    if data.is_empty() { message.to_owned() } else { format!("{message}: {data}") }
}

/// The meanings of Subtensor's custom transaction errors, by code.
const CUSTOM_ERROR_MEANINGS: [&str; 28] = [
    "a coldkey swap is announced",
    "the amount, or the stake for setting weights, is too low",
    "the balance is too low",
    "the subnet does not exist",
    "the hotkey account does not exist",
    "not enough stake to withdraw",
    "the rate limit is exceeded",
    "not enough liquidity in the pool",
    "slippage is too high: the price moved beyond the limit",
    "stake transfers are disabled on this subnet",
    "the hotkey is not registered on this subnet",
    "the IP address is invalid",
    "the rate limit for serving is exceeded",
    "the port is invalid",
    "the maximum amount is zero",
    "the reveal round is in the past",
    "the commit does not exist",
    "the commit is outside its reveal window",
    "the lists differ in length",
    "the uid does not exist",
    "the rate limit for EVM association is exceeded",
    "the coldkey swap is disputed",
    "the real account is invalid",
    "the shielded extrinsic is malformed",
    "the shielded extrinsic is encrypted to another key",
    "the coldkey is not associated with the hotkey",
    "the delegate take is too low",
    "the delegate take is too high",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pool_errors_map_to_reasons() {
        use RefusalReason as R;
        let table = [
            (1010, "Invalid Transaction", Some("Transaction has a bad signature"), R::BadSignature),
            (1010, "Invalid Transaction", Some("Transaction is outdated"), R::Stale),
            (
                1010,
                "Invalid Transaction",
                Some("Transaction has an ancient birth block"),
                R::AncientBirthBlock,
            ),
            (
                1010,
                "Invalid Transaction",
                Some("Inability to pay some fees (e.g. account balance too low)"),
                R::Payment,
            ),
            (1010, "Invalid Transaction", Some("Custom error: 6"), R::custom(6)),
            (1010, "Invalid Transaction", Some("Custom error: 255"), R::custom(255)),
            (
                1010,
                "Invalid Transaction",
                Some("Custom error: 256"),
                R::Other { code: 1010, message: "Invalid Transaction: Custom error: 256".into() },
            ),
            (1012, "Transaction is temporarily banned", None, R::Banned),
            (1014, "Priority is too low: (1 vs 1)", None, R::LowPriority),
            (
                1001,
                "Extrinsic has invalid format",
                None,
                R::Unreadable { message: "Extrinsic has invalid format".into() },
            ),
            (
                -32000,
                "boom",
                Some("\"x\""),
                R::Other { code: -32000, message: "boom: \"x\"".into() },
            ),
        ];
        for (code, message, data, expected) in table {
            let reason = RefusalReason::from_rpc_error(code, message, data);
            assert_eq!(reason, expected);
            let is_permanent = matches!(code, 1001 | 1010) && reason != R::Stale;
            assert_eq!(reason.is_permanent(), is_permanent, "{reason}");
        }
        for code in [1002, 1011, 1016, 1018, -32603] {
            assert!(
                !RefusalReason::from_rpc_error(code, "for the moment", None).is_permanent(),
                "{code}"
            );
        }
        assert_eq!(R::custom(6).to_string(), "the rate limit is exceeded (custom error 6)");
        assert_eq!(R::custom(255).to_string(), "refused by the runtime (custom error 255)");
    }
}
