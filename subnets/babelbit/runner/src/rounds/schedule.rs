//! Schedule of rounds: a pure function of blocks, clock and past rounds.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use taonet_babelbit_core::records::ChallengeType;
use taonet_primitives::Backoff;

use crate::ledger::{RoundEnd, RoundRow};
use taonet_service::{BLOCK_TIME, unix_time};

/// Pauses before the retries of a failed round.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(30), Duration::from_mins(10));

/// Settings of the round schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleSettings {
    /// Blocks between two main rounds; at least 1.
    pub tempo: u32,
    /// Whether a main round is due at startup.
    pub on_startup: bool,
    /// Whether each main round is followed by a solo round.
    pub solo: bool,
    /// Schedule of arena rounds; `None` disables arena rounds.
    pub arena: Option<ArenaSchedule>,
    /// Maximum number of attempts at a round within its epoch.
    pub attempts: u32,
}

/// Schedule of arena rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArenaSchedule {
    /// Blocks between two arena rounds; at least 1.
    pub cadence: u32,
    /// Whether an arena round is due at startup.
    pub on_startup: bool,
}

/// Last round of each contest, from the ledger.
#[derive(Debug, Clone, Default)]
pub(super) struct LastRounds {
    pub(super) main: Option<RoundRow>,
    pub(super) solo: Option<RoundRow>,
    pub(super) arena: Option<RoundRow>,
}

/// A round that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueRound {
    /// Contest of the round.
    pub contest: ChallengeType,
    /// Number of the epoch since genesis; `None` if the chain is unreadable.
    pub epoch: Option<u32>,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// ID of the main challenge that a solo round accompanies.
    pub main_challenge_uid: Option<String>,
}

/// Retry policy of a failed round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    /// The failure counts as an attempt.
    Counted,
    /// A dependency is down: the round is retried without limit, after this delay.
    After(Duration),
}

/// State of one contest's rounds.
#[derive(Debug, Default)]
struct ContestState {
    /// Epoch of the last completed round.
    last_epoch: Option<u32>,
    /// Whether the startup round is pending.
    is_startup_pending: bool,
    /// Epoch to which `attempts` applies.
    attempted_epoch: Option<u32>,
    attempts: u32,
    /// Start and length of the current backoff.
    backoff: Option<(SystemTime, Duration)>,
}

impl ContestState {
    fn load(row: Option<&RoundRow>, is_startup_pending: bool) -> Self {
        // A restart retries a failed round.
        let last_epoch = row.and_then(|row| match row.end {
            RoundEnd::Failed => row.epoch.and_then(|epoch| epoch.checked_sub(1)),
            RoundEnd::Played | RoundEnd::Waited => row.epoch,
        });
        Self { last_epoch, is_startup_pending, ..Self::default() }
    }

    /// Returns the remaining backoff.
    fn remaining_backoff(&self, now: SystemTime) -> Duration {
        // A clock that was set back must not lengthen the pause.
        let elapsed = |since| now.duration_since(since).unwrap_or(Duration::MAX);
        self.backoff.map_or(Duration::ZERO, |(since, pause)| pause.saturating_sub(elapsed(since)))
    }

    fn end_round(&mut self, epoch: Option<u32>) {
        *self = Self { last_epoch: epoch.or(self.last_epoch), ..Self::default() };
    }
}

/// Scheduler that decides which round is due. Due rounds are queued, so that a long round does not
/// displace others.
#[derive(Debug)]
pub(super) struct Schedule {
    settings: ScheduleSettings,
    main: ContestState,
    solo: ContestState,
    arena: ContestState,
    /// Epoch and uid of the main challenge whose solo round is due.
    pending_solo: Option<(Option<u32>, String)>,
    queue: VecDeque<ChallengeType>,
    block: Option<u32>,
    /// End of the last main round, or creation of the schedule.
    main_ended: SystemTime,
    /// Whether the last main round was played while the block height was unknown. The next block
    /// then determines the round's epoch.
    has_unknown_epoch: bool,
}

impl Schedule {
    pub(super) fn new(
        settings: ScheduleSettings,
        last_rounds: &LastRounds,
        now: SystemTime,
    ) -> Self {
        let end_time = |row: &RoundRow| {
            u64::try_from(row.ended_unix)
                .ok()
                .and_then(|unix| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(unix)))
        };
        let arena_startup = settings.arena.is_some_and(|arena| arena.on_startup);
        let mut schedule = Self {
            main: ContestState::load(last_rounds.main.as_ref(), settings.on_startup),
            solo: ContestState::default(),
            arena: ContestState::load(last_rounds.arena.as_ref(), arena_startup),
            pending_solo: None,
            queue: VecDeque::new(),
            block: None,
            main_ended: last_rounds.main.as_ref().and_then(end_time).unwrap_or(now),
            has_unknown_epoch: false,
            settings,
        };
        // An incomplete solo round is due if its main round is complete.
        if let Some(RoundRow {
            end: RoundEnd::Played,
            epoch: Some(epoch),
            challenge_uid: Some(uid),
            ..
        }) = &last_rounds.main
            && last_rounds
                .solo
                .as_ref()
                .is_none_or(|solo| solo.epoch != Some(*epoch) || solo.end == RoundEnd::Failed)
        {
            schedule.enqueue_solo(Some(*epoch), uid.clone());
        }
        schedule
    }

    /// Records the newest block. Returns a ledger row for each contest that waits for the next
    /// epoch: at the first start, or after a decrease of the block height.
    pub(super) fn observe(&mut self, block: u32, now: SystemTime) -> Vec<RoundRow> {
        self.block = Some(block);
        if std::mem::take(&mut self.has_unknown_epoch) {
            self.main.last_epoch =
                self.main.last_epoch.max(Some(block / self.settings.tempo.max(1)));
        }
        let mut waited_rounds = Vec::new();
        for contest in [ChallengeType::Main, ChallengeType::Arena] {
            let Some(epoch) = self.epoch(contest) else { continue };
            let contest_state = self.contest_state_mut(contest);
            let is_due = match contest_state.last_epoch {
                _ if contest_state.is_startup_pending => true,
                // A slightly lower block comes from a lagging node, not from a different chain.
                Some(last) if epoch.saturating_add(1) >= last => epoch > last,
                last => {
                    if let Some(last) = last {
                        tracing::warn!(
                            %contest, block, epoch, last,
                            "the block height has decreased, waiting for the next epoch of this chain"
                        );
                    }
                    contest_state.last_epoch = Some(epoch);
                    waited_rounds.push(round_row(
                        contest,
                        Some(epoch),
                        RoundEnd::Waited,
                        None,
                        now,
                    ));
                    false
                }
            };
            if is_due && !self.queue.contains(&contest) {
                self.queue.push_back(contest);
            }
        }
        waited_rounds
    }

    /// Records that the newest block is unreadable. As long as no block is readable, a main round
    /// is due one tempo after the end of the last one, by the clock; arena rounds are not due.
    pub(super) fn observe_outage(&mut self, now: SystemTime) {
        let elapsed = now.duration_since(self.main_ended).unwrap_or_default();
        if (self.main.is_startup_pending
            || elapsed >= BLOCK_TIME.saturating_mul(self.settings.tempo))
            && !self.queue.contains(&ChallengeType::Main)
        {
            self.block = None;
            self.queue.push_back(ChallengeType::Main);
        }
    }

    /// Returns the next due round, if any.
    pub(super) fn next(&mut self, now: SystemTime) -> Option<DueRound> {
        let is_ready = |contest: &&ChallengeType| {
            self.contest_state(**contest).remaining_backoff(now).is_zero()
                && (**contest != ChallengeType::Arena || self.block.is_some())
        };
        let contest = *self.queue.iter().find(is_ready)?;
        let (epoch, main_challenge_uid) = match (contest, &self.pending_solo) {
            (ChallengeType::Solo, Some((epoch, uid))) => (*epoch, Some(uid.clone())),
            _ => (self.epoch(contest), None),
        };
        let contest_state = self.contest_state_mut(contest);
        if contest_state.attempted_epoch != epoch {
            (contest_state.attempted_epoch, contest_state.attempts) = (epoch, 0);
        }
        Some(DueRound {
            contest,
            epoch,
            attempt: contest_state.attempts.saturating_add(1),
            main_challenge_uid,
        })
    }

    /// Returns the time until the next retry of a failed round.
    pub(super) fn remaining_backoff(&self, now: SystemTime) -> Option<Duration> {
        self.queue
            .iter()
            .map(|contest| self.contest_state(*contest).remaining_backoff(now))
            .filter(|pause| !pause.is_zero())
            .min()
    }

    /// Records that a round was completed; returns the row for the ledger.
    pub(super) fn record_played(
        &mut self,
        round: &DueRound,
        challenge_uid: &str,
        now: SystemTime,
    ) -> RoundRow {
        self.end_round(round, Some(challenge_uid), now);
        round_row(round.contest, round.epoch, RoundEnd::Played, Some(challenge_uid.to_owned()), now)
    }

    /// Records that a round failed. Returns a row for the ledger if the round is not retried.
    pub(super) fn record_failed(
        &mut self,
        round: &DueRound,
        challenge_uid: Option<&str>,
        retry: Retry,
        now: SystemTime,
    ) -> Option<RoundRow> {
        let attempts = self.settings.attempts;
        let contest_state = self.contest_state_mut(round.contest);
        let pause = match retry {
            Retry::After(pause) => pause,
            Retry::Counted => {
                contest_state.attempts = round.attempt;
                if contest_state.attempts >= attempts {
                    self.end_round(round, challenge_uid, now);
                    let uid = challenge_uid.map(str::to_owned);
                    return Some(round_row(round.contest, round.epoch, RoundEnd::Failed, uid, now));
                }
                BACKOFF.delay(round.attempt.saturating_sub(1))
            }
        };
        contest_state.backoff = Some((now, pause));
        None
    }

    fn end_round(&mut self, round: &DueRound, challenge_uid: Option<&str>, now: SystemTime) {
        self.queue.retain(|contest| *contest != round.contest);
        self.contest_state_mut(round.contest).end_round(round.epoch);
        match round.contest {
            ChallengeType::Main => {
                self.main_ended = now;
                self.has_unknown_epoch = round.epoch.is_none();
                if let Some(uid) = challenge_uid {
                    self.enqueue_solo(round.epoch, uid.to_owned());
                }
            }
            ChallengeType::Solo => self.pending_solo = None,
            ChallengeType::Arena => {}
        }
    }

    fn enqueue_solo(&mut self, epoch: Option<u32>, main_challenge_uid: String) {
        if self.settings.solo {
            self.pending_solo = Some((epoch, main_challenge_uid));
            self.queue.retain(|contest| *contest != ChallengeType::Solo);
            self.queue.push_front(ChallengeType::Solo);
        }
    }

    /// Returns the epoch of the newest block; `None` if the block is unknown, for solo rounds, or
    /// if the arena is disabled.
    fn epoch(&self, contest: ChallengeType) -> Option<u32> {
        let blocks = match contest {
            ChallengeType::Main => self.settings.tempo,
            ChallengeType::Arena => self.settings.arena?.cadence,
            ChallengeType::Solo => return None,
        };
        Some(self.block? / blocks.max(1))
    }

    const fn contest_state_mut(&mut self, contest: ChallengeType) -> &mut ContestState {
        match contest {
            ChallengeType::Main => &mut self.main,
            ChallengeType::Solo => &mut self.solo,
            ChallengeType::Arena => &mut self.arena,
        }
    }

    const fn contest_state(&self, contest: ChallengeType) -> &ContestState {
        match contest {
            ChallengeType::Main => &self.main,
            ChallengeType::Solo => &self.solo,
            ChallengeType::Arena => &self.arena,
        }
    }
}

fn round_row(
    challenge_type: ChallengeType,
    epoch: Option<u32>,
    end: RoundEnd,
    challenge_uid: Option<String>,
    now: SystemTime,
) -> RoundRow {
    let unix = unix_time(now).as_secs();
    RoundRow {
        challenge_type,
        epoch,
        end,
        challenge_uid,
        ended_unix: i64::try_from(unix).unwrap_or(i64::MAX),
    }
}

#[cfg(test)]
mod tests;
