//! `tao nineteen migrate`: imports from the reference's database that are previewed, repeated,
//! killed and refused.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use taonet_database::testing::Postgres;
use taonet_database::{Database, migrations, statement};
use tokio::runtime::Runtime;

use super::*;
use crate::support::kill_count;

/// Address of //Bob in the rows of the reference.
macro_rules! bob {
    () => {
        "'5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty'"
    };
}

/// Key of a buyer at the reference.
pub(crate) const KEY: &str = "0b7f4c52-6c0e-4d29-9d0e-6a3b8f6b1c11";
const KEYS: &str =
    "INSERT INTO api_keys (key, name, balance, rate_limit_per_minute, created_at) VALUES
    ('0b7f4c52-6c0e-4d29-9d0e-6a3b8f6b1c11', 'shop', 100000000, 60, now() AT TIME ZONE 'utc'),
    ('1b7f4c52-6c0e-4d29-9d0e-6a3b8f6b1c12', 'debtor', -5, 600, now() AT TIME ZONE 'utc')";
const NODES: &str = concat!(
    "INSERT INTO nodes (hotkey, coldkey, node_id, incentive, netuid, stake, trust, vtrust, ip, ip_type, port, network)
     VALUES (",
    bob!(),
    ", 'coldkey', 2, 0.5, 19, 1000, 0.9, 0.8, '203.0.113.7', 4, 4001, 'finney')"
);
/// One row every ten minutes.
const REWARDS: &str = concat!(
    "INSERT INTO reward_data (id, task, node_id, quality_score, validator_hotkey, node_hotkey, synthetic_query,
                              response_time, volume, created_at, metric)
     SELECT gen_random_uuid(), 'chat-llama-3-2-3b', 2, 1, 'validator', ",
    bob!(),
    ", TRUE, 2, 300, now() AT TIME ZONE 'utc' - i * interval '10 minutes', 150 FROM generate_series(1, 60) AS i"
);
/// Nine perfect periods, after which a miner has no probation.
const HISTORY: &str = concat!(
    "INSERT INTO contenders_history (contender_id, node_hotkey, node_id, netuid, task, validator_hotkey, raw_capacity,
                                     capacity, capacity_to_score, consumed_capacity, total_requests_made, period_score,
                                     created_at, updated_at, expired_at)
     SELECT 'contender', ",
    bob!(),
    ", 2, 19, 'chat-llama-3-2-3b', 'validator', 120000, 120000, 9600, 12000, 40, 1,
       now() AT TIME ZONE 'utc' - (i + 1) * interval '30 minutes', now() AT TIME ZONE 'utc',
       now() AT TIME ZONE 'utc' - i * interval '30 minutes' FROM generate_series(1, 9) AS i"
);
/// 20 000 further rows: keys, rewards, and scores of 100 tasks in 50 periods after the others.
const MANY: [&str; 3] = [
    "INSERT INTO api_keys (key, name, balance, created_at)
     SELECT gen_random_uuid()::text, 'buyer ' || i, 1000, now() AT TIME ZONE 'utc' FROM generate_series(1, 1000) AS i",
    concat!(
        "INSERT INTO reward_data (id, task, node_id, quality_score, validator_hotkey, node_hotkey, synthetic_query)
         SELECT gen_random_uuid(), 'chat-llama-3-2-3b', 2, 1, 'validator', ",
        bob!(),
        ", FALSE FROM generate_series(1, 14000)"
    ),
    concat!(
        "INSERT INTO contenders_history (contender_id, node_hotkey, node_id, netuid, task, validator_hotkey,
                                         raw_capacity, capacity, capacity_to_score, consumed_capacity, created_at,
                                         updated_at, expired_at)
         SELECT 'contender', ",
        bob!(),
        ", 2, 19, 'task-' || task, 'validator', 1, 1, 1, 0,
           now() AT TIME ZONE 'utc' - (1 + period) * interval '30 seconds', now() AT TIME ZONE 'utc',
           now() AT TIME ZONE 'utc' - period * interval '30 seconds'
         FROM generate_series(1, 50) AS period, generate_series(1, 100) AS task"
    ),
];

/// The database of the reference's validator.
pub(crate) struct Reference {
    database: Database,
    url: String,
    server: Postgres,
    runtime: Runtime,
}

impl Reference {
    /// Starts a server with a database of a few rows; `None` if PostgreSQL is not installed.
    pub(crate) fn start() -> Option<Self> {
        let server = Postgres::start()?;
        let (runtime, url) = (Runtime::new().unwrap(), server.create("19_db"));
        let schema = include_str!("../../../subnets/nineteen/store/src/tests/reference.sql");
        let schema = migrations(&[(1, "reference", schema)]);
        let database = runtime.block_on(Database::postgres(&url, &schema)).unwrap();
        let reference = Self { database, url, server, runtime };
        for rows in [KEYS, NODES, REWARDS, HISTORY] {
            reference.run(rows);
        }
        Some(reference)
    }

    fn run(&self, sql: &'static str) {
        self.runtime.block_on(statement(sql).execute(&self.database)).unwrap();
    }

    /// Directory of the server's socket.
    pub(crate) fn host(&self) -> &str {
        self.url.split_once("?host=").unwrap().1
    }

    /// Writes the file of the reference's variables.
    pub(crate) fn write_variables(file: &Path) {
        let variables = "POSTGRES_USER=postgres\nPOSTGRES_PASSWORD=hunter2\nPOSTGRES_DB=19_db\nPOSTGRES_HOST=postgresql\n";
        std::fs::write(file, variables).unwrap();
    }

    /// Returns a digest of all rows of the tables that a validator writes.
    pub(crate) fn digest(&self) -> String {
        let digest = "SELECT md5(
            (SELECT string_agg(row::text, ',' ORDER BY row::text) FROM api_keys AS row) ||
            (SELECT string_agg(row::text, ',' ORDER BY row::text) FROM nodes AS row) ||
            (SELECT string_agg(row::text, ',' ORDER BY row::text) FROM reward_data AS row) ||
            (SELECT string_agg(row::text, ',' ORDER BY row::text) FROM contenders_history AS row) ||
            (SELECT string_agg(table_name, ',' ORDER BY table_name) FROM information_schema.tables
             WHERE table_schema = 'public'))";
        self.runtime.block_on(statement(digest).value(&self.database)).unwrap().unwrap()
    }

    /// Returns the command of an import.
    fn migrate(&self, arguments: &[&str]) -> Command {
        let mut command = tao();
        command.args(["nineteen", "migrate", "--from", &self.url]).args(arguments);
        command
    }
}

/// A validator's database that an import fills: a directory, or a PostgreSQL database.
struct Target {
    folder: TempDir,
    url: Option<String>,
}

impl Target {
    fn of(url: Option<String>) -> Self {
        Self { folder: TempDir::new().unwrap(), url }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Completes the command of an import.
    fn fill<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        match &self.url {
            Some(url) => command.env("DATABASE_URL", url),
            None => command.arg("--state").arg(self.state()),
        }
    }

    /// Returns the numbers of keys, rewards and period scores; the books must balance.
    async fn rows(&self) -> [usize; 3] {
        let store = match &self.url {
            Some(url) => Store::connect(url).await.unwrap(),
            None => Store::open(&self.state()).await.unwrap(),
        };
        assert!(store.is_balanced().await.unwrap());
        let keys = store.keys().await.unwrap().len();
        let rewards = store.rewards_since(0).await.unwrap().len();
        let scores = store.history_since(0).await.unwrap().len();
        store.close().await;
        [keys, rewards, scores]
    }
}

/// Returns the outcome for a table: rows, imported, present, left out.
fn outcome(report: &Value, table: &str) -> Vec<u64> {
    let tables = report["tables"].as_array().unwrap();
    let row = tables.iter().find(|row| row["table"] == table).unwrap();
    ["rows", "imported", "present", "left_out"].map(|column| row[column].as_u64().unwrap()).into()
}

#[test]
fn import_is_previewed_and_idempotent() {
    let Some(reference) = Reference::start() else { return };
    let (before, folder) = (reference.digest(), TempDir::new().unwrap());
    let state = folder.path().join("state").display().to_string();
    let migrate = |extra_args: &[&str]| {
        let arguments = [&["--state", &state, "--json"][..], extra_args].concat();
        document(&reference.migrate(&arguments).output().unwrap())
    };
    let preview = migrate(&["--check"]);
    assert!(!Path::new(&state).exists(), "a preview creates nothing");
    assert_eq!(
        (&preview["check"], &preview["periods"], &preview["credits"]),
        (&json!(true), &json!(9), &json!(100_000_000))
    );
    assert_eq!(outcome(&preview, "api_keys"), [2, 2, 0, 0]);
    assert_eq!(outcome(&preview, "contenders"), [0, 0, 0, 0]);
    assert_eq!(preview["left_out"], json!([]));
    assert_eq!(preview["notes"].as_array().unwrap().len(), 1, "{preview:#}");
    assert_eq!(
        preview["notes"][0],
        json!({
            "table": "api_keys", "column": "balance", "reason": "negative: no credits", "rows": 1, "example": "debtor",
        })
    );
    let mut imported = migrate(&[]);
    imported["check"] = json!(true);
    assert_eq!(imported, preview);
    for extra_args in [&["--check"][..], &[]] {
        let repeated = migrate(extra_args);
        assert_eq!(outcome(&repeated, "api_keys"), [2, 0, 2, 0]);
        assert_eq!(outcome(&repeated, "reward_data"), [60, 0, 60, 0]);
        assert_eq!(outcome(&repeated, "contenders_history"), [9, 0, 9, 0]);
        assert_eq!((&repeated["credits"], &repeated["notes"]), (&json!(0), &json!([])));
    }
    let keys = tao().args(["nineteen", "keys", "list", "--json", "--state", &state]).output();
    let keys = document(&keys.unwrap());
    let keys = keys.as_array().unwrap();
    let key = keys.iter().find(|key| key["name"] == "shop").unwrap();
    assert_eq!((&key["balance"], &key["rate_per_minute"]), (&json!(100_000_000), &json!(60)));
    assert_eq!(keys.len(), 2);
    assert_eq!(reference.digest(), before, "the reference's database is never written");
    // New rows of the reference are added.
    for rows in MANY {
        reference.run(rows);
    }
    let text = reference.migrate(&["--state", &state]).output().unwrap();
    assert!(text.status.success(), "{}", stderr(&text));
    let text = String::from_utf8(text.stdout).unwrap();
    let summary =
        "imported: 1000 API keys with 1000000 credits, 14000 rewards, 5000 scores of 50 periods";
    assert!(text.trim_end().ends_with(summary), "{text}");
}

#[test]
fn killed_import_is_atomic() {
    let Some(reference) = Reference::start() else { return };
    for rows in MANY {
        reference.run(rows);
    }
    let before = reference.digest();
    let all = [1_002, 14_060, 5_009];
    let start = Instant::now();
    let undisturbed = Target::of(None);
    let output = undisturbed.fill(&mut reference.migrate(&[])).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let duration = start.elapsed();
    assert_eq!(reference.runtime.block_on(undisturbed.rows()), all);
    // As docs/migrate.md says.
    assert!(duration < Duration::from_mins(1), "{duration:?}");
    let seed: u64 = rand::random();
    println!("seed {seed}, an import takes {duration:?}");
    let mut random = StdRng::seed_from_u64(seed);
    for kill in 0..kill_count() {
        let url = (kill % 2 == 1).then(|| reference.server.create(&format!("market_{kill}")));
        let target = Target::of(url);
        let mut command = reference.migrate(&[]);
        let command = target.fill(&mut command).stdout(Stdio::null()).stderr(Stdio::null());
        let mut import = command.spawn().unwrap();
        std::thread::sleep(duration.mul_f64(random.random_range(0.0..1.2)));
        import.kill().unwrap();
        import.wait().unwrap();
        let rows = reference.runtime.block_on(target.rows());
        assert!(rows == [0; 3] || rows == all, "{rows:?} after kill {kill}");
        // The import is completed, or has nothing to do.
        let output = target.fill(&mut reference.migrate(&[])).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(reference.runtime.block_on(target.rows()), all);
    }
    assert_eq!(reference.digest(), before, "the reference's database is never written");
}

#[test]
fn refused_imports_name_their_cause() {
    let Some(reference) = Reference::start() else { return };
    let folder = TempDir::new().unwrap();
    let state = folder.path().join("state").display().to_string();
    let run = |arguments: &[&str], settings: &[(&str, &str)]| {
        let mut command = tao();
        command.args(["nineteen", "migrate"]).args(arguments).envs(settings.iter().copied());
        command.current_dir(folder.path()).output().unwrap()
    };
    let from = ["--from", reference.url.as_str(), "--state", &state];
    let text = refusal(&run(&from[..2], &[]), 1);
    assert!(text.contains("--state is missing"), "{text}");
    let text = refusal(&run(&from[..2], &[("DATABASE_URL", reference.url.as_str())]), 2);
    assert!(text.contains("is that of the reference") && text.contains("createdb"), "{text}");
    std::fs::write(folder.path().join("vali.env"), "POSTGRES_USER=a\nPOSTGRES_DB=b\n").unwrap();
    let text = refusal(&run(&["--from", "vali.env", "--state", &state], &[]), 2);
    assert!(text.contains("vali.env does not set POSTGRES_PASSWORD"), "{text}");
    let absent = "postgres://postgres:hunter2@localhost/none";
    let arguments = ["--from", absent, "--from-host", reference.host(), "--state", &state];
    let text = refusal(&run(&arguments, &[]), 1);
    assert!(text.contains("cannot open the reference's database"), "{text}");
    assert!(text.contains("--from-host") && !text.contains("hunter2"), "{text}");
    // A file of the reference, and the directory of the server's socket.
    Reference::write_variables(&folder.path().join(".vali.env"));
    let arguments = ["--from", ".vali.env", "--from-host", reference.host(), "--state", &state];
    assert_eq!(
        document(&run(&[&arguments[..], &["--check", "--json"]].concat(), &[]))["periods"],
        9
    );

    let store = reference.runtime.block_on(Store::open(Path::new(&state))).unwrap();
    let lock = reference.runtime.block_on(store.lock_control()).unwrap();
    let text = refusal(&run(&from, &[]), 1);
    assert!(text.contains("another validator process uses this database"), "{text}");
    drop(lock);
    reference.run("UPDATE api_keys SET balance = 9000000000000000");
    let text = refusal(&run(&from, &[]), 1);
    assert!(text.contains("cannot grant") && text.contains("grant at most"), "{text}");
    reference.run("ALTER TABLE reward_data ALTER COLUMN volume TYPE TEXT");
    let text = refusal(&run(&from, &[]), 1);
    assert!(text.contains("column volume of table reward_data"), "{text}");
    reference.run("ALTER TABLE reward_data DROP COLUMN metric");
    reference.run("ALTER TABLE reward_data DROP COLUMN volume");
    let text = refusal(&run(&from, &[]), 1);
    assert!(text.contains("table reward_data") && text.contains("no column volume"), "{text}");
    reference.run("DROP TABLE api_keys CASCADE");
    let text = refusal(&run(&from, &[]), 1);
    assert!(text.contains("has no table api_keys"), "{text}");
    let rows = Target { folder, url: None };
    assert_eq!(reference.runtime.block_on(rows.rows()), [0; 3]);
}
