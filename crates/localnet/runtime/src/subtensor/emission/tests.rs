use super::*;
use crate::runtime::Runtime;
use crate::subtensor::SubnetTAO;
use crate::testing::{BABELBIT, Subtensor, at_first_block, run_to};

#[test]
fn block_emission_equals_recorded_values() {
    let Some(vectors) = taonet_chain_vectors::json("economics.json") else { return };
    let cases = vectors["block_emission"].as_array().unwrap();
    assert_eq!(cases.len(), 11);
    for case in cases {
        let issuance = case["issuance_tao"].as_u64().unwrap() * UNIT;
        assert_eq!(
            block_emission(issuance),
            case["block_emission_rao"].as_u64().unwrap(),
            "{case}"
        );
    }
}

#[test]
fn emission_split_equals_recorded_values() {
    let Some(vectors) = taonet_chain_vectors::json("economics.json") else { return };
    let cases = vectors["alpha_out_split"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let number = |name: &str| case[name].as_u64().unwrap();
        let proportion = U64F64::from_num(case["root_proportion"].as_f64().unwrap());
        let split = EmissionSplit::new(number("alpha_out"), 11_796, proportion);
        assert_eq!(split.owner.0, number("owner"), "{case}");
        assert_eq!(split.server.0, number("server"), "{case}");
        assert_eq!(split.validator.0 + split.root.0, number("validator_plus_root"), "{case}");
        assert_eq!(split.root.0, number("root"), "{case}");
    }
}

#[test]
fn split_parts_sum_to_the_amount() {
    for alpha in [0, 1, 2, 3, 999_999_999] {
        let split = EmissionSplit::new(alpha, 11_796, U64F64::from_num(0.3));
        assert_eq!(split.owner.0 + split.server.0 + split.validator.0 + split.root.0, alpha);
    }
}

/// A pool in the published source's arithmetic (`get_subnet_terms` and `inject_and_maybe_swap`,
/// opentensor/subtensor 14bc6f9f), in rao as floating-point numbers.
#[derive(Clone, Copy, Debug)]
struct PublishedPool {
    tao: f64,
    alpha: f64,
    quote: f64,
}

impl PublishedPool {
    fn of_chain() -> Self {
        let pool = Subtensor::pool_of(BABELBIT);
        let quote = pool.quote.deconstruct() as f64 / 1e18;
        Self { tao: pool.tao.0 as f64, alpha: pool.alpha.0 as f64, quote }
    }

    /// Returns the price in TAO, with 32 fraction bits as in the published source.
    fn price(&self) -> f64 {
        let price = (1.0 - self.quote) / self.quote * self.tao / self.alpha;
        (price * 2.0_f64.powi(32)).floor() / 2.0_f64.powi(32)
    }

    /// Emits TAO into the pool, of which at most `max_alpha` alpha is added and the rest buys
    /// alpha.
    fn after_block(self, tao: f64, max_alpha: f64) -> Self {
        let alpha_in = (tao / self.price()).min(max_alpha);
        let tao_in = (alpha_in * self.price()).min(tao);
        let (alpha_in, excess, tao_in) = (alpha_in.floor(), (tao - tao_in).floor(), tao_in.floor());
        let base_side = (1.0 - self.quote) * self.tao * (self.alpha + alpha_in);
        let quote_side = self.quote * self.alpha * (self.tao + tao_in);
        let quote = quote_side / (quote_side + base_side);
        let remaining_share = (self.tao / (self.tao + excess)).powf(quote / (1.0 - quote));
        let bought = (self.alpha * (1.0 - remaining_share)).floor();
        Self { tao: self.tao + excess + tao_in, alpha: self.alpha - bought + alpha_in, quote }
    }

    fn assert_matches_chain(&self, block: u32) {
        let chain = Self::of_chain();
        // Powers of floating-point numbers differ from exact ones by some rao of a pool of 10¹²
        // rao.
        let is_close = |ours: f64, theirs: f64| (ours - theirs).abs() <= 1.0 + theirs * 1e-15;
        assert!(
            is_close(chain.tao, self.tao) && is_close(chain.alpha, self.alpha),
            "block {block}: {chain:?} {self:?}"
        );
        assert!((chain.quote - self.quote).abs() < 1e-15, "block {block}: {chain:?} {self:?}");
    }
}

/// Runs blocks in which one subnet receives all TAO, and compares each with the published source.
fn compare_with_published_source(blocks: std::ops::Range<u32>) {
    for block in blocks {
        let max_alpha = Subtensor::root_proportion(BABELBIT).to_num::<f64>() * UNIT as f64;
        let expected = PublishedPool::of_chain().after_block(UNIT as f64, max_alpha);
        run_to(block);
        expected.assert_matches_chain(block);
    }
}

#[test]
fn pool_emission_without_root_stake_matches_published_source() {
    at_first_block(|| {
        let before = PublishedPool::of_chain();
        compare_with_published_source(2..6_242);
        // All TAO buys alpha, so the price grows with the square of the pool's TAO.
        let after = PublishedPool::of_chain();
        let expected = before.price() * (after.tao / before.tao).powi(2);
        assert!((after.price() / expected - 1.0).abs() < 1e-6, "{} {expected}", after.price());
    });
}

#[test]
fn pool_emission_with_root_stake_matches_published_source() {
    // At a price of 0.1 TAO, the alpha for all TAO would exceed root's part of the alpha emission;
    // at 2 TAO it does not.
    for (alpha, buys) in [(10_000, true), (500, false)] {
        at_first_block(|| {
            SubnetTAO::<Runtime>::insert(NetUid::ROOT, TaoBalance(10_000_000 * UNIT));
            SubnetAlphaIn::<Runtime>::insert(BABELBIT, AlphaBalance(alpha * UNIT));
            compare_with_published_source(2..300);
            assert!(SubnetTaoInEmission::<Runtime>::get(BABELBIT) > TaoBalance::ZERO);
            assert_eq!(SubnetExcessTao::<Runtime>::get(BABELBIT) > TaoBalance::ZERO, buys);
        });
    }
}

#[test]
fn pool_below_the_minimum_reserve_buys_no_alpha() {
    at_first_block(|| {
        SubnetAlphaIn::<Runtime>::insert(BABELBIT, AlphaBalance(swap::MIN_RESERVE - 1));
        let (before, issued) = (Subtensor::pool_of(BABELBIT), TotalIssuance::<Runtime>::get());
        run_to(2);
        assert_eq!(Subtensor::pool_of(BABELBIT), before);
        assert_eq!(SubnetExcessTao::<Runtime>::get(BABELBIT), TaoBalance::ZERO);
        assert_eq!(TotalIssuance::<Runtime>::get(), TaoBalance(issued.0 + UNIT));
    });
}
