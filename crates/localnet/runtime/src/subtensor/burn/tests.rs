use super::*;
use crate::runtime::Runtime;
use crate::subtensor::Call;
use crate::testing::{
    BABELBIT, Subtensor, account, at_first_block, jump_to, key, outcome, run_to, send,
};

type Price = Burn<Runtime>;

#[test]
fn decay_factor_equals_that_of_the_real_chain() {
    let Some(vectors) = taonet_chain_vectors::json("economics.json") else { return };
    let cases = vectors["burn_decay_factor"].as_array().unwrap();
    assert_eq!(cases.len(), 10);
    for case in cases {
        let half_life = case["half_life"].as_u64().unwrap().try_into().unwrap();
        assert_eq!(decay_factor(half_life), case["factor_q32"].as_u64().unwrap(), "{half_life}");
    }
}

#[test]
fn registration_price_changes_as_on_the_real_chain() {
    let Some(vectors) = taonet_chain_vectors::json("economics.json") else { return };
    let vector = &vectors["burn_trajectory"];
    let number = |name: &str| vector[name].as_u64().unwrap();
    at_first_block(|| {
        Price::insert(BABELBIT, TaoBalance(number("initial_rao")));
        MinBurn::<Runtime>::insert(BABELBIT, TaoBalance(number("min")));
        MaxBurn::<Runtime>::insert(BABELBIT, TaoBalance(number("max")));
        BurnHalfLife::<Runtime>::insert(BABELBIT, u16::try_from(number("half_life")).unwrap());
        assert!((BurnIncreaseMult::<Runtime>::get(BABELBIT).to_num::<f64>() - 1.26).abs() < 1e-15);
        let steps = vector["steps"].as_array().unwrap();
        assert_eq!(steps.len(), 38);
        let mut newcomers = 0..;
        for step in steps {
            run_to(step["block"].as_u64().unwrap().try_into().unwrap());
            assert_eq!(Price::get(BABELBIT).0, step["after_decay"].as_u64().unwrap(), "{step}");
            for _ in 0..step["registrations"].as_u64().unwrap_or(0) {
                let hotkey = key(newcomers.next().unwrap());
                let call = Call::burned_register { netuid: BABELBIT, hotkey };
                assert_eq!(outcome(send(&account("Bob"), call)), "ok");
            }
            if let Some(raised) = step["after_bump"].as_u64() {
                assert_eq!(Price::get(BABELBIT).0, raised, "{step}");
            }
        }
    });
}

#[test]
fn registration_price_stays_within_its_bounds() {
    // Price, half-life, block, price after the start of the block.
    let cases = [
        (1_000, 360, 2, 500_000),
        (200_000_000_000, 360, 2, 100_000_000_000),
        (500_001, 360, 2, 500_000),
        // The price does not fall at the first block, nor without a half-life.
        (1_000_000, 360, 1, 1_000_000),
        (1_000_000, 0, 2, 1_000_000),
        (1_000, 0, 2, 500_000),
        (1_000_000_000, 1, 2, 500_000_000),
    ];
    at_first_block(|| {
        for (price, half_life, block, expected) in cases {
            jump_to(block);
            Price::insert(BABELBIT, TaoBalance(price));
            BurnHalfLife::<Runtime>::insert(BABELBIT, half_life);
            Subtensor::decay_burn(BABELBIT);
            assert_eq!(Price::get(BABELBIT).0, expected, "{price} {half_life} {block}");
        }
        Price::insert(BABELBIT, TaoBalance(99_000_000_000));
        Subtensor::raise_burn(BABELBIT);
        assert_eq!(Price::get(BABELBIT).0, 100_000_000_000);
        // A factor below one counts as one.
        Price::insert(BABELBIT, TaoBalance(1_000_000));
        BurnIncreaseMult::<Runtime>::insert(BABELBIT, U64F64::from_num(0.5));
        Subtensor::raise_burn(BABELBIT);
        assert_eq!(Price::get(BABELBIT).0, 1_000_000);
    });
}
