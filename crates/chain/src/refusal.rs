use serde::{Deserialize, Serialize};

/// Why a transaction pool refuses an extrinsic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefusedBecause {
    /// The signature does not match: another key, other bytes, another chain or another runtime version.
    #[error("the signature is not of this call on this chain")]
    BadSignature,
    /// The nonce is already used.
    #[error("its nonce was used before")]
    Stale,
    /// The nonce is higher than the account's next nonce.
    #[error("its nonce is ahead of the account's")]
    Future,
    /// The era ended, or its birth block is not on this chain.
    #[error("its era has ended")]
    AncientBirthBlock,
    /// The account cannot pay the fee.
    #[error("the account cannot pay the fee")]
    Payment,
    /// A check of the runtime's own transaction extension refused it.
    #[error("{text} (custom error {code})")]
    Custom {
        /// The code of the check.
        code: u8,
        /// The meaning of the code.
        text: String,
    },
    /// The node refused it recently and ignores it for some time.
    #[error("the node banned it for some time")]
    Banned,
    /// Another extrinsic with the same nonce and at least the same tip is in the pool.
    #[error("another extrinsic with the same nonce is in the pool: wait for it, or give a higher tip")]
    LowPriority,
    /// The bytes do not decode as an extrinsic of this runtime.
    #[error("the node cannot read it: {message}")]
    Unreadable {
        /// The node's message.
        message: String,
    },
    /// Any other refusal.
    #[error("the node refuses it: {message} (code {code})")]
    Other {
        /// The JSON-RPC error code.
        code: i32,
        /// The node's message.
        message: String,
    },
}

/// JSON-RPC error code: the runtime refuses the extrinsic as invalid.
const INVALID: i32 = 1010;

impl RefusedBecause {
    /// Parses a JSON-RPC error of `author_submitExtrinsic`.
    pub fn of_rpc_error(code: i32, message: &str, data: Option<&str>) -> Self {
        let data = data.unwrap_or_default();
        match code {
            INVALID => Self::of_validity(data).unwrap_or_else(|| Self::Other { code, message: said(message, data) }),
            1012 => Self::Banned,
            1014 => Self::LowPriority,
            1001 => Self::Unreadable { message: said(message, data) },
            _ => Self::Other { code, message: said(message, data) },
        }
    }

    /// Whether the refusal is about the bytes themselves, and not about one pool or a passing state. A used nonce is no
    /// such verdict: these very bytes may have used it.
    pub fn is_verdict(&self) -> bool {
        match self {
            Self::Stale | Self::Banned | Self::LowPriority => false,
            Self::Other { code, .. } => *code == INVALID,
            _ => true,
        }
    }

    fn of_validity(data: &str) -> Option<Self> {
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

    /// The refusal for a code of the runtime's own check.
    pub fn custom(code: u8) -> Self {
        let text = CUSTOM.get(usize::from(code)).copied().unwrap_or("refused by the runtime");
        Self::Custom { code, text: text.to_owned() }
    }
}

fn said(message: &str, data: &str) -> String {
    if data.is_empty() { message.to_owned() } else { format!("{message}: {data}") }
}

/// The meanings of Subtensor's pool checks, by code.
const CUSTOM: [&str; 28] = [
    "a swap of this coldkey is announced",
    "the amount, or the stake for setting weights, is too low",
    "the balance is too low",
    "there is no such subnet",
    "there is no such hotkey account",
    "there is not enough stake to take out",
    "the rate limit is not over yet",
    "the pool has not enough liquidity",
    "the price moved beyond the limit",
    "this subnet does not allow transfers of stake",
    "the hotkey is registered on no network",
    "the IP address cannot be served",
    "the rate limit of serving is not over yet",
    "the port cannot be served",
    "the largest amount is zero",
    "the reveal round is in the past",
    "there is no such commit",
    "the commit is outside its window for revealing",
    "the lists differ in length",
    "there is no such uid",
    "the rate limit of EVM association is not over yet",
    "the swap of this coldkey is disputed",
    "the real account is not valid",
    "the shielded extrinsic cannot be read",
    "the shielded extrinsic is for another key",
    "the coldkey is not associated with the hotkey",
    "the take is too low",
    "the take is too high",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_says_why() {
        use RefusedBecause as R;
        let table = [
            (1010, "Invalid Transaction", Some("Transaction has a bad signature"), R::BadSignature),
            (1010, "Invalid Transaction", Some("Transaction is outdated"), R::Stale),
            (1010, "Invalid Transaction", Some("Transaction has an ancient birth block"), R::AncientBirthBlock),
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
            (-32000, "boom", Some("\"x\""), R::Other { code: -32000, message: "boom: \"x\"".into() }),
        ];
        for (code, message, data, expected) in table {
            let because = RefusedBecause::of_rpc_error(code, message, data);
            assert_eq!(because, expected);
            let is_verdict = matches!(code, 1001 | 1010) && because != R::Stale;
            assert_eq!(because.is_verdict(), is_verdict, "{because}");
        }
        for code in [1002, 1011, 1016, 1018, -32603] {
            assert!(!RefusedBecause::of_rpc_error(code, "for the moment", None).is_verdict(), "{code}");
        }
        assert_eq!(R::custom(6).to_string(), "the rate limit is not over yet (custom error 6)");
        assert_eq!(R::custom(255).to_string(), "refused by the runtime (custom error 255)");
    }
}
