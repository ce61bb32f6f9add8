//! Tests of the import of periods.

use taonet_nineteen_core::MarketConfig;
use taonet_nineteen_core::period::PeriodProfile;
use taonet_nineteen_core::scoring::{ScoringRules, normalised_period};

use super::*;

/// Columns: number, miner, subnet, capacity, volume, requests, rate-limited, failed, score; then
/// the beginning and the end of the period, in seconds before the import.
const HISTORY: &str = r"
    INSERT INTO contenders_history (id, contender_id, node_hotkey, node_id, netuid, task, validator_hotkey, raw_capacity,
                                    capacity, capacity_to_score, consumed_capacity, total_requests_made, requests_429,
                                    requests_500, period_score, created_at, updated_at, expired_at)
    SELECT id, hotkey || '-chat-llama-3-2-3b', hotkey, 2, netuid, 'chat-llama-3-2-3b', 'validator', capacity * 2, capacity,
           capacity * 0.08, volume, requests, limited, failed, score,
           timestamp '2026-11-21 12:00:00' - began * interval '1 second',
           timestamp '2026-11-21 12:00:00' - ended * interval '1 second',
           timestamp '2026-11-21 12:00:00' - ended * interval '1 second'
    FROM (VALUES
        (1, '5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty', 19,  120000, 12000, 40, 10, 0,  0.58125,     7200, 5400),
        (2, '5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY', 19,  120000, 12000, 40, 0,  10, 0.58125,     7200, 5400),
        (3, '5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty', 19,  120000, 12000, 40, 10, 0,  0.58125,     7200, 5400),
        (4, '5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty', 19,  120000, 12000, 40, 0,  10, 0.45046875,  5390, 3590),
        (5, '5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY', 19,  120000, 24000, 40, 0,  0,  1,           5390, 3588),
        (6, '5FLSigC9HGRKVhB9FiEo4Y3koPsNmBmLJbpXg2mp1hXcS59Y', 19,  120000, 12000, 40, 0,  0,  0.25,        5390, 3588),
        (7, '5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty', 19,  120000, 0,     0,  0,  0,  NULL,        3580, 1780),
        (8, '5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty', 19,  120000, 0,     0,  0,  0,  NULL,        1779, 1770),
        (9, '5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty', 176, 120000, 0,     0,  0,  0,  NULL,        1779, 1770),
        (10, '5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY', 19, 120000, -1,    40, 0,  0,  1,           1779, 1770),
        (11, '5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY', 19, 120000, 1,     40, 0,  0,  1.5,         1779, 1770),
        (12, '5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY', 19, 120000, 1,     40, 0,  0,  1,           1779, NULL),
        (13, '5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY', 19, 120000, 1,     40, 0,  0,  1,           1779, -600),
        (14, '5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY', 19, 120000, 1,     40, 0,  0,  1,           700000, 698000)
    ) AS offer (id, hotkey, netuid, capacity, volume, requests, limited, failed, score, began, ended)";

/// Creates the reference's database with the periods of [`HISTORY`], and runs these further
/// statements in it.
async fn with_history(server: &Postgres, extra_statements: &[&'static str]) -> Reference {
    let statements = [
        "ALTER TABLE contenders_history ALTER COLUMN expired_at DROP NOT NULL",
        "ALTER TABLE contenders_history ALTER COLUMN updated_at DROP NOT NULL",
        HISTORY,
    ];
    Reference::create(server, &[&statements[..], extra_statements].concat()).await
}

#[tokio::test]
async fn period_scores_of_the_reference_are_imported() {
    let Some(server) = Postgres::start() else { return };
    let reference = with_history(&server, &[NODES]).await;
    let records = reference.read().await;
    for location in [DatabaseLocation::sqlite(), DatabaseLocation::postgres(&server, "periods")] {
        let store = location.open().await;
        let report = store.import(&records, None).await.unwrap();
        assert_eq!(report.periods, 4);
        assert_eq!(counts(&report, "contenders_history"), [14, 7, 0, 7]);
        let remark = |column, reason, example| ("contenders_history", column, reason, 1, example);
        assert_remarks(
            &report.left_out,
            &[
                remark("node_hotkey", "duplicate", Some("3")),
                remark("netuid", "another subnet", Some("9")),
                remark("consumed_capacity", "not a number of at least 0", Some("10")),
                remark("period_score", "not a number in 0..=1", Some("11")),
                remark("expired_at", "NULL or infinite", Some("12")),
                remark("expired_at", "in the future", Some("13")),
                remark("expired_at", "older than 7 days", None),
            ],
        );
        // The first two periods follow the formula of the reference, except for rows 4 and 6.
        let note = "not registered: counts if the hotkey registers again";
        let differs = "differs from the formula: imported as it is";
        assert_remarks(
            &report.notes,
            &[
                remark("node_hotkey", note, Some("6")),
                ("contenders_history", "period_score", differs, 2, Some("4")),
            ],
        );
        // The contenders of the second period were closed within two seconds.
        for (id, started, closed) in
            [(1, 7_200, 5_400), (2, 5_390, 3_588), (3, 3_580, 1_780), (4, 1_779, 1_770)]
        {
            let expected = PeriodRow {
                id: PeriodId(id),
                started_ms: seconds_ago(started),
                length_ms: (started - closed) * 1_000,
                profile: PeriodProfile::Reference,
                closed_ms: Some(seconds_ago(closed)),
            };
            assert_eq!(store.period(PeriodId(id)).await.unwrap(), Some(expected));
        }
        let contenders = store.contenders(PeriodId(1)).await.unwrap();
        let capacity = contenders[0].offer.capacity;
        assert_eq!(
            (capacity.declared, capacity.accepted, capacity.to_score),
            (240_000.0, 120_000.0, 9_600.0)
        );
        let history = store.history_since(0).await.unwrap();
        let bob_history: Vec<_> = history
            .iter()
            .filter(|row| row.hotkey == hotkey("//Bob"))
            .filter_map(|row| Some((row.score?, row.counts.consumed_capacity)))
            .collect();
        assert_eq!(bob_history, [(0.450_468_75, 12_000.0), (0.581_25, 12_000.0)]);
        let normalised = normalised_period(&bob_history, &ScoringRules::default());
        let expected = 0.25 * (0.450_468_75 + 0.5 * 0.581_25) / 1.5;
        assert!((normalised.score - expected).abs() < 1e-12, "{normalised:?}");

        assert_eq!(store.import(&records, None).await.unwrap().periods, 0);
        assert_eq!(store.history_since(0).await.unwrap(), history);
        let config = MarketConfig::default();
        let profile = PeriodProfile::Reference;
        let next = store.begin_period(NOW_MS, 1, profile, &[], &[], &config).await.unwrap();
        assert_eq!(next, PeriodId(5), "the numbering continues");
    }
}

#[tokio::test]
async fn newer_formula_of_a_period_is_recognised() {
    let Some(server) = Postgres::start() else { return };
    let reference = with_history(&server, &["DELETE FROM contenders_history WHERE id = 6"]).await;
    let location = DatabaseLocation::sqlite();
    let store = location.open().await;
    let report = store.import(&reference.read().await, None).await.unwrap();
    assert!(report.notes.iter().all(|note| note.column != "period_score"), "{:#?}", report.notes);
    let profile = async |id| store.period(PeriodId(id)).await.unwrap().unwrap().profile;
    assert_eq!(
        [profile(1).await, profile(2).await],
        [PeriodProfile::Reference, PeriodProfile::Later]
    );
}

#[tokio::test]
async fn periods_older_than_the_newest_own_period_are_not_imported() {
    let Some(server) = Postgres::start() else { return };
    let reference = with_history(&server, &[]).await;
    let records = reference.read().await;
    let location = DatabaseLocation::sqlite();
    let store = location.open().await;
    let (config, profile) = (MarketConfig::default(), PeriodProfile::Reference);
    let own = store.begin_period(seconds_ago(4_000), 1, profile, &[], &[], &config).await.unwrap();
    // A validator that was stopped leaves its period open.
    let report = store.preview_import(&records, None).await.unwrap();
    assert_eq!((report.periods, counts(&report, "contenders_history")), (3, [14, 5, 0, 9]));
    store.close_period(own, &Process::random(), &[], &[], seconds_ago(3_600)).await.unwrap();
    assert_eq!(store.import(&records, None).await.unwrap(), report);
    let reason = "older than the newest period of this database";
    let older = report.left_out.iter().find(|remark| remark.reason == reason).unwrap();
    assert_eq!((older.column, older.rows), ("expired_at", 2));
    let history = store.history_since(0).await.unwrap();
    assert!(history.iter().all(|row| row.period > own), "{history:#?}");
    // All periods of the reference are older than this one.
    let later = DatabaseLocation::sqlite();
    let store = later.open().await;
    store.begin_period(NOW_MS, 1, profile, &[], &[], &config).await.unwrap();
    let report = store.import(&records, None).await.unwrap();
    assert_eq!((report.periods, counts(&report, "contenders_history")), (0, [14, 0, 0, 14]));
}
