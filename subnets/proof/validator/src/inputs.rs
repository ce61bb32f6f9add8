//! Random inputs of benchmark requests.
//!
//! Uniform random inputs are unlike those of the sample that a model was compiled with: values of
//! the circuit may saturate, and miners refuse to prove them. Inputs closer to 0 make smaller
//! values, so the range of the next draw is halved after such inputs.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rand::Rng;
use taonet_proof_core::Range;

/// Maximum number of halvings of the range.
const MAX_HALVINGS: u32 = 8;
/// Maximum number of draws for one request, each of which costs an execution: two of each range.
const MAX_DRAWS: u32 = 2 * (MAX_HALVINGS + 1);
/// One in this many accepted draws makes the range of later ones larger again.
const WIDENING: u32 = 16;

/// Draws inputs of one circuit. Remembers the range of those that were accepted, so that most
/// requests need one draw.
#[derive(Debug, Default)]
pub(crate) struct InputDraws {
    halvings: AtomicU32,
    is_exhausted: AtomicBool,
}

impl InputDraws {
    /// Returns whether no inputs were accepted for an earlier request.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.is_exhausted.load(Ordering::Relaxed)
    }

    /// Draws `count` inputs within `range` until `check` accepts them.
    ///
    /// # Errors
    /// When no draw is accepted: the error of the last one.
    pub(crate) fn draw<E>(
        &self,
        count: usize,
        range: Range,
        generator: &mut impl Rng,
        check: impl Fn(&[i64]) -> Result<(), E>,
    ) -> Result<Vec<i64>, E> {
        let mut halvings = self.halvings.load(Ordering::Relaxed);
        let mut draws = 1;
        loop {
            let Range { low, high } = narrowed(range, halvings);
            let inputs: Vec<i64> = (0..count).map(|_| generator.random_range(low..=high)).collect();
            match check(&inputs) {
                Ok(()) => {
                    let widening = u32::from(generator.random_ratio(1, WIDENING));
                    self.halvings.store(halvings.saturating_sub(widening), Ordering::Relaxed);
                    return Ok(inputs);
                }
                Err(error) if draws == MAX_DRAWS => {
                    self.is_exhausted.store(true, Ordering::Relaxed);
                    return Err(error);
                }
                Err(_) => {
                    draws += 1;
                    // Tokens have no order: for those, each draw of the full range is another try.
                    halvings = if halvings < MAX_HALVINGS { halvings + 1 } else { 0 };
                }
            }
        }
    }
}

/// Returns the range, halved this many times around its value closest to 0.
fn narrowed(range: Range, halvings: u32) -> Range {
    let center = 0_i64.clamp(range.low, range.high);
    let halved = |distance: i64| distance >> halvings;
    Range { low: center - halved(center - range.low), high: center + halved(range.high - center) }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    const RANGE: Range = Range { low: -128, high: 127 };

    #[test]
    fn range_is_halved_around_the_value_closest_to_zero() {
        for (range, halvings, expected) in [
            ((-128, 127), 0, (-128, 127)),
            ((-128, 127), 1, (-64, 63)),
            ((-128, 127), MAX_HALVINGS, (0, 0)),
            ((0, 255), 4, (0, 15)),
            ((10, 20), 1, (10, 15)),
            ((-20, -10), 2, (-12, -10)),
            ((5, 5), 0, (5, 5)),
        ] {
            let [range, expected] = [range, expected].map(|(low, high)| Range { low, high });
            assert_eq!(narrowed(range, halvings), expected, "{range:?}, {halvings}");
        }
    }

    /// The first request finds the largest range that is accepted, and later ones need few draws.
    #[test]
    fn inputs_are_drawn_until_they_are_accepted() {
        let (draws, count) = (InputDraws::default(), Cell::new(0_u32));
        let mut generator = StdRng::seed_from_u64(5);
        let mut draw = || {
            let check = |inputs: &[i64]| {
                count.set(count.get() + 1);
                if inputs.iter().all(|value| value.abs() <= 16) { Ok(()) } else { Err(()) }
            };
            draws.draw(100, RANGE, &mut generator, check).unwrap()
        };
        let inputs = draw();
        assert!(inputs.len() == 100 && inputs.iter().any(|value| value.abs() > 8), "{inputs:?}");
        assert_eq!(count.replace(0), 4);
        for _ in 0..160 {
            draw();
        }
        // Each larger range that is tried costs one more draw.
        assert!((160..=200).contains(&count.get()), "{}", count.get());
        assert!(!draws.is_exhausted());
    }

    #[test]
    fn inputs_that_are_never_accepted_are_an_error() {
        let (draws, count) = (InputDraws::default(), Cell::new(0_u32));
        let mut generator = StdRng::seed_from_u64(6);
        let check = |_: &[i64]| {
            count.set(count.get() + 1);
            Err::<(), u32>(count.get())
        };
        assert_eq!(draws.draw(3, RANGE, &mut generator, check), Err(MAX_DRAWS));
        assert!(draws.is_exhausted());
    }
}
