use proptest::prelude::*;

use super::*;

fn pool(tao: u64, alpha: u64, quote: f64) -> Pool {
    Pool { tao: TaoBalance(tao), alpha: AlphaBalance(alpha), quote: Perquintill::from_float(quote) }
}

/// Whether two amounts differ by less than a billionth, or by at most one rao because of rounding.
fn is_close(ours: u64, theirs: f64) -> bool {
    let difference = (ours as f64 - theirs).abs();
    difference <= theirs * 1e-9 || difference <= 1.0
}

#[test]
fn trades_match_recording() {
    let Some(vectors) = taonet_chain_vectors::json("economics.json") else { return };
    let cases = vectors["pool_swaps"].as_array().unwrap();
    assert_eq!(cases.len(), 5);
    for case in cases {
        let number = |name: &str| case[name].as_u64().unwrap();
        let pool = pool(
            number("tao_reserve"),
            number("alpha_reserve"),
            case["quote_weight"].as_f64().unwrap(),
        );
        let amount = number("amount");
        let price = pool.price().to_num::<f64>();
        assert!((price / case["price"].as_f64().unwrap() - 1.0).abs() < 1e-9, "{case}: {price}");
        let bought = pool.buy(TaoBalance(amount)).0;
        assert!(
            is_close(bought, case["buy_alpha_out_no_fee"].as_f64().unwrap()),
            "{case}: {bought}"
        );
        let sold = pool.sell(AlphaBalance(amount)).0;
        assert!(is_close(sold, case["sell_tao_out_no_fee"].as_f64().unwrap()), "{case}: {sold}");
    }
}

#[test]
fn empty_pool_trades_nothing() {
    for (tao, alpha) in [(0, 0), (0, 1_000), (1_000, 0)] {
        let pool = pool(tao, alpha, 0.5);
        assert_eq!(pool.sell(AlphaBalance(500)).0 + pool.buy(TaoBalance(500)).0, 0, "{pool:?}");
    }
    assert_eq!(pool(1_000, 0, 0.5).price(), U64F64::from_num(0));
    assert_eq!(pool(0, 1_000, 0.5).tao_to_reach(TaoBalance(5)), TaoBalance(0));
}

#[test]
fn amount_until_reached_price_limit_is_zero() {
    let pool = pool(1_000_000_000_000, 10_000_000_000_000, 0.5);
    // Expected: (√(p' / p) − 1) times the TAO reserve.
    assert!(is_close(pool.tao_to_reach(TaoBalance(u64::MAX)).0, 429_495.729_6e12));
    assert_eq!(pool.tao_to_reach(TaoBalance(100_000_000)), TaoBalance(0));
    assert_eq!(pool.tao_to_reach(TaoBalance(99_000_000)), TaoBalance(0));
    assert_eq!(pool.alpha_to_reach(TaoBalance(100_000_000)), AlphaBalance(0));
    assert_eq!(pool.alpha_to_reach(TaoBalance(0)), AlphaBalance(u64::MAX));
    // Raising the price fourfold doubles the TAO reserve.
    assert_eq!(pool.tao_to_reach(TaoBalance(400_000_000)).0.abs_diff(1_000_000_000_000) / 2, 0);
    assert_eq!(pool.alpha_to_reach(TaoBalance(25_000_000)).0.abs_diff(10_000_000_000_000) / 2, 0);
}

#[test]
fn added_reserves_keep_price_within_weight_bounds() {
    let before = pool(1_000_000_000_000, 10_000_000_000_000, 0.5);
    let (tao, alpha) = (TaoBalance(1_000_000_000), AlphaBalance(9_999_999_999));
    let quote = before.weight_after_adding(tao, alpha).unwrap();
    let after = Pool {
        tao: TaoBalance(before.tao.0 + tao.0),
        alpha: AlphaBalance(before.alpha.0 + alpha.0),
        quote,
    };
    let (old, new) = (before.price().to_num::<f64>(), after.price().to_num::<f64>());
    assert!((new / old - 1.0).abs() < 1e-16, "{old} {new}");
    assert_eq!(before.weight_after_adding(TaoBalance(u64::MAX / 2), AlphaBalance(0)), None);
    assert_eq!(before.weight_after_adding(TaoBalance(0), AlphaBalance(u64::MAX / 2)), None);
    let empty = pool(0, 0, 0.7);
    assert_eq!(
        empty.weight_after_adding(TaoBalance(0), AlphaBalance(0)),
        Some(Perquintill::from_percent(50))
    );
}

fn pools() -> impl Strategy<Value = Pool> {
    (1_000_000_u64..=21_000_000_000_000_000, 1_000_000_u64..=21_000_000_000_000_000, 0.01..0.99)
        .prop_map(|(tao, alpha, quote)| pool(tao, alpha, quote))
}

proptest! {
    #[test]
    fn buying_and_selling_back_gives_no_profit(pool in pools(), share in 0.0..1_000.0) {
        let paid = TaoBalance((pool.tao.0 as f64 * share) as u64);
        let bought = pool.buy(paid);
        prop_assert!(bought < pool.alpha || paid.0 == 0 || bought == pool.alpha);
        let after = Pool { tao: pool.tao.saturating_add(paid), alpha: pool.alpha.saturating_sub(bought), ..pool };
        let back = after.sell(bought);
        prop_assert!(back.0 <= paid.0, "{} came back for {}", back.0, paid.0);
    }

    #[test]
    fn pool_weights_near_one_half_trade_like_one_half(tao in 1_000_000_u64..1 << 54, alpha in 1_000_000_u64..1 << 54, part in 0.0..10.0) {
        let exact = pool(tao, alpha, 0.5);
        let near = Pool { quote: Perquintill::from_parts(500_000_000_000_000_001), ..exact };
        let paid = TaoBalance((tao as f64 * part) as u64);
        prop_assert!(exact.buy(paid).0.abs_diff(near.buy(paid).0) <= 1);
        prop_assert!(exact.sell(AlphaBalance(paid.0)).0.abs_diff(near.sell(AlphaBalance(paid.0)).0) <= 1);
    }

    #[test]
    fn trade_up_to_a_price_limit_ends_at_that_price(pool in pools(), rise in 1.001..3.0) {
        let target = pool.price().to_num::<f64>() * rise * UNIT as f64;
        prop_assume!(target > 1_000.0 && target < 1e15);
        let limit = TaoBalance(target as u64);
        let paid = pool.tao_to_reach(limit);
        prop_assume!(paid.0 > 1_000_000);
        let bought = pool.buy(paid);
        prop_assume!(bought.0 > 1_000_000);
        let after = Pool { tao: pool.tao.saturating_add(paid), alpha: pool.alpha.saturating_sub(bought), ..pool };
        prop_assume!(after.alpha.0 > 1_000_000);
        let reached = after.price().to_num::<f64>() * UNIT as f64;
        prop_assert!((reached / limit.0 as f64 - 1.0).abs() < 1e-5, "{reached} {}", limit.0);
    }
}
