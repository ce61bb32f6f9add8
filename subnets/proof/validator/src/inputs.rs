//! Random inputs of benchmark requests.
//!
//! Uniform random inputs are unlike those of the sample that a model was compiled with: values of
//! the circuit may saturate, and miners refuse to prove them. Smaller inputs make smaller values.
//! Tokens of a language model have no order, but texts have an end, after which all inputs are 0.
//! So either the range of the inputs is halved, or the number of those that are not 0.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rand::Rng;
use taonet_proof_core::Range;

/// Maximum number of halvings.
const MAX_HALVINGS: u32 = 8;
/// Number of narrowings of random inputs: see [`Narrowing::new`].
const NARROWINGS: u32 = 1 + 2 * MAX_HALVINGS;
/// Number of draws of one narrowing before the next one is tried. Each draw costs an execution.
const DRAWS_PER_NARROWING: u32 = 3;
/// After one in this many accepted draws, later draws return to the previous, wider narrowing.
const DRAWS_PER_WIDENING: u32 = 16;

/// Narrowing of random inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Narrowing {
    /// Number of halvings of the range.
    range_halvings: u32,
    /// Number of halvings of the number of inputs that are not 0: the first ones.
    count_halvings: u32,
}

impl Narrowing {
    /// Returns a narrowing by its index, which is below [`NARROWINGS`]: all inputs in the full
    /// range, then half of the range or half of the inputs, a quarter of either, and so on.
    fn new(index: u32) -> Self {
        let halvings = index.div_ceil(2);
        if index.is_multiple_of(2) {
            Self { range_halvings: 0, count_halvings: halvings }
        } else {
            Self { range_halvings: halvings, count_halvings: 0 }
        }
    }

    /// Draws inputs. If the range does not contain 0, its value closest to 0 takes the place of 0.
    fn draw(self, count: usize, range: Range, generator: &mut impl Rng) -> Vec<i64> {
        let zero = 0_i64.clamp(range.low, range.high);
        let halve = |distance: i64| distance >> self.range_halvings;
        let (low, high) = (zero - halve(zero - range.low), zero + halve(range.high - zero));
        let mut inputs = vec![zero; count];
        let drawn = inputs.iter_mut().take(count >> self.count_halvings);
        drawn.for_each(|input| *input = generator.random_range(low..=high));
        inputs
    }
}

/// Draws inputs of one circuit. Remembers the narrowing of those that were accepted, so that most
/// requests need few draws.
#[derive(Debug, Default)]
pub(crate) struct InputDraws {
    /// Index of the narrowing.
    narrowing: AtomicU32,
    has_accepted: AtomicBool,
    is_exhausted: AtomicBool,
}

impl InputDraws {
    /// Returns whether no inputs were ever accepted, although all narrowings were tried.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.is_exhausted.load(Ordering::Relaxed)
    }

    /// Draws `count` inputs within `range` until `check` accepts them.
    ///
    /// # Errors
    /// When no draw of any narrowing is accepted: the error of the last one.
    pub(crate) fn draw<E>(
        &self,
        count: usize,
        range: Range,
        generator: &mut impl Rng,
        check: impl Fn(&[i64]) -> Result<(), E>,
    ) -> Result<Vec<i64>, E> {
        let (mut narrowing, mut failed_draws, mut tried_narrowings) =
            (self.narrowing.load(Ordering::Relaxed), 0, 0);
        loop {
            let inputs = Narrowing::new(narrowing).draw(count, range, generator);
            let Err(error) = check(&inputs) else {
                let widening = u32::from(generator.random_ratio(1, DRAWS_PER_WIDENING));
                self.narrowing.store(narrowing.saturating_sub(widening), Ordering::Relaxed);
                self.has_accepted.store(true, Ordering::Relaxed);
                return Ok(inputs);
            };
            failed_draws += 1;
            if failed_draws == DRAWS_PER_NARROWING {
                (narrowing, failed_draws, tried_narrowings) =
                    ((narrowing + 1) % NARROWINGS, 0, tried_narrowings + 1);
            }
            if tried_narrowings == NARROWINGS {
                if !self.has_accepted.load(Ordering::Relaxed) {
                    self.is_exhausted.store(true, Ordering::Relaxed);
                }
                return Err(error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    const RANGE: Range = Range { low: -128, high: 127 };
    /// Number of inputs with which both ends of a range are drawn.
    const ALL: usize = 100_000;

    #[test]
    fn input_narrowings_halve_range_and_count_alternately() {
        let narrowings: Vec<[u32; 2]> = (0..5)
            .map(Narrowing::new)
            .map(|Narrowing { range_halvings, count_halvings }| [range_halvings, count_halvings])
            .collect();
        assert_eq!(narrowings, [[0, 0], [1, 0], [0, 1], [2, 0], [0, 2]]);
        assert_eq!(
            Narrowing::new(NARROWINGS - 1),
            Narrowing { range_halvings: 0, count_halvings: MAX_HALVINGS }
        );
    }

    #[test]
    fn drawn_inputs_have_the_halved_range_and_count() {
        let mut generator = StdRng::seed_from_u64(4);
        for (range, narrowing, (low, high), drawn) in [
            ((-128, 127), [0, 0], (-128, 127), ALL),
            ((-128, 127), [1, 0], (-64, 63), ALL),
            ((-128, 127), [8, 0], (0, 0), ALL),
            ((-128, 127), [0, 3], (-128, 127), ALL / 8),
            ((0, 52), [0, 1], (0, 52), ALL / 2),
            ((10, 20), [1, 0], (10, 15), ALL),
            ((-20, -10), [2, 0], (-12, -10), ALL),
            ((-20, -10), [0, 2], (-20, -10), ALL / 4),
        ] {
            let (range, [halvings, count]) = (Range { low: range.0, high: range.1 }, narrowing);
            let inputs = Narrowing { range_halvings: halvings, count_halvings: count }.draw(
                ALL,
                range,
                &mut generator,
            );
            let (random, others) = inputs.split_at(drawn);
            let extremes = (random.iter().copied().min(), random.iter().copied().max());
            assert_eq!(extremes, (Some(low), Some(high)), "{range:?}, {narrowing:?}");
            let zero = 0_i64.clamp(range.low, range.high);
            assert!(others.iter().all(|&input| input == zero), "{range:?}, {narrowing:?}");
        }
    }

    /// The first request finds a narrowing that is accepted, and later ones need few draws.
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
        // A range of -16..=15 is the sixth narrowing.
        assert_eq!(count.replace(0), 5 * DRAWS_PER_NARROWING + 1);
        for _ in 0..160 {
            draw();
        }
        // Each attempt at the narrowing before costs three more draws.
        assert!((160..=300).contains(&count.get()), "{}", count.get());
        assert!(!draws.is_exhausted());
    }

    #[test]
    fn inputs_that_are_never_accepted_are_an_error() {
        let (draws, count) = (InputDraws::default(), Cell::new(0_u32));
        let mut generator = StdRng::seed_from_u64(6);
        let refuse_all = |_: &[i64]| {
            count.set(count.get() + 1);
            Err::<(), u32>(count.get())
        };
        let max_draws = NARROWINGS * DRAWS_PER_NARROWING;
        assert_eq!(draws.draw(3, RANGE, &mut generator, refuse_all), Err(max_draws));
        assert!(draws.is_exhausted());
        // Once inputs were accepted, others may be, too.
        let draws = InputDraws::default();
        draws.draw(3, RANGE, &mut generator, |_| Ok::<(), u32>(())).unwrap();
        count.set(0);
        assert_eq!(draws.draw(3, RANGE, &mut generator, refuse_all), Err(max_draws));
        assert!(!draws.is_exhausted());
    }
}
