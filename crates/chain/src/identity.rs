use serde::{Deserialize, Serialize};
use taonet_primitives::{BlockHash, BlockNumber};

/// The identity that a coldkey publishes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Identity {
    /// The name.
    pub name: String,
    /// The website.
    pub url: String,
    /// The source repository.
    pub github_repo: String,
    /// The URL of the logo.
    pub image: String,
    /// The Discord contact.
    pub discord: String,
    /// The description.
    pub description: String,
    /// Further information.
    pub additional: String,
}

impl Identity {
    /// Returns the fields with their names, in the chain's order.
    pub fn fields(&self) -> [(&'static str, &str); 7] {
        [
            ("name", &self.name),
            ("url", &self.url),
            ("github_repo", &self.github_repo),
            ("image", &self.image),
            ("discord", &self.discord),
            ("description", &self.description),
            ("additional", &self.additional),
        ]
    }
}

/// An announced swap of a coldkey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColdkeySwap {
    /// The BLAKE2b-256 hash of the new coldkey.
    pub new_coldkey_hash: BlockHash,
    /// The first block that can execute the swap.
    pub due: BlockNumber,
    /// The block of the dispute; `None` if the swap is not disputed.
    pub disputed: Option<BlockNumber>,
    /// The first block in which the announcement can be replaced or withdrawn.
    pub replaceable: BlockNumber,
}
