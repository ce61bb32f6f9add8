//! Tests of install.sh with a test key in place of the release key.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::releases::{Keys, Releases, name, program};
use crate::server::{Server, ServerBehaviour};
use crate::{has, repository};

const OLD: &str = "0.1.0";
const NEW: &str = "0.2.0";

/// Returns the line of a public key file that contains the key.
fn line(public: &str) -> String {
    public.lines().nth(1).unwrap().to_owned()
}

/// A copy of install.sh with a test key, and a home directory.
struct Script {
    folder: TempDir,
}

impl Script {
    fn new(keys: &Keys) -> Self {
        let folder = TempDir::new().unwrap();
        let text = fs::read_to_string(repository("install.sh")).unwrap();
        let pinned = line(&fs::read_to_string(repository("crates/update/release.pub")).unwrap());
        assert_eq!(
            text.matches(&pinned).count(),
            1,
            "install.sh and the programs have the same key"
        );
        fs::write(folder.path().join("install.sh"), text.replace(&pinned, &line(&keys.public())))
            .unwrap();
        Self { folder }
    }

    fn bin(&self) -> PathBuf {
        self.folder.path().join(".local/bin")
    }

    fn command(&self, from: &str) -> Command {
        let mut command = Command::new("sh");
        command.arg(self.folder.path().join("install.sh")).args(["--from", from]);
        command.env("HOME", self.folder.path()).env_remove("TAO_UPDATE_URL");
        command
    }

    fn run(&self, from: &Path) -> Output {
        self.command(from.to_str().unwrap()).output().unwrap()
    }

    /// Runs the script against a server, without blocking the server's task.
    async fn run_at(&self, url: &str) -> Output {
        let mut command = self.command(url);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    fn installed(&self, name: &str) -> String {
        fs::read_to_string(self.bin().join(name)).unwrap()
    }

    /// Returns the content of a man page or of completions.
    fn read_shared(&self, path: &str) -> String {
        fs::read_to_string(self.folder.path().join(".local/share").join(path)).unwrap_or_default()
    }

    /// Installs an executable.
    fn write_program(&self, name: &str, content: &str) {
        fs::create_dir_all(self.bin()).unwrap();
        // A shell writes the file: programs that other tests start meanwhile would inherit it from
        // this process while it is open for writing, and until they close it, it cannot be run
        // ("Text file busy").
        let write = r#"printf %s "$2" > "$1" && chmod 755 "$1""#;
        let mut shell = Command::new("sh");
        shell.args(["-c", write, "sh"]).arg(self.bin().join(name)).arg(content);
        assert!(shell.status().unwrap().success());
    }
}

#[track_caller]
fn check_and_read_stderr(output: &Output, success: bool) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.success(), success, "{text}");
    text
}

#[test]
fn release_is_installed_with_its_links_and_updated() {
    if !has("minisign") {
        return;
    }
    let releases = Releases::of(OLD);
    let script = Script::new(&releases.keys);
    script.write_program("bb", "another program");
    let text = check_and_read_stderr(&script.run(releases.path()), true);
    assert!(text.contains("bb is not a link") && text.contains("is not on your PATH"), "{text}");
    assert_eq!(script.installed("tao"), program(OLD));
    assert_eq!(script.installed("bb"), "another program");
    for link in ["sn2-miner", "sn2-validator"] {
        assert_eq!(fs::read_link(script.bin().join(link)).unwrap(), Path::new("tao"));
    }
    fs::remove_file(script.bin().join("bb")).unwrap();
    let text = check_and_read_stderr(&script.run(releases.path()), true);
    assert!(text.contains("tao 0.1.0 is up to date"), "{text}");
    assert_eq!(script.installed("bb"), program(OLD));
    releases.publish(NEW, program(NEW).as_bytes());
    check_and_read_stderr(&script.run(releases.path()), true);
    assert_eq!(
        (script.installed("tao"), script.installed("tao.previous")),
        (program(NEW), program(OLD))
    );
    releases.announce(OLD);
    let text = check_and_read_stderr(&script.run(releases.path()), false);
    assert!(text.contains("older than the installed version 0.2.0"), "{text}");
    assert_eq!(script.installed("tao"), program(NEW));
    // Installation into another directory.
    let other_directory = TempDir::new().unwrap();
    let mut command = script.command(releases.path().to_str().unwrap());
    check_and_read_stderr(
        &command.arg("--prefix").arg(other_directory.path()).output().unwrap(),
        true,
    );
    assert!(other_directory.path().join("bin/tao").exists());
}

/// The daemons of these tests are ready only with the old program.
#[test]
fn previous_program_is_restored_when_daemons_do_not_become_ready() {
    if !has("minisign") {
        return;
    }
    let releases = Releases::of(NEW);
    let script = Script::new(&releases.keys);
    let log = script.folder.path().join("log");
    let restart = |condition: &str| {
        let mut command = script.command(releases.path().to_str().unwrap());
        let tao = script.bin().join("tao");
        let restart = format!("'{}' --version >>'{}'; {condition}", tao.display(), log.display());
        command.args(["--restart", &restart]).output().unwrap()
    };
    let runs = || fs::read_to_string(&log).unwrap_or_default();
    check_and_read_stderr(&restart("false"), true);
    assert_eq!(runs(), "", "there were no daemons before the first installation");
    script.write_program("tao", &program(OLD));
    let text = check_and_read_stderr(
        &restart(&format!("tail -n 1 '{}' | grep -q {OLD}", log.display())),
        false,
    );
    assert!(
        text.contains("with version 0.2.0; the previous one was restored, and they run it"),
        "{text}"
    );
    assert_eq!(
        (script.installed("tao"), runs()),
        (program(OLD), "tao 0.2.0\ntao 0.1.0\n".to_owned())
    );
    let text = check_and_read_stderr(&restart("false"), false);
    assert!(text.contains("neither with version 0.2.0 nor with the previous one"), "{text}");
    assert_eq!(script.installed("tao"), program(OLD));
    check_and_read_stderr(&restart("true"), true);
    assert_eq!(
        (script.installed("tao"), script.installed("tao.previous")),
        (program(NEW), program(OLD))
    );
}

#[test]
fn man_pages_and_completions_match_the_installed_program() {
    if !has("minisign") {
        return;
    }
    let releases = Releases::of(OLD);
    let script = Script::new(&releases.keys);
    script.write_program("bb", "another program");
    let assert_shared_files = |version: &str, program: &str| {
        for (path, shell) in [
            (format!("bash-completion/completions/{program}"), "bash"),
            (format!("zsh/site-functions/_{program}"), "zsh"),
            (format!("fish/vendor_completions.d/{program}.fish"), "fish"),
        ] {
            assert_eq!(script.read_shared(&path), format!("{shell} {program} {version}\n"));
        }
        assert_eq!(script.read_shared("man/man1/tao.1"), format!("{version}\n"));
    };
    check_and_read_stderr(&script.run(releases.path()), true);
    assert_shared_files(OLD, "tao");
    assert_eq!(script.read_shared("bash-completion/completions/bb"), "", "bb is another program");
    // After `tao update`, the program is up to date.
    fs::remove_file(script.bin().join("bb")).unwrap();
    releases.publish(NEW, program(NEW).as_bytes());
    script.write_program("tao", &program(NEW));
    let text = check_and_read_stderr(&script.run(releases.path()), true);
    assert!(text.contains("tao 0.2.0 is up to date") && !text.contains("man pages"), "{text}");
    assert_shared_files(NEW, "tao");
    assert_shared_files(NEW, "bb");
    // The program is installed even if they cannot be.
    fs::remove_dir_all(script.folder.path().join(".local/share")).unwrap();
    fs::write(script.folder.path().join(".local/share"), "a file").unwrap();
    let text = check_and_read_stderr(&script.run(releases.path()), true);
    assert!(text.contains("warning: man pages and completions are not installed"), "{text}");
}

#[test]
fn versions_are_ordered_semantically() {
    if !has("minisign") {
        return;
    }
    for (installed, latest, newer) in [
        ("0.9.0", "0.10.0", true),
        ("0.10.0", "0.9.9", false),
        ("1.0.0-rc.1", "1.0.0", true),
        ("1.0.0", "1.0.1-rc.1", true),
        ("1.0.1-rc.1", "1.0.0", false),
        ("1.0.0-rc.2", "1.0.0-rc.10", true),
        ("1.0.0-rc.10", "1.0.0-rc.9", false),
        ("1.0.0-alpha", "1.0.0-alpha.1", true),
        ("1.0.0-beta", "1.0.0-alpha.1", false),
        ("1.0.0-1", "1.0.0-alpha", true),
    ] {
        let releases = Releases::of(latest);
        let script = Script::new(&releases.keys);
        script.write_program("tao", &program(installed));
        let text = check_and_read_stderr(&script.run(releases.path()), newer);
        assert_eq!(
            script.installed("tao"),
            program(if newer { latest } else { installed }),
            "{text}"
        );
    }
}

#[test]
fn releases_that_are_not_authentic_are_refused() {
    if !has("minisign") {
        return;
    }
    let releases = Releases::of(NEW);
    let script = Script::new(&releases.keys);
    script.write_program("tao", &program(OLD));
    let assert_refused = |expected: &str| {
        let text = check_and_read_stderr(&script.run(releases.path()), false);
        assert!(text.contains(expected), "{expected}: {text}");
        assert_eq!(script.installed("tao"), program(OLD));
        assert!(!script.bin().join(".tao.install").exists());
    };
    let (list, signature) =
        (releases.file(NEW, "SHA256SUMS"), releases.file(NEW, "SHA256SUMS.minisig"));
    let (sums, signed) =
        (fs::read_to_string(&list).unwrap(), fs::read_to_string(&signature).unwrap());
    let impostor = releases.keys.with_same_id().sign(sums.as_bytes());
    for bad_signature in
        [Keys::new(2).sign(sums.as_bytes()), impostor, releases.keys.sign(b"other"), String::new()]
    {
        fs::write(&signature, bad_signature).unwrap();
        assert_refused("is not signed with the release key");
    }
    fs::remove_file(&signature).unwrap();
    assert_refused("cannot read 0.2.0/SHA256SUMS.minisig");
    fs::write(&signature, signed).unwrap();
    fs::write(&list, sums.replace('0', "1")).unwrap();
    assert_refused("is not signed with the release key");
    releases.list(NEW, &format!("{}  {}.sig\n", "0".repeat(64), name(NEW)));
    assert_refused("does not list");
    releases.list(NEW, &format!("{sums}{}  {}\n", "0".repeat(64), name(NEW)));
    assert_refused("lists tao-0.2.0");
    releases.list(NEW, &sums);
    fs::write(releases.file(NEW, &name(NEW)), program(NEW) + "# changed\n").unwrap();
    assert_refused("does not match the SHA-256");
    releases.publish(NEW, b"#!/bin/sh\nexit 1\n");
    assert_refused("failed its self-test");
    releases.publish(NEW, program("0.3.0").as_bytes());
    assert_refused("failed its self-test");
    let script_text =
        format!("#!/bin/sh\ncase $0 in *.install) echo tao {NEW} ;; *) exit 1 ;; esac\n");
    releases.publish(NEW, script_text.as_bytes());
    assert_refused("the previous one was restored");
    let first_install = Script::new(&releases.keys);
    let text = check_and_read_stderr(&first_install.run(releases.path()), false);
    assert!(text.contains("after the installation, and was removed"), "{text}");
    assert!(!first_install.bin().join("tao").exists());
    for bad_metadata in ["", "{}", r#"{"version": "../0.2.0"}"#, r#"{"version": "0.2.0; touch x"}"#]
    {
        fs::write(releases.path().join("latest.json"), bad_metadata).unwrap();
        assert_refused("latest.json has no valid version");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_downloads_resume_and_are_bounded() {
    if !has("minisign") || !has("curl") {
        return;
    }
    let releases = Releases::of(NEW);
    let long_program = program(NEW) + &"# padding\n".repeat(10_000);
    releases.publish(NEW, long_program.as_bytes());
    let server = Server::start(releases.path().to_owned(), ServerBehaviour::Breaks(60_000)).await;
    let script = Script::new(&releases.keys);
    let text = check_and_read_stderr(&script.run_at(server.url()).await, false);
    assert!(text.contains("run this again to resume"), "{text}");
    server.set(ServerBehaviour::Honest);
    check_and_read_stderr(&script.run_at(server.url()).await, true);
    assert_eq!(script.installed("tao"), long_program);
    assert_eq!(server.offsets(), [0, 60_000]);
    // A partial download of a different program.
    let script = Script::new(&releases.keys);
    script.write_program(".tao.install", "of another program");
    check_and_read_stderr(&script.run_at(server.url()).await, true);
    assert_eq!(script.installed("tao"), long_program);
    // A document that never ends.
    let script = Script::new(&releases.keys);
    fs::write(releases.path().join("latest.json"), vec![b' '; 1 << 20]).unwrap();
    let text = check_and_read_stderr(&script.run_at(server.url()).await, false);
    assert!(text.contains("cannot read latest.json"), "{text}");
}

#[test]
fn install_script_reports_missing_programs() {
    let releases = Releases::of(NEW);
    let script = Script::new(&releases.keys);
    let mut without_server = Command::new("sh");
    without_server.arg(script.folder.path().join("install.sh")).env_remove("TAO_UPDATE_URL");
    let text = check_and_read_stderr(
        &without_server.env("HOME", script.folder.path()).output().unwrap(),
        false,
    );
    assert!(text.contains("--from URL"), "{text}");
    let mut command = script.command(releases.path().to_str().unwrap());
    let sh = if Path::new("/bin/sh").exists() { "/bin/sh" } else { "sh" };
    let mut shell = Command::new(sh);
    shell
        .args(command.get_args())
        .env("HOME", script.folder.path())
        .env("PATH", script.folder.path());
    let text = check_and_read_stderr(&shell.output().unwrap(), false);
    assert!(text.contains("apt-get install minisign"), "{text}");
    let text = check_and_read_stderr(&command.arg("--nonsense").output().unwrap(), false);
    assert!(text.contains("unknown argument: --nonsense"), "{text}");
    let output = Command::new("sh").arg(repository("install.sh")).arg("--help").output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("--prefix DIR"));
    assert!(!script.bin().exists());
}
