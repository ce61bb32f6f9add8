use thiserror::Error;

/// Memory that a network may take regardless of its size, in bytes: enough for 8 filters and a pool
/// on an image of 128×128.
const BASE_BYTES: u64 = 128 << 20;
/// Further memory for each parameter, in bytes. A convolution applies each weight at every
/// position, and each of these multiply-adds takes 20 to 40 bytes in the fixed columns of `stark`:
/// enough for images of 20×20 and of any depth.
const BYTES_PER_PARAMETER: u64 = 1 << 14;
/// Maximum memory of a network whose parameters take less than that in fixed columns, in bytes.
const MAX_SMALL_NETWORK_BYTES: u64 = 2 << 30;
/// Maximum memory for each parameter of a larger network, in bytes: a weight is a value of a fixed
/// column, which takes 16 bytes, or 32 if as many rows are padding, and a language model has
/// columns for some activations of each weight. A file has at least a byte for each parameter, so
/// its memory stays in proportion to its size.
const MAX_BYTES_PER_WEIGHT: u64 = 80;

/// Memory that a network may take, which depends on the number of its parameters. A few bytes of a
/// file can describe a window of a million values at a million positions: its cost is counted
/// before anything is allocated for it.
///
/// Lowering a network creates its budget, and leaves it in the
/// [`Circuit`](crate::circuit::Circuit). A backend adds the memory of its tables or constraints to
/// a copy, so that both together stay within one limit.
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    parameters: u64,
    limit: u64,
    used: u64,
}

/// A network takes more memory than its number of parameters justifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the network takes at least {needed} bytes of memory, more than the limit of {limit} bytes for {parameters} \
     parameters; hint: use a smaller input, kernel or number of channels"
)]
pub struct MemoryError {
    /// Memory counted so far, in bytes.
    pub needed: u64,
    /// Maximum memory, in bytes.
    pub limit: u64,
    /// Number of weights and biases of the network.
    pub parameters: u64,
}

impl MemoryBudget {
    /// Creates the budget of a network with this number of weights and biases.
    pub fn new(parameters: u64) -> Self {
        let limit = parameters.saturating_mul(BYTES_PER_PARAMETER).saturating_add(BASE_BYTES);
        let limit =
            limit.min(MAX_SMALL_NETWORK_BYTES.max(parameters.saturating_mul(MAX_BYTES_PER_WEIGHT)));
        Self { parameters, limit, used: 0 }
    }

    /// Returns the maximum memory, in bytes.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Returns the memory so far, in bytes.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// Adds memory, in bytes.
    ///
    /// # Errors
    /// When the total exceeds the limit.
    pub fn spend(&mut self, bytes: u64) -> Result<(), MemoryError> {
        self.used = self.used.saturating_add(bytes);
        if self.used <= self.limit {
            return Ok(());
        }
        Err(MemoryError { needed: self.used, limit: self.limit, parameters: self.parameters })
    }
}
