//! Tests of the import from the database of the reference's validator.

mod periods;

use taonet_primitives::NetUid;

use super::market::hotkey;
use super::*;

/// Time of the imports, 2026-11-21T12:00:00Z.
const NOW_MS: i64 = 1_795_262_400_000;
const MINUTE_MS: i64 = 60_000;
const TERMS: ReadTerms = ReadTerms { netuid: NetUid(19), now_ms: NOW_MS, display_name: one_line };

fn one_line(name: &str) -> String {
    if name.is_empty() { "No-Name".to_owned() } else { name.replace('\n', " ") }
}

/// Returns the time some seconds before the imports.
fn seconds_ago(seconds: i64) -> i64 {
    NOW_MS - seconds * 1_000
}

/// A database with the reference's schema.
struct Reference {
    database: Database,
    url: String,
}

impl Reference {
    /// Creates the database `reference`, and runs these statements in it.
    async fn create(server: &Postgres, statements: &[&'static str]) -> Self {
        let url = server.create("reference");
        let schema = migrations(&[(1, "reference", include_str!("reference.sql"))]);
        let reference = Self { database: Database::postgres(&url, &schema).await.unwrap(), url };
        for &sql in statements {
            reference.run(sql).await;
        }
        reference
    }

    async fn run(&self, sql: &'static str) {
        statement(sql).execute(&self.database).await.unwrap();
    }

    async fn try_read(&self) -> Result<ReferenceRecords, ReferenceError> {
        let database = ReferenceDatabase::connect(&self.url).await.unwrap();
        let records = database.read(&TERMS).await;
        database.close().await;
        records
    }

    async fn read(&self) -> ReferenceRecords {
        self.try_read().await.unwrap()
    }
}

/// Returns the outcome for a table: rows, imported, present, left out.
fn counts(report: &ImportReport, table: &str) -> [u64; 4] {
    let row = report.tables.iter().find(|row| row.table == table).unwrap();
    [row.rows, row.imported, row.present, row.left_out]
}

#[track_caller]
fn assert_remarks(remarks: &[RowRemark], expected: &[(&str, &str, &str, u64, Option<&str>)]) {
    let actual: Vec<_> = remarks
        .iter()
        .map(|remark| {
            let example = remark.example.as_deref();
            (remark.table, remark.column, remark.reason, remark.rows, example)
        })
        .collect();
    for remark in expected {
        assert!(actual.contains(remark), "{remark:?} is not in {actual:#?}");
    }
    assert_eq!(actual.len(), expected.len(), "{actual:#?}");
}

const KEY: &str = "0b7f4c52-6c0e-4d29-9d0e-6a3b8f6b1c11";
const KEYS: &str = r"
    INSERT INTO api_keys (key, name, balance, rate_limit_per_minute, created_at) VALUES
    ('0b7f4c52-6c0e-4d29-9d0e-6a3b8f6b1c11', 'shop', 100000000, 60, '2026-10-01 12:00:00'),
    ('1b7f4c52-6c0e-4d29-9d0e-6a3b8f6b1c12', 'No-Name', 12.75, 100, '2026-10-02 12:00:00'),
    ('test', '', -5, 0, '2026-10-03 12:00:00'),
    ('2b7f4c52-6c0e-4d29-9d0e-6a3b8f6b1c13', E'two\nlines', 'NaN', -1, 'infinity'),
    ('cl' || chr(233), 'accent', 1, 60, '2026-10-04 12:00:00'),
    (' ', 'blank', 1, 60, '2026-10-05 12:00:00')";

#[tokio::test]
async fn reference_api_keys_are_imported_with_limits_and_balances() {
    let Some(server) = Postgres::start() else { return };
    let reference = Reference::create(&server, &[KEYS]).await;
    // Keys that were restored twice.
    reference.run("ALTER TABLE api_keys DROP CONSTRAINT api_keys_pkey CASCADE").await;
    reference
        .run(
            "INSERT INTO api_keys SELECT key, 'again', 7, 7, created_at + interval '1 second' FROM api_keys
             WHERE name = 'shop'",
        )
        .await;
    let records = reference.read().await;
    for location in [DatabaseLocation::sqlite(), DatabaseLocation::postgres(&server, "keys")] {
        let store = location.open().await;
        let expected = records.preview(None).unwrap();
        assert_eq!(store.preview_import(&records, None).await.unwrap(), expected);
        assert_eq!(store.keys().await.unwrap(), [], "a preview writes nothing");
        let report = store.import(&records, None).await.unwrap();
        assert_eq!(report, expected);
        assert_eq!(counts(&report, "api_keys"), [7, 4, 0, 3]);
        assert_eq!((report.credits, report.periods), (100_000_012, 0));
        assert_remarks(
            &report.left_out,
            &[
                ("api_keys", "key", "not text that a request's header can have", 2, Some("accent")),
                ("api_keys", "key", "duplicate", 1, Some("again")),
            ],
        );
        let note =
            |column, reason, rows, example| ("api_keys", column, reason, rows, Some(example));
        assert_remarks(
            &report.notes,
            &[
                note("key", "shorter than a UUID: replace it if it can be guessed", 1, "No-Name"),
                note("name", "changed to one line of 1 to 64 characters", 2, "No-Name"),
                note(
                    "rate_limit_per_minute",
                    "not positive: all requests get status 429",
                    2,
                    "No-Name",
                ),
                note("balance", "negative: no credits", 1, "No-Name"),
                note("balance", "not a number of credits: no credits", 1, "two lines"),
                note("created_at", "unknown: the time of the import instead", 1, "two lines"),
            ],
        );
        let keys = store.keys().await.unwrap();
        let actual: Vec<_> = keys
            .iter()
            .map(|key| (key.terms.name.as_str(), key.balance, key.terms.rate_per_minute))
            .collect();
        assert_eq!(
            actual,
            [
                ("shop", 100_000_000, 60),
                ("No-Name", 12, 100),
                ("No-Name", 0, 0),
                ("two lines", 0, 0)
            ]
        );
        // 2026-10-01T12:00:00Z.
        assert_eq!((keys[0].created_ms, keys[3].created_ms), (1_790_856_000_000, NOW_MS));
        assert_eq!(store.key_by_secret(KEY).await.unwrap().unwrap().id, keys[0].id);
        assert!(store.is_balanced().await.unwrap());

        // What has changed since the first import stays.
        store.grant(&keys[0].id, -99_999_990, "spent", NOW_MS).await.unwrap();
        store.update_key(&keys[1].id, &KeyTerms::new("renamed", 5)).await.unwrap();
        store.revoke_key(&keys[2].id, NOW_MS).await.unwrap();
        let before = store.keys().await.unwrap();
        let again = store.import(&records, Some(1_000)).await.unwrap();
        assert_eq!(counts(&again, "api_keys"), [7, 0, 5, 2]);
        assert!(again.credits == 0 && again.notes.is_empty(), "{again:#?}");
        assert_eq!(store.keys().await.unwrap(), before);
        assert!(store.is_balanced().await.unwrap());
    }
}

#[tokio::test]
async fn operator_credits_replace_excessive_imported_balances() {
    let Some(server) = Postgres::start() else { return };
    let reference = Reference::create(&server, &[KEYS]).await;
    // Together more than all credits.
    reference.run("UPDATE api_keys SET balance = 9000000000000000 WHERE length(key) = 36").await;
    let records = reference.read().await;
    let location = DatabaseLocation::sqlite();
    let store = location.open().await;
    for refused in [
        records.preview(None).unwrap_err(),
        store.preview_import(&records, None).await.unwrap_err(),
        store.import(&records, None).await.unwrap_err(),
    ] {
        assert!(
            matches!(refused, StoreError::TooManyCredits { remaining: MAX_CREDITS, .. }),
            "{refused}"
        );
    }
    assert_eq!(store.keys().await.unwrap(), []);
    let report = store.import(&records, Some(500)).await.unwrap();
    assert_eq!(report.credits, 2_000);
    assert!(report.notes.iter().all(|note| note.column != "balance"), "{:#?}", report.notes);
    let balances: Vec<_> = store.keys().await.unwrap().iter().map(|key| key.balance).collect();
    assert_eq!(balances, [500; 4]);
    assert!(store.is_balanced().await.unwrap());
}

const NODES: &str = r"
    INSERT INTO nodes (hotkey, coldkey, node_id, incentive, netuid, stake, trust, vtrust, ip, ip_type, port, network)
    SELECT hotkey, 'coldkey', uid, 0.5, netuid, 1000, 0.9, 0.8, '203.0.113.7', 4, 4001, 'finney' FROM (VALUES
        ('5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY', 1, 19),
        ('5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty', 2, 19),
        ('5FLSigC9HGRKVhB9FiEo4Y3koPsNmBmLJbpXg2mp1hXcS59Y', 3, 176)
    ) AS registered (hotkey, uid, netuid)";

/// The last two columns are the identity and the number of minutes before the import.
const REWARDS: &str = r"
    INSERT INTO reward_data (task, node_id, quality_score, node_hotkey, synthetic_query, response_time, volume, metric,
                             id, created_at, validator_hotkey)
    SELECT task, uid, quality, hotkey, synthetic, seconds, volume, metric,
           (lpad(id::text, 8, '0') || '-0000-4000-8000-000000000000')::uuid,
           timestamp '2026-11-21 12:00:00' - minutes * interval '1 minute', 'validator'
    FROM (VALUES
        ('chat-llama-3-2-3b', 2, 0.9,       '5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty', TRUE,  1.5,  300,  200, 1, 60),
        ('chat-llama-3-2-3b', 2, 1.0,       '5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty', FALSE, NULL, NULL, NULL, 2, 120),
        ('avatar',            3, 0.0,       '5FLSigC9HGRKVhB9FiEo4Y3koPsNmBmLJbpXg2mp1hXcS59Y', TRUE,  2,    8,    4, 3, 9000),
        ('chat-llama-3-2-3b', 2, NULL,      '5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty', TRUE,  1,    1,    1, 4, 60),
        ('chat-llama-3-2-3b', 2, 'NaN'::float8, '5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty', TRUE,  1,    1,    1, 5, 60),
        ('chat-llama-3-2-3b', 2, 1.5,       '5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty', TRUE,  1,    1,    1, 6, 61),
        ('chat_llama_3_2_3b', 2, 1,         '5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty', TRUE,  1,    1,    1, 7, 60),
        ('chat-llama-3-2-3b', 2, 1,         'a miner',                                          TRUE,  1,    1,    1, 8, 60),
        ('chat-llama-3-2-3b', 65536, 1,     '5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty', TRUE,  1,    1,    1, 9, 60),
        ('chat-llama-3-2-3b', 2, 1,         '5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty', NULL,  1,    1,    1, 10, 60),
        ('chat-llama-3-2-3b', 2, 1,         '5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty', TRUE,  1,    1,    'Infinity'::float8, 11, 60),
        ('chat-llama-3-2-3b', 2, 1,         '5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty', TRUE,  1,    -1,   1, 12, 60),
        ('chat-llama-3-2-3b', 2, 1,         '5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty', TRUE,  1,    1,    1, 13, -5),
        ('chat-llama-3-2-3b', 2, 1,         '5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty', TRUE,  1,    1,    1, 14, NULL),
        ('chat-llama-3-2-3b', 2, 1,         '5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty', TRUE,  1,    1,    1, 15, 10081),
        ('chat-llama-3-2-3b', 2, 0.1,       '5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty', TRUE,  1,    1,    1, 1, 50)
    ) AS answer (task, uid, quality, hotkey, synthetic, seconds, volume, metric, id, minutes)";

#[tokio::test]
async fn rewards_of_the_reference_keep_their_times_in_every_time_zone() {
    let Some(server) = Postgres::start() else { return };
    let statements = [
        "ALTER TABLE reward_data ALTER COLUMN quality_score DROP NOT NULL",
        "ALTER TABLE reward_data ALTER COLUMN synthetic_query DROP NOT NULL",
        "ALTER TABLE reward_data ALTER COLUMN created_at DROP NOT NULL",
        "ALTER DATABASE reference SET timezone = 'Asia/Tokyo'",
        NODES,
        REWARDS,
    ];
    let reference = Reference::create(&server, &statements).await;
    let records = reference.read().await;
    for location in [DatabaseLocation::sqlite(), DatabaseLocation::postgres(&server, "rewards")] {
        let store = location.open().await;
        let report = store.import(&records, None).await.unwrap();
        assert_eq!(counts(&report, "reward_data"), [16, 3, 0, 13]);
        assert_eq!(counts(&report, "nodes"), [3, 0, 0, 3]);
        assert_eq!(counts(&report, "tasks"), [0; 4]);
        let left_out = |column, reason, rows, job: u32| {
            let id = format!("{job:08}-0000-4000-8000-000000000000");
            (column, reason, rows, Some(id))
        };
        let expected = [
            left_out("quality_score", "NULL", 1, 4),
            left_out("quality_score", "not a number in 0..=1", 2, 6),
            left_out("task", "not the name of a task", 1, 7),
            left_out("node_hotkey", "not an address of the chain", 1, 8),
            left_out("node_id", "not in 0..=65535", 1, 9),
            left_out("synthetic_query", "NULL", 1, 10),
            left_out("metric", "not a number of at least 0", 1, 11),
            left_out("volume", "not a number of at least 0", 1, 12),
            left_out("created_at", "in the future", 1, 13),
            left_out("created_at", "NULL or infinite", 1, 14),
            ("created_at", "older than 7 days", 1, None),
            left_out("id", "duplicate", 1, 1),
        ];
        let expected: Vec<_> = expected
            .iter()
            .map(|(column, reason, rows, id)| {
                ("reward_data", *column, *reason, *rows, id.as_deref())
            })
            .collect();
        assert_remarks(&report.left_out, &expected);
        assert_remarks(
            &report.notes,
            &[(
                "reward_data",
                "node_hotkey",
                "not registered: counts if the hotkey registers again",
                1,
                Some("00000003-0000-4000-8000-000000000000"),
            )],
        );
        let rewards = store.rewards_since(0).await.unwrap();
        let actual: Vec<_> = rewards
            .iter()
            .map(|row| {
                let Reward { quality, metric, created_ms, .. } = row.reward;
                let age = (NOW_MS - created_ms) / MINUTE_MS;
                (row.task.as_str(), row.hotkey, row.synthetic, quality, metric, age)
            })
            .collect();
        let (bob, charlie) = (hotkey("//Bob"), hotkey("//Charlie"));
        // Of two rows with one ID, the older one is imported.
        assert_eq!(
            actual,
            [
                ("chat-llama-3-2-3b", bob, true, Some(0.9), Some(200.0), 60),
                ("chat-llama-3-2-3b", bob, false, Some(1.0), None, 120),
                ("avatar", charlie, true, Some(0.0), Some(4.0), 9_000),
            ]
        );
        let again = store.import(&records, None).await.unwrap();
        assert_eq!(counts(&again, "reward_data"), [16, 0, 4, 12]);
        assert_eq!(again.notes, []);
        assert_eq!(store.rewards_since(0).await.unwrap(), rewards);
    }
    // A time with a time zone is the same instant.
    reference
        .run(
            "ALTER TABLE reward_data ALTER COLUMN created_at
             TYPE TIMESTAMP WITH TIME ZONE USING created_at AT TIME ZONE 'utc'",
        )
        .await;
    let location = DatabaseLocation::sqlite();
    let store = location.open().await;
    store.import(&reference.read().await, None).await.unwrap();
    let ages = store.rewards_since(0).await.unwrap();
    let ages: Vec<_> =
        ages.iter().map(|row| (NOW_MS - row.reward.created_ms) / MINUTE_MS).collect();
    assert_eq!(ages, [60, 120, 9_000]);
}

#[tokio::test]
async fn missing_tables_and_columns_are_reported() {
    let Some(server) = Postgres::start() else { return };
    let reference = Reference::create(&server, &[]).await;
    reference.read().await;
    let has_tables = async || {
        let database = ReferenceDatabase::connect(&reference.url).await.unwrap();
        database.has_tables().await.unwrap()
    };
    assert!(has_tables().await);
    for (sql, expected) in [
        (
            "ALTER TABLE api_keys ALTER COLUMN balance TYPE TEXT",
            "column balance of table api_keys of the reference's database has the type text, expected double precision",
        ),
        (
            "ALTER TABLE reward_data DROP COLUMN metric",
            "table reward_data of the reference's database has no column metric; hint: update the reference, whose \
             migrations add the column",
        ),
        (
            "DROP TABLE contenders_history",
            "the reference's database has no table contenders_history; hint: check the name of the database, and that \
             its user may read the table",
        ),
    ] {
        reference.run(sql).await;
        assert_eq!(reference.try_read().await.unwrap_err().to_string(), expected);
        // The checks are in the order of the tables.
        reference
            .run("ALTER TABLE api_keys ALTER COLUMN balance TYPE REAL USING balance::real")
            .await;
        if sql.contains("metric") {
            reference.run("ALTER TABLE reward_data ADD COLUMN metric DOUBLE PRECISION").await;
        }
    }
    assert!(!has_tables().await);
    // An empty database is not an error of an import into it.
    assert!(Store::read_shared(&server.create("empty")).await.unwrap().is_none());
    let error = ReferenceDatabase::connect("mysql://localhost/x").await.unwrap_err();
    assert!(error.to_string().starts_with("cannot open the reference's database"), "{error}");
}

#[tokio::test]
async fn shared_database_is_read_while_a_validator_uses_it() {
    let Some(server) = Postgres::start() else { return };
    let location = DatabaseLocation::postgres(&server, "shared");
    let store = location.open().await;
    store.create_key(&KeyTerms::new("shop", 60), &[7; 40], NOW_MS).await.unwrap();
    let reader = Store::read_shared(location.url.as_ref().unwrap()).await.unwrap().unwrap();
    assert_eq!(reader.keys().await.unwrap(), store.keys().await.unwrap());
    assert!(reader.create_key(&KeyTerms::new("other", 60), &[8; 40], NOW_MS).await.is_err());
}
