use super::*;
use crate::runtime::Runtime;
use crate::subtensor::SubnetTAO;
use crate::testing::{BABELBIT, Subtensor, chain, run_to};

#[test]
fn recorded_issuance_gives_the_recorded_emission() {
    let Some(vectors) = taonet_chain_vectors::json("economics.json") else { return };
    let cases = vectors["block_emission"].as_array().unwrap();
    assert_eq!(cases.len(), 11);
    for case in cases {
        let issuance = case["issuance_tao"].as_u64().unwrap() * UNIT;
        assert_eq!(block_emission(issuance), case["block_emission_rao"].as_u64().unwrap(), "{case}");
    }
}

#[test]
fn recorded_alpha_is_shared_as_recorded() {
    let Some(vectors) = taonet_chain_vectors::json("economics.json") else { return };
    let cases = vectors["alpha_out_split"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let number = |name: &str| case[name].as_u64().unwrap();
        let proportion = U64F64::from_num(case["root_proportion"].as_f64().unwrap());
        let split = Split::of(number("alpha_out"), 11_796, proportion);
        assert_eq!(split.owner.0, number("owner"), "{case}");
        assert_eq!(split.server.0, number("server"), "{case}");
        assert_eq!(split.validator.0 + split.root.0, number("validator_plus_root"), "{case}");
        assert_eq!(split.root.0, number("root"), "{case}");
    }
}

#[test]
fn all_of_an_odd_amount_is_shared() {
    for alpha in [0, 1, 2, 3, 999_999_999] {
        let split = Split::of(alpha, 11_796, U64F64::from_num(0.3));
        assert_eq!(split.owner.0 + split.server.0 + split.validator.0 + split.root.0, alpha);
    }
}

/// As in the published source (`get_subnet_terms`, opentensor/subtensor 14bc6f9f): the alpha that a block adds to a pool
/// is at most root's proportion of the alpha emission. Without root stake it is 0, and all TAO buys alpha, so the price
/// grows with the square of the pool's TAO.
#[test]
fn emission_without_root_stake_raises_the_price() {
    chain(|| {
        let pool = || (SubnetTAO::<Runtime>::get(BABELBIT).0 as f64, SubnetAlphaIn::<Runtime>::get(BABELBIT).0 as f64);
        let (tao, alpha) = pool();
        for block in 2..60 {
            run_to(block);
            let excess = SubnetExcessTao::<Runtime>::get(BABELBIT).0;
            assert!(excess > 0, "block {block}");
            assert_eq!(SubnetTaoInEmission::<Runtime>::get(BABELBIT).0, 0);
            assert_eq!(SubnetAlphaInEmission::<Runtime>::get(BABELBIT).0, 0);
        }
        let (later, _) = pool();
        let price: f64 = Subtensor::alpha_price(BABELBIT).to_num();
        let expected = later * later / (tao * alpha);
        assert!(later > tao && (price / expected - 1.0).abs() < 1e-6, "{price} {expected}");
    });
}
