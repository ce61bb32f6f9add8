use super::*;

const TOLERANCE: f64 = 1e-12;

fn assert_close(actual: &[f64], expected: &[f64]) {
    assert_eq!(actual.len(), expected.len());
    for (actual, expected) in actual.iter().zip(expected) {
        assert!((actual - expected).abs() < TOLERANCE, "{actual} is not {expected}");
    }
}

/// Two validators with stake 3 : 1, and two servers. Both validators give weight to server 2, only
/// the smaller one to server 3.
///
/// | | S | W → 2 | W → 3 |
/// |---|---|---|---|
/// | 0 | ¾ | 1 | 0 |
/// | 1 | ¼ | ½ | ½ |
fn two_validators(bonds: &[Vec<f64>], alpha: f64, curve: Curve) -> ClassicEpoch {
    let weights = [vec![0.0, 0.0, 1.0, 0.0], vec![0.0, 0.0, 1.0, 1.0]];
    ClassicEpoch::compute(&[3.0, 1.0, 0.0, 0.0], &weights, bonds, alpha, curve)
}

/// Returns a curve with ρ = ln 9 / ¼ and simple values: σ(¼ρ) = 9/10, σ(½ρ) = 81/82, σ(−¼ρ) = 1/10.
fn easy_curve() -> Curve {
    Curve { rho: 9_f64.ln() * 4.0, kappa: 0.5 }
}

#[test]
fn rank_trust_consensus_and_incentive_equal_manual_results() {
    let epoch = two_validators(&[], 1.0, easy_curve());
    // R = (¾·1 + ¼·½, ¼·½), T = (1, ¼).
    assert_close(&epoch.rank, &[0.0, 0.0, 7.0 / 8.0, 1.0 / 8.0]);
    assert_close(&epoch.trust, &[0.0, 0.0, 1.0, 1.0 / 4.0]);
    assert_close(&epoch.consensus, &[1.0 / 82.0, 1.0 / 82.0, 81.0 / 82.0, 1.0 / 10.0]);
    // R · C = (7/8 · 81/82, 1/8 · 1/10) = (567/656, 8.2/656).
    assert_close(&epoch.incentive, &[0.0, 0.0, 567.0 / 575.2, 8.2 / 575.2]);
}

#[test]
fn bonds_dividends_and_emission_equal_manual_results() {
    let epoch = two_validators(&[], 1.0, easy_curve());
    // ΔB columns: server 2 (¾, ⅛) → (6/7, 1/7), server 3 (0, ⅛) → (0, 1).
    assert_close(&epoch.bonds[0], &[0.0, 0.0, 6.0 / 7.0, 0.0]);
    assert_close(&epoch.bonds[1], &[0.0, 0.0, 1.0 / 7.0, 1.0]);
    // D = (6/7 · 567, 1/7 · 567 + 8.2) / 575.2.
    assert_close(&epoch.dividends, &[486.0 / 575.2, 89.2 / 575.2, 0.0, 0.0]);
    assert_close(&epoch.emission, &[243.0 / 575.2, 44.6 / 575.2, 283.5 / 575.2, 4.1 / 575.2]);
}

#[test]
fn old_bonds_decay_by_the_moving_average() {
    // Validator 0 held all bonds. α = ¼: server 2 (¼·6/7 + ¾, ¼·1/7), server 3 (¾, ¼).
    let old = [vec![0.0, 0.0, 1.0, 1.0], vec![]];
    let epoch = two_validators(&old, 0.25, easy_curve());
    assert_close(&epoch.bonds[0], &[0.0, 0.0, 27.0 / 28.0, 0.75]);
    assert_close(&epoch.bonds[1], &[0.0, 0.0, 1.0 / 28.0, 0.25]);
}

#[test]
fn consensus_is_one_half_at_trust_kappa() {
    for (rho, kappa, trust, consensus) in [
        (10.0, 0.5, 0.5, 0.5),
        (10.0, 0.5, 1.0, 0.993_307_149_075_715_2),
        (10.0, 0.5, 0.0, 0.006_692_850_924_284_857),
        (10.0, 0.25, 0.25, 0.5),
        (0.0, 0.5, 0.9, 0.5),
    ] {
        assert_close(&[Curve { rho, kappa }.consensus(trust)], &[consensus]);
    }
}

#[test]
fn kappa_is_the_threshold_of_consensus() {
    // With κ below ¼ even the server with weight from only the small validator is above the middle
    // of the curve.
    let curve = Curve { rho: 10.0, kappa: 0.2 };
    let epoch = two_validators(&[], 1.0, curve);
    assert!(epoch.consensus[3] > 0.5 && epoch.consensus[0] < 0.5);
}

#[test]
fn empty_and_idle_networks_have_no_emission() {
    let empty = ClassicEpoch::compute(&[], &[], &[], 1.0, Curve::default());
    assert!(empty.emission.is_empty());
    let idle = ClassicEpoch::compute(&[0.0, 0.0], &[], &[], 1.0, Curve::default());
    assert_close(&idle.emission, &[0.0, 0.0]);
}
