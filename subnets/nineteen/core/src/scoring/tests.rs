use super::*;

const PROFILES: [ScoringProfile; 4] = [
    ScoringProfile::Reference,
    ScoringProfile::Later,
    ScoringProfile::Strict,
    ScoringProfile::LaterStrict,
];

fn rules() -> ScoringRules {
    ScoringRules::default()
}

#[track_caller]
fn assert_close(actual: f64, expected: f64, tolerance: f64) {
    assert!((actual - expected).abs() <= tolerance, "{actual}, expected {expected}");
}

const fn task(task: &str, weight: f64) -> TaskWeight<&str> {
    TaskWeight { task, weight, enabled: true }
}

fn contender<'a>(hotkey: &'a str, task: &'a str, capacity: f64) -> Contender<&'a str, &'a str> {
    Contender { hotkey, uid: Uid(u16::from(hotkey.as_bytes()[0])), task, capacity }
}

fn rewards<'a>(
    task: &'a str,
    hotkey: &'a str,
    qualities: &[f64],
    metric: f64,
) -> Vec<Reward<&'a str, &'a str>> {
    let reward =
        |quality: &f64| Reward { task, hotkey, quality: Some(*quality), metric: Some(metric) };
    qualities.iter().map(reward).collect()
}

fn periods<'a>(task: &'a str, hotkey: &'a str, score: f64) -> Vec<PeriodRow<&'a str, &'a str>> {
    vec![PeriodRow { task, hotkey, score: Some(score), volume: 1_000.0 }; 9]
}

/// Input of an example with two tasks: A, B and C serve X, A and D serve Y.
fn example_input() -> ScoringInput<&'static str, &'static str> {
    // In Y, D is faster: 1.25 · 0.72 · 800 = 720; A has 0.75 · 0.5333 · 1000 = 400. Fifty rows
    // avoid fill rows.
    let repeat_50_times = |qualities: &[f64]| {
        qualities.iter().copied().cycle().take(qualities.len() * 50).collect::<Vec<_>>()
    };
    ScoringInput {
        tasks: vec![task("X", 0.6), task("Y", 0.4)],
        nodes: vec!["A", "B", "C", "D"],
        contenders: vec![
            contender("A", "X", 120_000.0),
            contender("B", "X", 60_000.0),
            contender("C", "X", 90_000.0),
            contender("A", "Y", 1_000.0),
            contender("D", "Y", 800.0),
        ],
        rewards: [
            rewards("X", "A", &repeat_50_times(&[1.0, 1.0, 0.8, 1.0]), 95.0),
            rewards("X", "B", &repeat_50_times(&[0.6, 0.9, 1.0]), 80.0),
            rewards("X", "C", &repeat_50_times(&[1.0, 1.0, 1.0]), 60.0),
            rewards("Y", "A", &repeat_50_times(&[1.0]), 3.0),
            rewards("Y", "D", &repeat_50_times(&[1.0]), 4.0),
        ]
        .concat(),
        periods: [
            periods("X", "A", 0.95),
            periods("X", "B", 0.90),
            periods("X", "C", 1.0),
            periods("Y", "A", 400.0 / 750.0),
            periods("Y", "D", 0.72),
        ]
        .concat(),
    }
}

#[test]
fn worked_example_is_reproduced() {
    // The example ignores that the reference ranks D, which serves only Y, in X too.
    let scores = score(&example_input(), &ScoringProfile::Strict.rules());
    #[rustfmt::skip]
    let table = [
        // hotkey, average, metric, bonus, combined, period, capacity, effective, share, net
        ("A", 0.92889, 95.0,  0.25, 1.16111, 0.95, 120_000.0, 132_366.2, 0.54787, 0.85914),
        ("B", 0.77286, 80.0,  0.00, 0.77286, 0.90,  60_000.0,  41_734.3, 0.17274, 0.02693),
        ("C", 1.0,     60.0, -0.25, 0.75,    1.00,  90_000.0,  67_500.0, 0.27939, 0.11393),
    ];
    assert_eq!(scores.tasks[0].contenders.len(), table.len());
    for (actual, row) in scores.tasks[0].contenders.iter().zip(table) {
        let (hotkey, average, metric, bonus, combined, period, capacity, effective, share, net) =
            row;
        assert_eq!(
            (actual.hotkey, actual.quality.metric, actual.capacity),
            (hotkey, Some(metric), capacity)
        );
        assert_close(actual.quality.average, average, 5e-6);
        assert_close(actual.quality.rank.unwrap().bonus, bonus, 1e-12);
        assert_close(actual.quality.combined, combined, 5e-6);
        assert_close(actual.period.score, period, 1e-12);
        assert_close(actual.effective, effective, 0.05);
        assert_close(actual.share, share, 5e-6);
        assert_close(actual.net, net, 5e-6);
    }
    for (actual, (hotkey, effective, net)) in
        scores.tasks[1].contenders.iter().zip([("A", 400.0, 0.14637), ("D", 720.0, 0.85363)])
    {
        assert_eq!(actual.hotkey, hotkey);
        assert_close(actual.effective, effective, 1e-9);
        assert_close(actual.net, net, 5e-6);
    }
    let weights = [("A", 0.57403), ("B", 0.01616), ("C", 0.06836), ("D", 0.34145)];
    assert_eq!(scores.totals.len(), weights.len());
    for (total, (hotkey, weight)) in scores.totals.iter().zip(weights) {
        assert_eq!(total.hotkey, hotkey);
        assert_close(total.weight, weight, 5e-6);
    }
    let largest = scores.totals.iter().map(|total| total.weight).fold(0.0, f64::max);
    let quantised = scores
        .totals
        .iter()
        .map(|total| (total.weight / largest * 65_535.0).round())
        .collect::<Vec<_>>();
    assert_eq!(quantised, [65_535.0, 1_845.0, 7_804.0, 38_982.0]);
}

#[test]
fn weights_follow_from_the_intermediate_scores() {
    for profile in PROFILES {
        let rules = profile.rules();
        let scores = score(&example_input(), &rules);
        for total in &scores.totals {
            let mut sum = 0.0;
            for task in &scores.tasks {
                let all: f64 = task.contenders.iter().map(|contender| contender.effective).sum();
                let powers: f64 = task.contenders.iter().map(|contender| contender.powered).sum();
                for own in task.contenders.iter().filter(|own| own.hotkey == total.hotkey) {
                    let Quality { adjusted, rank, combined, .. } = own.quality;
                    assert_eq!(combined, adjusted * (1.0 + rank.unwrap().bonus));
                    assert_eq!(own.period.score, own.period.factor * own.period.mean);
                    assert_eq!(own.effective, combined * own.period.score * own.capacity);
                    assert_eq!(own.share, own.effective / all);
                    assert_eq!(own.powered, own.share.powf(rules.share_exponent));
                    assert_eq!(own.net, own.powered / powers);
                    assert_eq!(own.contribution, own.net * task.task.weight);
                    sum += own.contribution;
                }
            }
            assert_eq!(total.score, sum);
            let all: f64 = scores.totals.iter().map(|total| total.score).sum();
            assert_eq!(total.weight, total.score / all);
        }
    }
}

#[test]
#[rustfmt::skip]
fn period_score_is_normalised_by_rows() {
    let perfect_periods = |periods| vec![(1.0, 10_000.0); periods];
    let mut nine_periods = vec![(0.9, 10_000.0), (0.5, 20_000.0)];
    nine_periods.extend(perfect_periods(7));
    for (rows, score) in [
        (vec![(0.9, 10_000.0), (0.5, 20_000.0), (1.0, 10_000.0)], 0.18333),
        (perfect_periods(9), 1.0),
        (perfect_periods(8), 0.25),
        (nine_periods, 0.75962),
        (vec![], 0.0),
        (vec![(1.0, 0.0), (0.5, 0.0)], 0.0),
    ] {
        assert_close(normalised_period(&rows, &rules()).score, score, 5e-6);
    }
}

#[test]
#[rustfmt::skip]
fn bonuses_fall_linearly_with_the_rank() {
    for (speeds, bonuses) in [
        (vec![], vec![]),
        (vec![Some(5.0)], vec![Some(0.0)]),
        (vec![Some(5.0), Some(9.0)], vec![Some(-0.25), Some(0.25)]),
        (vec![Some(5.0), None, Some(9.0), Some(7.0)], vec![Some(-0.25), None, Some(0.25), Some(0.0)]),
        // Ties keep the input order.
        (vec![Some(5.0), Some(5.0), Some(5.0)], vec![Some(0.25), Some(0.0), Some(-0.25)]),
    ] {
        let ranks = rank_by_speed(&speeds, &rules());
        assert_eq!(ranks.iter().map(|rank| rank.map(|rank| rank.bonus)).collect::<Vec<_>>(), bonuses);
    }
}

#[test]
fn percentile_30_selects_the_lower_index() {
    let numbers = |count: u32| (0..count).rev().map(f64::from).collect::<Vec<_>>();
    for (count, index) in [(1, 0.0), (3, 0.0), (4, 1.0), (10, 3.0), (100, 30.0)] {
        assert_eq!(percentile(numbers(count), 0.3), Some(index), "{count}");
    }
    assert_eq!(percentile(vec![], 0.3), None);
}

/// Each row counts once, and speeds of other tasks, which can have other units, are not ranked.
#[test]
fn strict_profile_counts_rows_once_and_ranks_contenders() {
    let mut input = example_input();
    // B has three rewards in X and two in Y, for which it does not contend. D, which is fast in Y,
    // does not serve X.
    input.rewards.retain(|reward| reward.hotkey != "B");
    input.rewards.extend(rewards("Y", "B", &[0.5, 0.5], 1e9));
    input.rewards.extend(rewards("X", "B", &[0.6, 0.9, 1.0], 80.0));
    let scores = score(&input, &ScoringProfile::Strict.rules());
    let b = &scores.tasks[0].contenders[1];
    assert_eq!((b.quality.rewards, b.quality.filled, b.quality.metric), (3, 2, Some(80.0)));
    let powered = |quality: f64| quality.powf(1.5);
    assert_close(
        b.quality.average,
        (powered(0.6) + powered(0.9) + 1.0 + 2.0 * powered(0.5)) / 5.0,
        1e-12,
    );
    assert_eq!(b.quality.rank.map(|rank| (rank.rank, rank.count)), Some((1, 3)));
    let hotkeys =
        scores.tasks[1].contenders.iter().map(|contender| contender.hotkey).collect::<Vec<_>>();
    assert_eq!(hotkeys, ["A", "D"]);
}

#[test]
fn newest_rewards_are_used_up_to_50() {
    let input = ScoringInput {
        tasks: vec![task("X", 1.0)],
        nodes: vec!["A"],
        contenders: vec![contender("A", "X", 1.0)],
        rewards: [
            rewards("Y", "A", &[0.0; 30], 1.0),
            rewards("X", "A", &[1.0; 15], 1.0),
            rewards("Z", "A", &[1.0; 30], 1.0),
        ]
        .concat(),
        periods: periods("X", "A", 1.0),
    };
    let quality = score(&input, &ScoringProfile::Strict.rules()).tasks[0].contenders[0].quality;
    assert_eq!((quality.rewards, quality.filled, quality.average), (15, 35, 20.0 / 50.0));
}

/// The reference's rows are those of the task, then the newest of any task up to 50.
#[test]
fn reference_profile_counts_rows_twice() {
    let mut input = ScoringInput {
        tasks: vec![task("X", 1.0)],
        nodes: vec!["A"],
        contenders: vec![contender("A", "X", 1.0)],
        rewards: [
            rewards("Y", "A", &[0.0; 10], 900.0),
            rewards("X", "A", &[1.0; 40], 5.0),
            rewards("Y", "A", &[0.0; 10], 900.0),
        ]
        .concat(),
        periods: periods("X", "A", 1.0),
    };
    let quality = score(&input, &rules()).tasks[0].contenders[0].quality;
    assert_eq!((quality.rewards, quality.filled, quality.average), (40, 10, 40.0 / 50.0));
    input.rewards.rotate_left(10);
    let quality = score(&input, &rules()).tasks[0].contenders[0].quality;
    assert_eq!(
        (quality.rewards, quality.filled, quality.average),
        (40, 10, 1.0),
        "ten rows count twice"
    );
    // A row without values takes one of the 50 places.
    input.rewards[0].quality = None;
    let quality = score(&input, &rules()).tasks[0].contenders[0].quality;
    assert_eq!((quality.rewards, quality.filled), (39, 9));
    // With 50 rows of the task, no others count.
    input.rewards.extend(rewards("X", "A", &[1.0; 10], 5.0));
    let quality = score(&input, &rules()).tasks[0].contenders[0].quality;
    assert_eq!((quality.rewards, quality.filled), (49, 0));
}

/// The reference ranks all registered miners with any reward, by speeds in whatever units.
#[test]
fn reference_ranks_miners_that_never_served_the_task() {
    let mut input = example_input();
    input.rewards.retain(|reward| !(reward.task == "X" && reward.hotkey == "A"));
    let x = &score(&input, &rules()).tasks[0];
    // D serves only Y, with 4 units per second; A has only rewards in Y, with 3.
    let ranks: Vec<_> = x
        .contenders
        .iter()
        .map(|own| own.quality.rank.map(|rank| (rank.rank, rank.count)))
        .collect();
    assert_eq!(ranks, [Some((3, 4)), Some((0, 4)), Some((1, 4))]);
    let a = &x.contenders[0].quality;
    assert_eq!((a.rewards, a.filled, a.metric, a.combined), (0, 50, Some(3.0), 0.75));
    // Equal speeds rank in order of uid, also if the contenders have another order.
    input.rewards.iter_mut().for_each(|reward| reward.metric = Some(1.0));
    input.contenders.swap(0, 2);
    let x = &score(&input, &rules()).tasks[0];
    let ranks: Vec<_> =
        x.contenders.iter().map(|own| (own.hotkey, own.quality.rank.unwrap().rank)).collect();
    assert_eq!(ranks, [("C", 2), ("B", 1), ("A", 0)]);
    // A contender that is not registered has no weight.
    input.nodes.retain(|hotkey| *hotkey != "B");
    let x = &score(&input, &rules()).tasks[0];
    assert_eq!(x.contenders.iter().map(|own| own.hotkey).collect::<Vec<_>>(), ["C", "A"]);
}

#[test]
fn rewards_without_metric_are_ignored() {
    let mut input = example_input();
    for reward in input.rewards.iter_mut().filter(|reward| reward.hotkey == "B") {
        reward.metric = None;
    }
    let scores = score(&input, &rules());
    assert_eq!(
        scores.tasks[0].contenders.iter().map(|own| own.hotkey).collect::<Vec<_>>(),
        ["A", "C"]
    );
    assert_eq!(scores.totals.iter().map(|total| total.hotkey).collect::<Vec<_>>(), ["A", "C", "D"]);
    // A period without requests does not count.
    let mut input = example_input();
    input.periods[0].score = None;
    assert_eq!(score(&input, &rules()).tasks[0].contenders[0].period.factor, 0.25);
}

#[test]
fn unserved_and_disabled_tasks_are_ignored() {
    let mut input = example_input();
    input.tasks.insert(0, task("unserved", 5.0));
    input.tasks.push(TaskWeight { enabled: false, ..task("Y", 5.0) });
    assert_eq!(score(&input, &rules()).totals, score(&example_input(), &rules()).totals);
    input.periods.clear();
    assert_eq!(score(&input, &rules()).totals, []);
}

#[test]
fn two_tasks_with_one_miner_each_share_equally() {
    let input = ScoringInput {
        tasks: vec![task("X", 0.5), task("Y", 0.5)],
        nodes: vec!["A", "B"],
        contenders: vec![contender("A", "X", 200.0), contender("B", "Y", 300.0)],
        rewards: [rewards("X", "A", &[0.8], 1.0), rewards("Y", "B", &[0.9], 1.0)].concat(),
        periods: [periods("X", "A", 0.7), periods("Y", "B", 0.6)].concat(),
    };
    let weights =
        score(&input, &rules()).totals.iter().map(|total| total.weight).collect::<Vec<_>>();
    assert_eq!(weights, [0.5, 0.5]);
}

#[test]
fn shares_are_proportional_to_powers_of_the_scores() {
    // Values 0.5, 0.8 and 0.2 of the reference's former test suite, divided by their sum of 1.5.
    let cubes = [0.125, 0.512, 0.008];
    let sum: f64 = cubes.iter().sum();
    for (actual, cube) in shares(&[0.5, 0.8, 0.2], 3.0).unwrap().into_iter().zip(cubes) {
        assert_close(actual, cube / sum, 1e-12);
    }
    for (actual, share) in
        shares(&[100.0, 200.0, 300.0], 1.0).unwrap().into_iter().zip([1.0, 2.0, 3.0])
    {
        assert_close(actual, share / 6.0, 1e-12);
    }
    assert_eq!(shares(&[0.0, 0.0], 3.0), None);
    assert_eq!(shares(&[], 3.0), None);
}

#[test]
fn later_strict_profile_squares_low_quality_averages() {
    let rules = ScoringProfile::LaterStrict.rules();
    let scores = score(&example_input(), &rules);
    let [a, b, c] = &scores.tasks[0].contenders[..] else { panic!("three contenders") };
    // Averages up to 0.85 are squared; B's quality-weighted speeds are 48, 72 and 80.
    assert_eq!(a.quality.adjusted, a.quality.average);
    assert_eq!(b.quality.adjusted, b.quality.average * b.quality.average);
    assert_eq!(
        [a.quality.metric, b.quality.metric, c.quality.metric],
        [Some(95.0), Some(48.0), Some(60.0)]
    );
    assert_eq!([a, b, c].map(|own| own.quality.rank.unwrap().rank), [0, 2, 1]);
    assert_close(a.powered, a.share.powi(4), 1e-12);
    let mut input = example_input();
    input.rewards.retain(|reward| reward.task == "X");
    for row in &mut input.tasks {
        row.task = if row.task == "X" { "avatar" } else { "other" };
    }
    input.contenders.iter_mut().filter(|row| row.task == "X").for_each(|row| row.task = "avatar");
    input.rewards.iter_mut().for_each(|row| row.task = "avatar");
    let b = score(&input, &rules).tasks[0].contenders[1].quality;
    assert_eq!(b.adjusted, b.average, "avatars are exempt");
}

#[test]
fn duplicate_contenders_and_uids_are_rejected() {
    let mut input = example_input();
    assert_eq!(input.check(), Ok(()));
    input.contenders.push(contender("A", "Y", 1.0));
    assert_eq!(input.check(), Err(DuplicateRow::Contender(5)));
    input.contenders.pop();
    input.contenders.push(Contender { uid: Uid(7), ..contender("A", "Z", 1.0) });
    assert_eq!(input.check(), Err(DuplicateRow::Uid(5)));
    input.contenders.pop();
    input.nodes.push("B");
    assert_eq!(input.check(), Err(DuplicateRow::Node(4)));
}
