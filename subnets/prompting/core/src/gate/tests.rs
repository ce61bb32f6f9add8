use super::*;

const EMBEDDINGS: [[f32; 3]; 3] = [[0.6, 0.8, 0.0], [0.0, -0.6, 0.8], [1.0, 0.0, 0.0]];

fn key(byte: u8) -> Hotkey {
    Hotkey::from_bytes([byte; 32])
}

/// The loss by its definition. The parameters of miners 0, 1, … are a flat list, each with three
/// weights and a bias.
fn loss(parameters: &[f64], embedding: &[f32], rewards: &[(usize, f64)]) -> f64 {
    let score = |miner: usize| {
        let row = &parameters[miner * 4..miner * 4 + 4];
        row[0] * f64::from(embedding[0])
            + row[1] * f64::from(embedding[1])
            + row[2] * f64::from(embedding[2])
            + row[3]
    };
    let normalised = |values: Vec<f64>| {
        let sum: f64 = values.iter().map(|value| value.exp()).sum();
        values.into_iter().map(|value| value.exp() / sum).collect::<Vec<_>>()
    };
    let scores = normalised(rewards.iter().map(|(miner, _)| score(*miner)).collect());
    let targets = normalised(rewards.iter().map(|(_, reward)| *reward).collect());
    let squares = scores.iter().zip(targets).map(|(score, target)| (score - target).powi(2));
    squares.sum::<f64>() / rewards.len() as f64
}

/// The gradient of the loss by central differences.
fn gradient(parameters: &[f64], embedding: &[f32], rewards: &[(usize, f64)]) -> Vec<f64> {
    let loss_at = |index: usize, change: f64| {
        let mut moved = parameters.to_vec();
        moved[index] += change;
        loss(&moved, embedding, rewards)
    };
    (0..parameters.len())
        .map(|index| (loss_at(index, 1e-5) - loss_at(index, -1e-5)) / 2e-5)
        .collect()
}

#[test]
fn training_is_sgd_with_momentum_on_the_numerical_gradient() {
    let settings = GateSettings { learning_rate: 0.5, momentum: 0.9 };
    // The last step asks two of the four miners, and momentum moves the others.
    let steps: [&[(usize, f64)]; 3] = [
        &[(0, 0.9), (1, 0.1), (2, 0.0), (3, 0.4)],
        &[(0, 0.2), (1, 0.8), (2, 0.0), (3, 0.5)],
        &[(1, 0.7), (3, 0.1)],
    ];
    let mut gate = Gate::new(3);
    let (mut parameters, mut velocity) = (vec![0.0; 16], vec![0.0; 16]);
    for (embedding, rewards) in EMBEDDINGS.iter().zip(steps) {
        let expected = loss(&parameters, embedding, rewards);
        let slopes = gradient(&parameters, embedding, rewards);
        for ((parameter, velocity), slope) in parameters.iter_mut().zip(&mut velocity).zip(slopes) {
            *velocity = 0.9 * *velocity + slope;
            *parameter -= 0.5 * *velocity;
        }
        let keyed: Vec<_> =
            rewards.iter().map(|(miner, reward)| (key(*miner as u8), *reward)).collect();
        assert!((gate.train(embedding, &keyed, settings) - expected).abs() < 1e-9);
    }
    for (miner, row) in parameters.chunks(4).enumerate() {
        let trained = &gate.rows[&key(miner as u8)];
        let trained = trained.weights.iter().chain([&trained.bias]);
        let is_close = trained.clone().zip(row).all(|(one, other)| (one - other).abs() < 1e-7);
        assert!(is_close, "{miner}: {:?}, expected {row:?}", trained.collect::<Vec<_>>());
    }
}

#[test]
fn good_miner_is_preferred_after_200_steps() {
    let rewards = [(key(0), 0.3), (key(1), 0.9), (key(2), 0.0), (key(3), 0.5)];
    let hotkeys = rewards.map(|(hotkey, _)| hotkey);
    let (mut gate, mut draws) = (Gate::new(3), Draws::new(7));
    let losses: Vec<f64> = (0..200)
        .map(|_| gate.train(&EMBEDDINGS[draws.below(3)], &rewards, GateSettings::default()))
        .collect();
    assert!(losses[199] < losses[0], "{losses:?}");
    for embedding in &EMBEDDINGS {
        assert_eq!(gate.choose(embedding, &hotkeys, 1, 0, &mut draws), [key(1)], "{embedding:?}");
    }
}

#[test]
fn gate_learns_which_miner_is_good_at_which_message() {
    let (mut gate, settings) = (Gate::new(3), GateSettings { learning_rate: 1.0, momentum: 0.9 });
    for _ in 0..200 {
        gate.train(&[1.0, 0.0, 0.0], &[(key(0), 1.0), (key(1), 0.0)], settings);
        gate.train(&[0.0, 1.0, 0.0], &[(key(0), 0.0), (key(1), 1.0)], settings);
    }
    let hotkeys = [key(0), key(1)];
    let (first, second) =
        (gate.scores(&[1.0, 0.0, 0.0], &hotkeys), gate.scores(&[0.0, 1.0, 0.0], &hotkeys));
    assert!(first[0] > first[1] && second[0] < second[1], "{first:?} {second:?}");
}

#[test]
fn replaced_hotkey_is_reset() {
    let mut gate = Gate::new(3);
    gate.train(&EMBEDDINGS[0], &[(key(0), 1.0), (key(1), 0.0)], GateSettings::default());
    assert!(gate.scores(&EMBEDDINGS[0], &[key(1)])[0] < 0.0);
    gate.retain(&BTreeSet::from([key(0), key(9)]));
    assert!(gate.scores(&EMBEDDINGS[0], &[key(0)])[0] > 0.0);
    let scores = gate.scores(&EMBEDDINGS[0], &[key(1), key(9)]);
    assert!(scores.iter().all(|score| score.abs() < f64::MIN_POSITIVE), "{scores:?}");
}

/// Columns: number of best · number of random miners · number of chosen miners among five
#[test]
fn selection_has_the_best_and_random_other_miners() {
    let hotkeys: Vec<_> = (0..5).map(key).collect();
    let rewards: Vec<_> = hotkeys.iter().copied().zip([0.1, 0.9, 0.5, 0.3, 0.2]).collect();
    let (mut gate, mut draws) = (Gate::new(3), Draws::new(1));
    gate.train(&EMBEDDINGS[0], &rewards, GateSettings::default());
    for (best, random, count) in [(0, 0, 0), (2, 0, 2), (2, 2, 4), (1, 9, 5), (9, 9, 5), (0, 3, 3)]
    {
        let selected = gate.choose(&EMBEDDINGS[0], &hotkeys, best, random, &mut draws);
        let distinct: BTreeSet<_> = selected.iter().copied().collect();
        assert_eq!((selected.len(), distinct.len()), (count, count), "{best} {random}");
        let expected: Vec<_> = [key(1), key(2)].into_iter().take(best).collect();
        assert!(selected.starts_with(&expected), "{best} {random}: {selected:?}");
    }
    let explored: BTreeSet<_> = (0..100)
        .filter_map(|_| gate.choose(&EMBEDDINGS[0], &hotkeys, 1, 1, &mut draws).pop())
        .collect();
    assert_eq!(explored.len(), 4, "each other miner is explored at times");
    assert!(gate.choose(&EMBEDDINGS[0], &[], 3, 3, &mut draws).is_empty());
}

#[test]
fn untrained_gate_selects_at_random() {
    let (gate, mut draws) = (Gate::new(3), Draws::new(1));
    let hotkeys: Vec<_> = (0..5).map(key).collect();
    let first: BTreeSet<_> =
        (0..100).flat_map(|_| gate.choose(&EMBEDDINGS[0], &hotkeys, 1, 0, &mut draws)).collect();
    assert_eq!(first.len(), 5);
}

#[test]
fn training_without_rewards_changes_nothing() {
    let mut gate = Gate::new(3);
    assert!(gate.train(&EMBEDDINGS[0], &[], GateSettings::default()).abs() < f64::MIN_POSITIVE);
    assert_eq!(gate, Gate::new(3));
}

#[test]
fn gate_round_trips_as_json_and_invalid_gate_is_refused() {
    let mut gate = Gate::new(3);
    gate.train(&EMBEDDINGS[0], &[(key(0), 1.0), (key(1), 0.0)], GateSettings::default());
    let read: Gate = serde_json::from_str(&serde_json::to_string(&gate).unwrap()).unwrap();
    assert_eq!(read.check(3), Ok(()));
    for hotkey in [key(0), key(1)] {
        let numbers = |gate: &Gate| gate.rows[&hotkey].numbers().collect::<Vec<_>>();
        let is_close = numbers(&read)
            .iter()
            .zip(numbers(&gate))
            .all(|(one, other)| (one - other).abs() < 1e-12);
        assert!(is_close, "{hotkey}");
    }
    assert_eq!(gate.check(384), Err(GateError::Dimensions { found: 3, expected: 384 }));
    let mut short = gate.clone();
    short.rows.get_mut(&key(1)).unwrap().velocity.pop();
    assert_eq!(short.check(3), Err(GateError::Dimensions { found: 2, expected: 3 }));
    gate.rows.get_mut(&key(1)).unwrap().bias = f64::NAN;
    assert_eq!(gate.check(3), Err(GateError::NotFinite { hotkey: key(1) }));
}
