//! Why something is not as on the real chain.

use crate::items::{Item, Kind};

/// Items that differ for one reason.
#[derive(Debug)]
pub(crate) struct Explanation {
    place: &'static str,
    kind: Kind,
    /// Empty for all.
    names: &'static [&'static str],
    pub(crate) reason: &'static str,
}

impl Explanation {
    pub(crate) fn fits(&self, item: &Item) -> bool {
        self.place == item.place
            && self.kind == item.kind
            && (self.names.is_empty() || self.names.contains(&item.name.as_str()))
    }
}

/// All of them. One that nothing needs fails the test.
pub(crate) const EXPLANATIONS: &[Explanation] = &[];
