use std::fs;

use proptest::prelude::*;
use taonet_wallet::{CryptoType, Signature};

use super::*;

const SECOND: u64 = 1_000_000_000;
const NOW: u64 = 1_800_000_000 * SECOND;
const WINDOW: Window = Window {
    past: Duration::from_secs(4),
    future: Duration::from_secs(3),
    max_timeout: Duration::from_mins(1),
};
const BOUNDS: ReplayBounds = ReplayBounds { per_sender: 10, total: 100 };
const BOOT_ID: Option<&str> = Some("f3b5a8a0-0000-4000-8000-000000000000");

fn claim_of(sender: u8, uuid: &str, nonce: u64) -> Claim {
    Claim {
        sender: Hotkey::from_bytes([sender; 32]),
        receiver: None,
        nonce,
        uuid: Some(uuid.to_owned()),
        body_hash: None,
        timeout: Duration::ZERO,
        dated: true,
        crypto_type: CryptoType::Sr25519,
        signature: Signature::from_bytes([0; 64]),
    }
}

fn claim(sender: u8, nonce: u64) -> Claim {
    claim_of(sender, "a", nonce)
}

fn guard(rule: ReplayRule, total: usize) -> ReplayGuard {
    ReplayGuard::new(&WINDOW, rule, ReplayBounds { total, ..BOUNDS })
}

fn is_stale(result: &Result<(), Refusal>) -> bool {
    matches!(result, Err(Refusal::Stale { .. }))
}

#[test]
fn request_is_accepted_once_per_sender() {
    let guard = guard(ReplayRule::Once, 100);
    assert_eq!(guard.accept(&claim(1, NOW), NOW), Ok(()));
    assert_eq!(guard.accept(&claim(1, NOW), NOW), Err(Refusal::Replayed));
    assert_eq!(
        guard.accept(&claim_of(1, "b", NOW), NOW),
        Err(Refusal::Replayed),
        "whatever else it says"
    );
    assert_eq!(guard.accept(&claim(1, NOW - 1), NOW), Ok(()));
    assert_eq!(guard.accept(&claim(2, NOW), NOW), Ok(()));
    // Remembered to the end of the longest window, then stale.
    assert_eq!(guard.accept(&claim(1, NOW), NOW + 64 * SECOND), Err(Refusal::Replayed));
    assert!(is_stale(&guard.accept(&claim(1, NOW), NOW + 64 * SECOND + 1)));
}

#[test]
fn nonces_must_increase_per_process() {
    for rule in [ReplayRule::Increasing, ReplayRule::IncreasingForEver] {
        let guard = guard(rule, 100);
        assert_eq!(guard.accept(&claim_of(1, "a", NOW), NOW), Ok(()));
        for nonce in [NOW, NOW - 1] {
            assert_eq!(guard.accept(&claim_of(1, "a", nonce), NOW), Err(Refusal::Replayed));
        }
        assert_eq!(guard.accept(&claim_of(1, "b", NOW - 1), NOW), Ok(()));
        assert_eq!(guard.accept(&claim_of(2, "a", NOW - 1), NOW), Ok(()));
        assert_eq!(guard.accept(&claim_of(1, "a", NOW + 1), NOW), Ok(()));
        assert_eq!(guard.len(), 3);
        let later = NOW + 1_000 * SECOND;
        let replay = guard.accept(&claim_of(1, "a", NOW + 1), later);
        match rule {
            ReplayRule::IncreasingForEver => assert_eq!(replay, Err(Refusal::Replayed)),
            _ => assert!(is_stale(&replay)),
        }
    }
}

#[test]
fn flood_is_refused_without_evicting_others() {
    for rule in [ReplayRule::Once, ReplayRule::Increasing] {
        let guard = guard(rule, 15);
        assert_eq!(guard.accept(&claim(1, NOW), NOW), Ok(()));
        for extra in 0..1_000 {
            let expected = if extra < 10 { Ok(()) } else { Err(Refusal::ReplayCacheFull) };
            assert_eq!(guard.accept(&claim_of(2, &extra.to_string(), NOW + extra), NOW), expected);
        }
        assert_eq!(guard.accept(&claim(1, NOW), NOW), Err(Refusal::Replayed));
        // One flooding sender leaves space for others; many together use it up.
        for other in 3..=6 {
            assert_eq!(guard.accept(&claim(other, NOW), NOW), Ok(()));
        }
        assert_eq!(guard.accept(&claim(7, NOW), NOW), Err(Refusal::ReplayCacheFull));
        assert_eq!(guard.accept(&claim_of(1, "b", NOW + 1), NOW), Err(Refusal::ReplayCacheFull));
        assert_eq!(guard.len(), 15);
        // After the window all senders are accepted again.
        let later = NOW + 65 * SECOND;
        assert_eq!(guard.accept(&claim(7, later), later), Ok(()));
        assert_eq!(guard.len(), 1);
    }
}

#[test]
fn clock_set_back_accepts_no_replay() {
    let guard = guard(ReplayRule::Once, 100);
    assert_eq!(guard.accept(&claim(1, NOW), NOW), Ok(()));
    let later = NOW + 100 * SECOND;
    assert_eq!(guard.accept(&claim(1, later), later), Ok(()));
    assert!(is_stale(&guard.accept(&claim(1, NOW), NOW)));
}

/// A folder with a log; "killing" is dropping the guard, which writes nothing.
struct Disk(tempfile::TempDir);

impl Disk {
    /// Creates a log with an earlier start, 100 s before `NOW`, so that requests signed at `NOW`
    /// are accepted.
    fn new() -> Self {
        let disk = Self(tempfile::tempdir().unwrap());
        drop(disk.open(ReplayRule::Once, NOW - 100 * SECOND, BOOT_ID));
        disk
    }

    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("replay")
    }

    fn open(&self, rule: ReplayRule, now: u64, boot: Option<&str>) -> ReplayGuard {
        ReplayGuard::open_with_boot_id(&self.path(), &WINDOW, rule, BOUNDS, now, boot).unwrap()
    }
}

const RULES: [ReplayRule; 3] =
    [ReplayRule::Once, ReplayRule::Increasing, ReplayRule::IncreasingForEver];

#[test]
fn restart_accepts_no_replay() {
    for rule in RULES {
        let disk = Disk::new();
        let first = disk.open(rule, NOW, BOOT_ID);
        for nonce in [NOW, NOW + 1, NOW + SECOND] {
            assert_eq!(first.accept(&claim(1, nonce), NOW), Ok(()));
        }
        drop(first);
        for _ in 0..3 {
            let next = disk.open(rule, NOW + 2 * SECOND, BOOT_ID);
            for nonce in [NOW, NOW + 1, NOW + SECOND] {
                assert_eq!(
                    next.accept(&claim(1, nonce), NOW + 2 * SECOND),
                    Err(Refusal::Replayed),
                    "{rule:?}"
                );
            }
        }
        let next = disk.open(rule, NOW + 2 * SECOND, BOOT_ID);
        assert_eq!(next.accept(&claim(1, NOW + 2 * SECOND), NOW + 2 * SECOND), Ok(()));
    }
}

#[test]
fn replay_log_rotation_leaves_no_gap() {
    for rule in RULES {
        let disk = Disk::new();
        let mut now = NOW;
        let mut accepted = Vec::new();
        let mut guard = disk.open(rule, now, BOOT_ID);
        // Six rotations; every 50 s the process is killed.
        for step in 0..40 {
            now += 10 * SECOND;
            assert_eq!(guard.accept(&claim(1, now), now), Ok(()));
            accepted.push(now);
            if step % 5 == 4 {
                drop(guard);
                guard = disk.open(rule, now, BOOT_ID);
            }
            for nonce in &accepted {
                let replay = guard.accept(&claim(1, *nonce), now);
                assert!(
                    replay == Err(Refusal::Replayed) || is_stale(&replay),
                    "{rule:?} {replay:?}"
                );
            }
        }
        // A window has 6 or 7 requests; the log holds at most two windows and two headers.
        let bytes: u64 = ["replay", "replay.old"]
            .iter()
            .filter_map(|name| fs::metadata(disk.0.path().join(name)).ok())
            .map(|data| data.len())
            .sum();
        assert!(bytes < 30 * 60, "{bytes}");
    }
}

#[test]
fn forever_increasing_rule_keeps_nonces_after_the_window() {
    let disk = Disk(tempfile::tempdir().unwrap());
    let guard = disk.open(ReplayRule::IncreasingForEver, NOW, BOOT_ID);
    assert_eq!(guard.accept(&claim(1, 5), NOW), Ok(()));
    for step in 1..10 {
        let now = NOW + step * 100 * SECOND;
        assert_eq!(guard.accept(&claim(2, now), now), Ok(()));
    }
    drop(guard);
    let next = disk.open(ReplayRule::IncreasingForEver, NOW + 2_000 * SECOND, BOOT_ID);
    assert_eq!(next.accept(&claim(1, 5), NOW + 2_000 * SECOND), Err(Refusal::Replayed));
    assert_eq!(next.accept(&claim(1, 6), NOW + 2_000 * SECOND), Ok(()));
}

/// Deletes the log, but not the lock file.
fn delete_log(disk: &Disk) {
    let _ = fs::remove_file(disk.path());
    let _ = fs::remove_file(disk.0.path().join("replay.old"));
}

#[test]
fn requests_before_machine_crash_are_refused() {
    for rule in RULES {
        for boot in [Some("another"), None] {
            let disk = Disk::new();
            let guard = disk.open(rule, NOW, BOOT_ID);
            // The sender's clock is 2 s ahead.
            let ahead = NOW + 2 * SECOND;
            assert_eq!(guard.accept(&claim(1, ahead), NOW), Ok(()));
            drop(guard);
            let start = NOW + SECOND;
            // Killed and restarted at once: the refusal persists.
            drop(disk.open(rule, start, boot));
            let guard = disk.open(rule, start + SECOND, boot);
            let now = start + SECOND;
            for nonce in [NOW, start, start + 2 * SECOND] {
                assert!(is_stale(&guard.accept(&claim(2, nonce), now)), "{rule:?} {nonce}");
            }
            let replay = guard.accept(&claim(1, ahead), now);
            assert!(replay == Err(Refusal::Replayed) || is_stale(&replay), "{rule:?} {replay:?}");
            // The lead of 2 s is recorded as 2.1 s.
            let fresh = start + 2 * SECOND + SECOND / 5;
            assert_eq!(guard.accept(&claim(1, fresh), fresh), Ok(()), "{rule:?}");
        }
    }
}

#[test]
fn first_start_refuses_only_requests_signed_before_it() {
    for rule in [ReplayRule::Once, ReplayRule::Increasing] {
        // The window of fiber: the longest of all schemes.
        let window =
            Window { past: Duration::from_mins(2), future: Duration::from_mins(2), ..WINDOW };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("replay");
        let guard =
            ReplayGuard::open_with_boot_id(&path, &window, rule, BOUNDS, NOW, BOOT_ID).unwrap();
        for (sender, nonce) in [(1, NOW), (2, NOW - 1), (3, NOW - 60 * SECOND)] {
            assert!(
                is_stale(&guard.accept(&claim(sender, nonce), NOW + SECOND)),
                "{rule:?} {nonce}"
            );
        }
        // Clocks in agreement, and ahead of the server's.
        for (sender, nonce) in [(4, NOW + 1), (5, NOW + SECOND), (6, NOW + 100 * SECOND)] {
            assert_eq!(
                guard.accept(&claim(sender, nonce), NOW + SECOND),
                Ok(()),
                "{rule:?} {nonce}"
            );
        }
    }
}

#[test]
fn lost_log_refuses_synchronised_senders_only_briefly() {
    let disk = Disk::new();
    let guard = disk.open(ReplayRule::Once, NOW, BOOT_ID);
    for step in 0..100 {
        let now = NOW + u64::from(step) * SECOND;
        assert_eq!(guard.accept(&claim(step, now + 5_000_000), now), Ok(()));
    }
    drop(guard);
    delete_log(&disk);
    let start = NOW + 100 * SECOND;
    let guard = disk.open(ReplayRule::Once, start, BOOT_ID);
    assert!(is_stale(&guard.accept(&claim(1, start + SECOND / 5), start)));
    assert_eq!(guard.accept(&claim(1, start + SECOND / 3), start + SECOND / 3), Ok(()));
}

#[test]
fn corrupt_log_refuses_requests_it_may_have_recorded() {
    for rule in RULES {
        let disk = Disk::new();
        let guard = disk.open(rule, NOW, BOOT_ID);
        for nonce in NOW..NOW + 3 {
            assert_eq!(guard.accept(&claim(1, nonce), NOW), Ok(()));
        }
        drop(guard);
        let original = fs::read(disk.path()).unwrap();
        let start = NOW + SECOND;
        let refuses_with = |bytes: &[u8]| {
            fs::write(disk.path(), bytes).unwrap();
            let guard = disk.open(rule, start, BOOT_ID);
            let replay = guard.accept(&claim(1, NOW + 1), start);
            assert!(replay == Err(Refusal::Replayed) || is_stale(&replay), "{rule:?} {replay:?}");
            is_stale(&guard.accept(&claim(2, start), start))
        };
        assert!(!refuses_with(&original), "the complete log");
        for length in 0..original.len() {
            // A missing record at the end is not detected: the second request is then
            // accepted again.
            if length + 60 == original.len() {
                assert!(!refuses_with(&original[..length]));
            } else if !(original.len() - length).is_multiple_of(60) {
                assert!(refuses_with(&original[..length]), "cut to {length}");
            }
        }
        for byte in 0..original.len() {
            let mut bytes = original.clone();
            bytes[byte] ^= 1;
            assert!(refuses_with(&bytes), "{rule:?}: byte {byte}");
        }
        assert!(
            refuses_with(&[original.as_slice(), &[0; 60]].concat()),
            "a block of zeros that a crash leaves"
        );
    }
}

#[test]
fn deleted_log_refuses_requests_it_may_have_recorded() {
    for rule in RULES {
        let disk = Disk::new();
        let old = disk.0.path().join("replay.old");
        let guard = disk.open(rule, NOW, BOOT_ID);
        assert_eq!(guard.accept(&claim(1, NOW), NOW), Ok(()));
        // One rotation later, so that the first request is in the old file, if the rule keeps one.
        let start = NOW + 68 * SECOND;
        assert_eq!(guard.accept(&claim(1, start), start), Ok(()));
        drop(guard);
        assert_eq!(old.exists(), rule != ReplayRule::IncreasingForEver);
        if rule == ReplayRule::IncreasingForEver {
            fs::remove_file(disk.path()).unwrap();
            assert_eq!(
                disk.open(rule, start, BOOT_ID).accept(&claim(1, 5), start),
                Ok(()),
                "taken for a first start"
            );
            continue;
        }
        let deleted = if old.exists() { vec![old, disk.path()] } else { vec![disk.path()] };
        for path in deleted {
            let bytes = fs::read(&path).unwrap();
            fs::remove_file(&path).unwrap();
            let guard = disk.open(rule, start, BOOT_ID);
            assert!(
                is_stale(&guard.accept(&claim(1, start), start)),
                "{rule:?} without {}",
                path.display()
            );
            assert_eq!(guard.accept(&claim(2, start + SECOND), start + SECOND), Ok(()));
            drop(guard);
            fs::write(&path, bytes).unwrap();
        }
    }
}

#[test]
fn requests_after_clock_far_ahead_are_refused_until_log_is_deleted() {
    let disk = Disk::new();
    let far_future = NOW + 100_000_000 * SECOND;
    let guard = disk.open(ReplayRule::Once, NOW, BOOT_ID);
    assert_eq!(guard.accept(&claim(1, far_future), far_future), Ok(()));
    assert!(is_stale(&guard.accept(&claim(1, NOW), NOW)));
    drop(guard);
    let guard = disk.open(ReplayRule::Once, NOW + SECOND, BOOT_ID);
    assert!(is_stale(&guard.accept(&claim(1, NOW + SECOND), NOW + SECOND)));
    drop(guard);
    delete_log(&disk);
    let guard = disk.open(ReplayRule::Once, NOW + 2 * SECOND, BOOT_ID);
    assert!(is_stale(&guard.accept(&claim(1, NOW + 2 * SECOND), NOW + 2 * SECOND)));
    assert_eq!(guard.accept(&claim(1, NOW + 6 * SECOND), NOW + 6 * SECOND), Ok(()));
}

#[test]
fn two_processes_cannot_share_a_log() {
    let disk = Disk::new();
    let first = disk.open(ReplayRule::Once, NOW, BOOT_ID);
    let second = ReplayGuard::open(&disk.path(), &WINDOW, ReplayRule::Once, BOUNDS, NOW);
    assert!(matches!(second, Err(ReplayLogError::InUse(path)) if path == disk.path()));
    drop(first);
    assert!(ReplayGuard::open(&disk.path(), &WINDOW, ReplayRule::Once, BOUNDS, NOW).is_ok());
    let missing_path = disk.0.path().join("no/folder");
    let error =
        ReplayGuard::open(&missing_path, &WINDOW, ReplayRule::Once, BOUNDS, NOW).unwrap_err();
    assert!(matches!(error, ReplayLogError::Io { .. }));
}

#[test]
fn request_that_cannot_be_logged_is_refused() {
    let disk = Disk::new();
    let guard = disk.open(ReplayRule::Once, NOW, BOOT_ID);
    assert_eq!(guard.accept(&claim(1, NOW), NOW), Ok(()));
    // The folder is removed; at the next rotation the log cannot be written.
    let moved = disk.0.path().with_extension("moved");
    fs::rename(disk.0.path(), &moved).unwrap();
    let later = NOW + 100 * SECOND;
    assert_eq!(guard.accept(&claim(1, later), later), Err(Refusal::ReplayLogFailed));
    fs::rename(&moved, disk.0.path()).unwrap();
    assert_eq!(guard.accept(&claim(1, later), later), Ok(()));
    assert_eq!(guard.accept(&claim(1, later), later), Err(Refusal::Replayed));
}

#[test]
fn failed_write_keeps_accepted_requests() {
    for rule in RULES {
        let disk = Disk::new();
        let guard = disk.open(rule, NOW, BOOT_ID);
        let (first, second) = (NOW + 60 * SECOND, NOW + 70 * SECOND);
        assert_eq!(guard.accept(&claim(1, first), first), Ok(()));
        // Another rotation, with the first request in the old file, or carried over.
        assert_eq!(guard.accept(&claim(2, second), second), Ok(()));
        let full_device = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        guard.state.lock().unwrap().log.as_mut().unwrap().file = full_device;
        let now = second + SECOND;
        assert_eq!(guard.accept(&claim(3, now), now), Err(Refusal::ReplayLogFailed));
        for (sender, nonce) in [(3, now), (4, now)] {
            assert_eq!(guard.accept(&claim(sender, nonce), now), Ok(()), "{rule:?}");
        }
        drop(guard);
        let guard = disk.open(rule, now, BOOT_ID);
        for (sender, nonce) in [(1, first), (2, second), (3, now), (4, now)] {
            assert_eq!(
                guard.accept(&claim(sender, nonce), now),
                Err(Refusal::Replayed),
                "{rule:?} {sender}"
            );
        }
        assert_eq!(guard.accept(&claim(5, now), now), Ok(()), "the log is complete");
    }
}

/// What happens between two requests.
#[derive(Debug, Clone, Copy)]
enum Event {
    Nothing,
    /// The process is killed and restarted: the log is complete.
    Kill,
    /// The machine crashes: the log ends anywhere.
    Crash,
    /// The log is lost; the lock file, which is synced, is not.
    LoseLog,
    /// An earlier version's lock file: empty.
    LoseLogAndBound,
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => Just(Event::Nothing),
        2 => Just(Event::Kill),
        2 => Just(Event::Crash),
        2 => Just(Event::LoseLog),
        1 => Just(Event::LoseLogAndBound),
    ]
}

const MILLISECOND: u64 = 1_000_000;

proptest! {
    // Each start waits for the disk.
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Requests of senders whose clocks are behind or ahead, each replayed at every later step,
    /// through restarts with complete, truncated and lost logs.
    #[test]
    fn replayed_requests_are_never_accepted(
        rule in prop::sample::select(vec![ReplayRule::Once, ReplayRule::Increasing]),
        steps in prop::collection::vec((0_u8..3, -8_000_i64..3_000, 0_u64..4_000, events(), any::<prop::sample::Index>()), 1..40),
    ) {
        let disk = Disk(tempfile::tempdir().unwrap());
        let (mut now, mut accepted) = (NOW, Vec::<(u8, u64)>::new());
        // Each crash of the machine is followed by another boot.
        let (mut boots, boot) = (0, |number: u32| format!("boot {number}"));
        let mut guard = Some(disk.open(rule, now, Some(&boot(boots))));
        for (sender, skew, passed, event, length) in steps {
            now += passed * MILLISECOND;
            if !matches!(event, Event::Nothing) {
                drop(guard.take());
            }
            match event {
                Event::Nothing | Event::Kill => {}
                Event::Crash => {
                    boots += 1;
                    let bytes = fs::read(disk.path()).unwrap();
                    fs::write(disk.path(), &bytes[..length.index(bytes.len())]).unwrap();
                }
                Event::LoseLog => delete_log(&disk),
                Event::LoseLogAndBound => {
                    delete_log(&disk);
                    fs::write(disk.0.path().join("replay.lock"), "").unwrap();
                }
            }
            let guard = guard.get_or_insert_with(|| disk.open(rule, now, Some(&boot(boots))));
            let nonce = now.saturating_add_signed(skew * 1_000_000);
            for (sender, nonce) in accepted.iter().copied().chain([(sender, nonce)]).collect::<Vec<_>>() {
                if guard.accept(&claim(sender, nonce), now).is_ok() {
                    prop_assert!(!accepted.contains(&(sender, nonce)), "{} {}", sender, nonce);
                    accepted.push((sender, nonce));
                }
            }
        }
    }

    /// After a first start or a kill, a sender whose clock is not behind is never refused. After
    /// the log is lost, it is refused for at most twice the largest earlier lead, or 2^28 ns if
    /// that is longer.
    #[test]
    fn fresh_requests_pass_the_replay_guard_after_any_start(
        leads in prop::collection::vec(0_u64..3_000, 0..20),
        lead in 0_u64..3_000,
        killed in any::<bool>(),
    ) {
        let disk = Disk(tempfile::tempdir().unwrap());
        let mut now = NOW;
        let guard = disk.open(ReplayRule::Once, now, BOOT_ID);
        for (sender, before) in (1..).zip(&leads) {
            now += 1;
            prop_assert_eq!(guard.accept(&claim(sender, now + before * MILLISECOND), now), Ok(()));
        }
        drop(guard);
        if !killed {
            delete_log(&disk);
        }
        let start = now + 1;
        let guard = disk.open(ReplayRule::Once, start, BOOT_ID);
        let refused_for = match leads.iter().max() {
            _ if killed => 0,
            None | Some(0) => 1,
            Some(lead) => (2 * lead * MILLISECOND).max(1 << 28) + 1,
        };
        let signed = start + refused_for;
        prop_assert_eq!(guard.accept(&claim(100, signed + lead * MILLISECOND), signed), Ok(()));
    }
}
