use serde::{Deserialize, Serialize};

/// An interval of integers, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Range {
    /// The smallest value of the interval.
    pub low: i64,
    /// The largest value of the interval.
    pub high: i64,
}

impl Range {
    /// Creates an interval; `None` if `low` exceeds `high`.
    pub fn new(low: i64, high: i64) -> Option<Self> {
        (low <= high).then_some(Self { low, high })
    }

    /// Creates an interval of a single value.
    pub const fn only(value: i64) -> Self {
        Self { low: value, high: value }
    }

    /// Returns whether the value lies in the interval.
    pub fn contains(&self, value: i64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// Returns the smallest interval that contains both intervals.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    /// Returns the smallest interval that contains the interval and 0, as which padding reads.
    #[must_use]
    pub fn with_zero(&self) -> Self {
        self.union(&Self::only(0))
    }

    /// Returns the interval of all sums of one value from each interval; `None` on overflow.
    pub fn plus(&self, other: &Self) -> Option<Self> {
        Some(Self {
            low: self.low.checked_add(other.low)?,
            high: self.high.checked_add(other.high)?,
        })
    }

    /// Returns the interval of all products of a value of this interval and `factor`; `None` on
    /// overflow.
    pub fn times(&self, factor: i64) -> Option<Self> {
        let (a, b) = (self.low.checked_mul(factor)?, self.high.checked_mul(factor)?);
        Some(Self { low: a.min(b), high: a.max(b) })
    }

    /// Returns the largest absolute value in the interval.
    pub fn magnitude(&self) -> u64 {
        self.low.unsigned_abs().max(self.high.unsigned_abs())
    }
}
