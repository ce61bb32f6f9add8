//! `tao nineteen keys`: API keys with their limits and credits.

use taonet_database::testing::Postgres;

use super::*;

/// Runs a command on the keys in a state directory.
fn keys_of(state: &Path, arguments: &[&str]) -> Output {
    tao()
        .args(["nineteen", "keys", "--json", "--state"])
        .arg(state)
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn keys_are_created_updated_and_revoked() {
    let folder = TempDir::new().unwrap();
    create_database(folder.path());
    let keys = |args: &[&str]| keys_of(folder.path(), args);
    let created =
        document(&keys(&["create", "--name", "shop", "--credits", "50", "--model", "avatar"]));
    let id = created["id"].as_str().unwrap();
    let secret = created["key"].as_str().unwrap();
    assert!(secret.starts_with(&format!("sk-tao-{id}-")), "{created}");
    assert_eq!(document(&keys(&["grant", id, "-20"]))["balance"], 30);
    assert!(refusal(&keys(&["grant", id, "-31"]), 1).contains("has only"));
    let updated = document(&keys(&["update", id, "--all-models", "--budget", "7"]));
    assert_eq!(
        (&updated["models"], &updated["monthly_budget"], &updated["balance"]),
        (&json!(null), &json!(7), &json!(30))
    );
    assert_eq!(
        (&updated["weight"], &document(&keys(&["update", id, "--weight", "3"]))["weight"]),
        (&json!(1), &json!(3))
    );
    let logs = ["--log-requests", "--no-log-requests"]
        .map(|option| document(&keys(&["update", id, option]))["log_requests"].clone());
    assert_eq!((&updated["log_requests"], logs), (&json!(false), [json!(true), json!(false)]));
    for weight in ["0", "101", "1.5"] {
        let text = refusal(&keys(&["create", "--name", "shop", "--weight", weight]), 2);
        assert!(
            text.contains("is not a weight of a key\nhint: use an integer in 1..=100"),
            "{text}"
        );
    }
    document(&keys(&["revoke", id]));
    assert!(refusal(&keys(&["revoke", id]), 1).contains("already revoked"));
    let listed = document(&keys(&["list"]));
    assert!(listed[0]["revoked_ms"].is_number() && listed[0]["weight"] == 3, "{listed}");
    assert_eq!(document(&keys(&["usage"])), json!({"usage": [], "balanced": true}));
    let usage = ["nineteen", "keys", "usage", id, "--csv", "--state"];
    let csv = tao().args(usage).arg(folder.path()).output().unwrap();
    let header = "day,key,model,requests,input_tokens,output_tokens,credits\n";
    assert_eq!(String::from_utf8(csv.stdout).unwrap(), header);
    let month = document(&keys(&["invoice", id, "--month", "2020-02"]));
    assert_eq!(
        (&month["lines"], &month["charged"], &month["grants"]),
        (&json!([]), &json!(0), &json!([]))
    );
    let invoice = ["nineteen", "keys", "invoice", id, "--month", "2020-02", "--csv", "--state"];
    let csv = tao().args(invoice).arg(folder.path()).output().unwrap();
    let header =
        "month,key,name,type,model,requests,input_tokens,output_tokens,time,amount_rao,credits\n";
    assert_eq!(String::from_utf8(csv.stdout).unwrap(), header);
    assert!(
        refusal(&keys(&["invoice", id, "--month", "2020"]), 2)
            .contains("expected a month such as 2026-11")
    );
    assert!(refusal(&keys(&["grant", "none", "1"]), 1).contains("there is no key none"));
    let text = refusal(&keys(&["create", "--name", "shop", "--credits", "9223372036854775807"]), 2);
    assert!(text.contains("9223372036854775807 is not in 0..=9007199254740991"), "{text}");
    assert_eq!(document(&keys(&["list"])).as_array().unwrap().len(), 1, "the key is not created");
    let text = refusal(&keys(&["create", "--name", "shop", "--model", "nosuch"]), 1);
    assert!(text.contains("unknown model nosuch") && text.contains("avatar"), "{text}");
    // A mistyped directory is not created.
    let typo = folder.path().join("typo");
    for command in [&["create", "--name", "shop"][..], &["list"]] {
        let output =
            tao().args(["nineteen", "keys", "--state"]).arg(&typo).args(command).output().unwrap();
        assert!(refusal(&output, 1).contains("typo contains no database of a validator"));
        assert!(!typo.exists());
    }
    // The key's text is nowhere in the database.
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }
}

#[test]
fn limits_of_a_key_are_set_and_removed() {
    let folder = TempDir::new().unwrap();
    create_database(folder.path());
    let keys = |args: &[&str]| keys_of(folder.path(), args);
    let created = document(&keys(&["create", "--name", "shop"]));
    let id = created["id"].as_str().unwrap();
    let limits = ["--daily-budget", "2", "--expires", "2027-01-31T12:00:00Z", "--token-rate", "9"];
    let limited = document(&keys(&[&["update", id][..], &limits].concat()));
    assert_eq!(limited["tokens_per_minute"], 9);
    assert_eq!(
        (&limited["daily_budget"], &limited["expires_ms"]),
        (&json!(2), &json!(1_801_396_800_000_u64))
    );
    let unlimited =
        document(&keys(&["update", id, "--no-daily-budget", "--no-expiry", "--no-token-rate"]));
    assert_eq!(unlimited["tokens_per_minute"], Value::Null);
    assert_eq!(
        (&unlimited["daily_budget"], &unlimited["expires_ms"]),
        (&json!(null), &json!(null))
    );
    assert!(
        refusal(&keys(&["update", id, "--expires", "soon"]), 2).contains("a duration such as 30d")
    );
    let past = ["create", "--name", "shop", "--expires", "2020-01-01T00:00:00Z"];
    assert!(refusal(&keys(&past), 2).contains("--expires is in the past"));
}

#[test]
fn teams_of_keys_are_managed() {
    let folder = TempDir::new().unwrap();
    create_database(folder.path());
    let keys = |args: &[&str]| keys_of(folder.path(), args);
    let text = refusal(&keys(&["create", "--name", "shop", "--team", "shops"]), 1);
    assert!(
        text.contains("unknown team shops") && text.contains("team NAME --create` creates one"),
        "{text}"
    );
    let text = refusal(&keys(&["team", "shpos", "--budget", "70"]), 1);
    assert!(text.contains("unknown team shpos"), "{text}");
    let team =
        document(&keys(&["team", "shops", "--create", "--budget", "70", "--daily-budget", "9"]));
    assert_eq!(
        (&team["name"], &team["monthly_budget"], &team["daily_budget"]),
        (&json!("shops"), &json!(70), &json!(9))
    );
    let id = document(&keys(&["create", "--name", "shop", "--team", "shops"]))["id"].clone();
    let id = id.as_str().unwrap();
    assert_eq!(document(&keys(&["list"]))[0]["team"], "shops");
    let changed = document(&keys(&["team", "shops", "--no-budget"]));
    assert_eq!(
        changed,
        json!({"name": "shops", "monthly_budget": null, "daily_budget": 9, "keys": 1, "spent_in_month": 0, "spent_in_day": 0})
    );
    assert_eq!(document(&keys(&["teams"])), json!([changed]));
    let table =
        tao().args(["nineteen", "keys", "teams", "--state"]).arg(folder.path()).output().unwrap();
    assert!(String::from_utf8(table.stdout).unwrap().contains("spent today"));
    assert!(refusal(&keys(&["update", id, "--team", "other"]), 1).contains("unknown team other"));
    assert_eq!(document(&keys(&["update", id, "--name", "shop 2"]))["team"], "shops");
    let daily =
        document(&keys(&["team", "shops", "--create", "--daily-budget", "8", "--budget", "60"]));
    assert_eq!((&daily["monthly_budget"], &daily["daily_budget"]), (&json!(60), &json!(8)));
    let text = refusal(&keys(&["team", "shops", "--delete"]), 1);
    assert!(text.contains("team shops has 1 key") && text.contains("--no-team"), "{text}");
    assert_eq!(document(&keys(&["update", id, "--no-team"]))["team"], Value::Null);
    refusal(&keys(&["team", "shops", "--delete", "--no-budget"]), 2);
    assert_eq!(document(&keys(&["team", "shops", "--delete"]))["daily_budget"], 8);
    assert_eq!(document(&keys(&["teams"])), json!([]));
    assert!(refusal(&keys(&["team", "shops", "--delete"]), 1).contains("unknown team shops"));
}

#[test]
fn keys_are_managed_in_postgres() {
    let Some(server) = Postgres::start() else { return };
    // Like on two machines: without a common directory.
    let keys = |variables: &[(&str, &str)], args: &[&str]| {
        tao()
            .envs(variables.iter().copied())
            .args(["nineteen", "keys", "--json"])
            .args(args)
            .output()
            .unwrap()
    };
    let url = server.url();
    let database_variable = [("DATABASE_URL", url.as_str())];
    let created =
        document(&keys(&database_variable, &["create", "--name", "shop", "--credits", "50"]));
    let id = created["id"].as_str().unwrap();
    assert_eq!(document(&keys(&[], &["grant", id, "-20", "--database", &url]))["balance"], 30);
    // The state directory has no database then.
    let folder = TempDir::new().unwrap();
    let state = folder.path().join("state").display().to_string();
    assert_eq!(document(&keys(&database_variable, &["list", "--state", &state]))[0]["balance"], 30);
    assert!(!PathBuf::from(&state).exists());
    assert_eq!(
        document(&keys(&database_variable, &["usage"])),
        json!({"usage": [], "balanced": true})
    );
    let explained =
        tao().envs(database_variable).args(["nineteen", "explain", "--json"]).output().unwrap();
    assert_eq!(document(&explained)["miners"], json!([]));
    let text = refusal(&keys(&[], &["list", "--database", "mysql://x"]), 2);
    assert!(text.contains("postgres://USER:PASSWORD@HOST/DATABASE"), "{text}");
    assert!(refusal(&keys(&[], &["list"]), 1).contains("--state is missing"));
    let unreachable =
        format!("postgres://nobody:hunter2@localhost/none?host={}", folder.path().display());
    let text = refusal(&keys(&[("DATABASE_URL", &unreachable)], &["list"]), 1);
    assert!(
        text.contains("cannot open the validator's PostgreSQL database")
            && !text.contains("hunter2"),
        "{text}"
    );
}
