use ChallengeType::{Arena, Main, Solo};

use super::*;

const START: SystemTime = SystemTime::UNIX_EPOCH;

fn at(seconds: u64) -> SystemTime {
    START + Duration::from_secs(seconds)
}

/// Main rounds every 100 blocks, arena rounds every 30.
fn settings() -> ScheduleSettings {
    ScheduleSettings {
        tempo: 100,
        on_startup: false,
        solo: false,
        arena: Some(ArenaSchedule { cadence: 30, on_startup: false }),
        attempts: 3,
    }
}

fn main_only() -> ScheduleSettings {
    ScheduleSettings { arena: None, ..settings() }
}

fn new_schedule(settings: ScheduleSettings) -> Schedule {
    Schedule::new(settings, &LastRounds::default(), START)
}

/// Plays all due rounds; returns contests and epochs in order.
fn play(schedule: &mut Schedule, now: SystemTime) -> Vec<(ChallengeType, u32)> {
    let mut played = Vec::new();
    while let Some(round) = schedule.next(now) {
        schedule.record_played(&round, &format!("c{}", round.epoch.unwrap_or_default()), now);
        played.push((round.contest, round.epoch.unwrap()));
    }
    played
}

/// Columns: observed block · rounds played at this block
#[test]
fn round_is_due_after_an_epoch_boundary() {
    let mut schedule = new_schedule(main_only());
    for (block, epochs) in [
        (250, &[][..]),
        (299, &[]),
        (301, &[3]),
        (302, &[]),
        (399, &[]),
        (400, &[4]),
        (400, &[]),
        (777, &[7]),
    ] {
        schedule.observe(block, START);
        let expected: Vec<_> = epochs.iter().map(|epoch| (Main, *epoch)).collect();
        assert_eq!(play(&mut schedule, START), expected, "block {block}");
    }
}

#[test]
fn first_start_waits_and_records_its_epoch() {
    let mut schedule = new_schedule(settings());
    let scheduled = schedule.observe(250, at(5));
    let waited_row =
        |contest, epoch| round_row(contest, Some(epoch), RoundEnd::Waited, None, at(5));
    assert_eq!(scheduled, [waited_row(Main, 2), waited_row(Arena, 8)]);
    assert_eq!(schedule.observe(251, at(6)), []);
    // A restart after the boundary is not a first start.
    let last_rounds = LastRounds { main: scheduled.first().cloned(), ..LastRounds::default() };
    let mut schedule = Schedule::new(main_only(), &last_rounds, START);
    schedule.observe(305, START);
    assert_eq!(play(&mut schedule, START), [(Main, 3)]);
}

#[test]
fn start_plays_immediately_with_on_startup() {
    let arena = Some(ArenaSchedule { cadence: 30, on_startup: true });
    let on_startup = ScheduleSettings { on_startup: true, solo: true, arena, ..settings() };
    let mut schedule = new_schedule(on_startup.clone());
    assert_eq!(schedule.observe(250, START), []);
    assert_eq!(play(&mut schedule, START), [(Main, 2), (Solo, 2), (Arena, 8)]);
    schedule.observe(260, START);
    assert_eq!(play(&mut schedule, START), []);
    // The startup round is played even if this epoch's round was already played.
    let last_rounds = LastRounds {
        main: Some(round_row(Main, Some(2), RoundEnd::Played, Some("c2".into()), START)),
        ..LastRounds::default()
    };
    let mut schedule =
        Schedule::new(ScheduleSettings { solo: false, ..on_startup }, &last_rounds, START);
    schedule.observe(250, START);
    assert_eq!(play(&mut schedule, START), [(Main, 2), (Arena, 8)]);
}

#[test]
fn simultaneously_due_rounds_are_played_in_sequence() {
    let mut schedule = new_schedule(ScheduleSettings { solo: true, ..settings() });
    schedule.observe(299, START);
    schedule.observe(300, START);
    assert_eq!(play(&mut schedule, START), [(Main, 3), (Solo, 3), (Arena, 10)]);
}

#[test]
fn long_round_skips_no_other_contest() {
    let mut schedule = new_schedule(ScheduleSettings { solo: true, ..settings() });
    schedule.observe(290, START);
    schedule.observe(300, START);
    let main = schedule.next(START).unwrap();
    // During the main round, two arena boundaries and the next main boundary pass.
    schedule.record_played(&main, "c", START);
    schedule.observe(401, START);
    // Rounds that were due earlier precede the next main round.
    assert_eq!(play(&mut schedule, START), [(Solo, 3), (Arena, 13), (Main, 4), (Solo, 4)]);
    schedule.observe(402, START);
    assert_eq!(play(&mut schedule, START), []);
}

/// Columns: rows in the ledger · rounds at the first block, 350
#[test]
fn restart_resumes_from_the_ledger() {
    let uid = Some("c3".to_owned());
    let main = |epoch, end| Some(round_row(Main, Some(epoch), end, uid.clone(), START));
    let solo = |epoch| Some(round_row(Solo, Some(epoch), RoundEnd::Played, uid.clone(), START));
    for (main, solo, expected) in [
        (main(3, RoundEnd::Played), solo(3), &[][..]),
        (main(3, RoundEnd::Played), solo(2), &[(Solo, 3)]),
        (main(3, RoundEnd::Played), None, &[(Solo, 3)]),
        (main(2, RoundEnd::Played), solo(2), &[(Main, 3), (Solo, 3)]),
        (main(1, RoundEnd::Played), solo(1), &[(Main, 3), (Solo, 3)]),
        // A failed round is retried.
        (main(3, RoundEnd::Failed), solo(2), &[(Main, 3), (Solo, 3)]),
        (main(3, RoundEnd::Waited), None, &[]),
    ] {
        let debug_text = format!("{main:?} {solo:?}");
        let last_rounds = LastRounds { main, solo, arena: None };
        let mut schedule =
            Schedule::new(ScheduleSettings { solo: true, ..main_only() }, &last_rounds, START);
        schedule.observe(350, START);
        assert_eq!(play(&mut schedule, START), expected, "{debug_text}");
    }
}

#[test]
fn solo_round_names_its_main_challenge() {
    let last_rounds = LastRounds {
        main: Some(round_row(Main, Some(3), RoundEnd::Played, Some("ours".into()), START)),
        ..LastRounds::default()
    };
    let mut schedule =
        Schedule::new(ScheduleSettings { solo: true, ..main_only() }, &last_rounds, START);
    assert_eq!(schedule.next(START).unwrap().main_challenge_uid.as_deref(), Some("ours"));
}

#[test]
fn failed_round_is_retried_a_limited_number_of_times_in_its_epoch() {
    let mut schedule = new_schedule(ScheduleSettings { solo: true, ..main_only() });
    schedule.observe(299, START);
    schedule.observe(300, START);
    let mut now = 0;
    for (attempt, pause) in [(1, 30), (2, 60)] {
        let round = schedule.next(at(now)).unwrap();
        assert_eq!(round.attempt, attempt);
        assert_eq!(schedule.record_failed(&round, None, Retry::Counted, at(now)), None);
        assert_eq!(schedule.remaining_backoff(at(now)), Some(Duration::from_secs(pause)));
        assert_eq!(schedule.next(at(now + pause - 1)), None);
        now += pause;
    }
    let round = schedule.next(at(now)).unwrap();
    let last_failure = schedule.record_failed(&round, None, Retry::Counted, at(now)).unwrap();
    assert_eq!((last_failure.end, last_failure.epoch), (RoundEnd::Failed, Some(3)));
    assert_eq!(schedule.next(at(now + 10_000)), None);
    // There is no solo round without a main challenge.
    schedule.observe(400, at(now));
    let round = schedule.next(at(now)).unwrap();
    assert_eq!((round.contest, round.epoch, round.attempt), (Main, Some(4), 1));
}

#[test]
fn retry_pauses_are_bounded_and_next_epoch_resets_attempts() {
    let mut schedule = new_schedule(ScheduleSettings { attempts: 100, ..main_only() });
    schedule.observe(299, START);
    schedule.observe(300, START);
    let mut now = 0;
    let mut longest_pause = Duration::ZERO;
    for _ in 0..60 {
        let round = schedule.next(at(now)).unwrap();
        schedule.record_failed(&round, None, Retry::Counted, at(now));
        let backoff = schedule.remaining_backoff(at(now)).unwrap();
        longest_pause = longest_pause.max(backoff);
        now += backoff.as_secs();
    }
    assert_eq!(longest_pause, Duration::from_mins(10));
    schedule.observe(400, at(now));
    assert_eq!(schedule.next(at(now)).unwrap().attempt, 1);
}

#[test]
fn waiting_for_a_busy_service_does_not_count_as_attempt() {
    let mut schedule = new_schedule(settings());
    schedule.observe(299, START);
    schedule.observe(300, START);
    let main = schedule.next(START).unwrap();
    for second in 0..10 {
        let pause = Duration::from_mins(5);
        assert_eq!(
            schedule.record_failed(&main, None, Retry::After(pause), at(second * 300)),
            None
        );
        assert_eq!(schedule.remaining_backoff(at(second * 300)), Some(pause));
    }
    // The arena round becomes due in the meantime.
    assert_eq!(schedule.next(at(2_700)).unwrap().contest, Arena);
    assert_eq!(schedule.next(at(3_000)).unwrap(), main);
    // Setting the clock back by a day does not extend the pause by a day.
    assert_eq!(schedule.remaining_backoff(START), None);
}

#[test]
fn main_schedule_falls_back_to_time_without_blocks_but_arena_does_not() {
    let mut schedule = new_schedule(settings());
    schedule.observe(299, START);
    schedule.observe_outage(at(1_199));
    assert_eq!(schedule.next(at(1_199)), None);
    schedule.observe_outage(at(1_200));
    let round = schedule.next(at(1_200)).unwrap();
    assert_eq!((round.contest, round.epoch), (Main, None));
    schedule.record_played(&round, "c", at(1_300));
    schedule.observe_outage(at(2_499));
    assert_eq!(schedule.next(at(2_499)), None);
    // The first block after the outage belongs to the played epoch.
    schedule.observe(402, at(2_499));
    assert_eq!(play(&mut schedule, at(2_499)), [(Arena, 13)]);
    schedule.observe(500, at(2_500));
    assert_eq!(play(&mut schedule, at(2_500)), [(Main, 5), (Arena, 16)]);
}

#[test]
fn time_without_blocks_is_measured_from_startup_and_across_restarts() {
    let last_rounds = LastRounds {
        main: Some(round_row(Main, Some(2), RoundEnd::Played, None, at(0))),
        ..LastRounds::default()
    };
    let mut schedule = Schedule::new(main_only(), &last_rounds, at(1_100));
    schedule.observe_outage(at(1_200));
    assert!(schedule.next(at(1_200)).is_some());
    let mut schedule = Schedule::new(
        ScheduleSettings { on_startup: true, ..main_only() },
        &LastRounds::default(),
        START,
    );
    schedule.observe_outage(START);
    assert!(schedule.next(START).is_some());
}

#[test]
fn reset_chain_restarts_the_schedule_and_lagging_node_does_not() {
    let mut schedule = new_schedule(main_only());
    schedule.observe(299, START);
    schedule.observe(300, START);
    assert_eq!(play(&mut schedule, START), [(Main, 3)]);
    assert_eq!(schedule.observe(298, START), []);
    schedule.observe(301, START);
    assert_eq!(play(&mut schedule, START), []);
    assert_eq!(schedule.observe(5, START).len(), 1);
    schedule.observe(100, START);
    assert_eq!(play(&mut schedule, START), [(Main, 1)]);
}
