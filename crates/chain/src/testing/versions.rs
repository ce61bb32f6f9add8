use taonet_primitives::BlockNumber;

/// The values that a test has set, with the newest block at that time.
#[derive(Debug)]
pub(super) struct Versions<T>(Vec<(BlockNumber, T)>);

impl<T> Default for Versions<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Versions<T> {
    /// Sets the value from a block on.
    pub(super) fn set(&mut self, since: BlockNumber, value: T) {
        self.0.push((since, value));
    }

    /// Returns the value at a block, or the latest value without `block`.
    pub(super) fn at(&self, block: Option<BlockNumber>) -> Option<&T> {
        let version =
            self.0.iter().rev().find(|(since, _)| block.is_none_or(|block| *since <= block));
        version.map(|(_, value)| value)
    }
}
