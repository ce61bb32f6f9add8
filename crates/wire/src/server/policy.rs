use std::collections::HashSet;
use std::sync::Arc;

use taonet_primitives::Hotkey;

use crate::Refusal;

/// Who may call, once it is proven who calls.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Policy {
    /// Everyone with a valid signature.
    AllowAll,
    /// These hotkeys only.
    AllowList(Arc<HashSet<Hotkey>>),
}

impl Policy {
    /// Allows these hotkeys only.
    pub fn only(hotkeys: impl IntoIterator<Item = Hotkey>) -> Self {
        Self::AllowList(Arc::new(hotkeys.into_iter().collect()))
    }

    pub(super) fn check(&self, hotkey: &Hotkey) -> Result<(), Refusal> {
        match self {
            Self::AllowList(allowed) if !allowed.contains(hotkey) => Err(Refusal::NotAllowed(*hotkey)),
            Self::AllowList(_) | Self::AllowAll => Ok(()),
        }
    }
}
