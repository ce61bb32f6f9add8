use std::time::Duration;

use rsntp::{AsyncSntpClient, Config};
use taonet_chain::HotkeyState;
use taonet_ledger::chain_time;

use crate::{Check, Finding};

/// The offset from NTP from which the clock should be adjusted.
const OFFSET_WARNING: f64 = 1.0;
/// The offset from NTP from which peers refuse requests: their signatures are valid for a few
/// seconds.
const OFFSET_FAULT: f64 = 4.0;
/// The difference from the chain's time above which the check warns: ten blocks of the main
/// network. [`chain_time`] refuses greater differences.
const CHAIN_WARNING: Duration = Duration::from_mins(2);

const SYNCHRONISE: &str = "synchronise the clock: `sudo timedatectl set-ntp true`, or install chrony; in a container, on \
                           the host";

/// Compares the local time, since the Unix epoch, with that of the newest block.
///
/// A difference of more than five minutes, at which the weight ledger signs nothing, is a fault.
/// The time of a development chain can be advanced by its user, so there it is a warning.
pub fn clock_against_chain(state: &HotkeyState, local_time: Duration) -> Finding {
    let difference = local_time.abs_diff(state.time);
    let direction = if local_time > state.time { "ahead of" } else { "behind" };
    let seen = format!("{} {direction} the newest block", duration(difference));
    let subject = "the chain's time";
    if chain_time(state, local_time).is_err() {
        let lag = "if NTP agrees with the clock, the node lags behind: select another one with BT_CHAIN_ENDPOINT";
        return Finding::fault(Check::Clock, subject, seen, format!("{SYNCHRONISE}; {lag}"));
    }
    if difference <= CHAIN_WARNING {
        return Finding::ok(Check::Clock, subject, seen);
    }
    let remedy = if state.is_development {
        "a development chain can be ahead of the clock: see `tao localnet status`; else synchronise the clock".to_owned()
    } else {
        SYNCHRONISE.to_owned()
    };
    Finding::warning(Check::Clock, subject, seen, remedy)
}

/// Compares the local time with that of an NTP server, `HOST` or `HOST:PORT`. Without a response
/// within `timeout`, the check is skipped: many networks block NTP.
pub async fn clock_against_ntp(server: &str, timeout: Duration) -> Finding {
    let client = AsyncSntpClient::with_config(Config::default().timeout(timeout));
    // The client's timeout does not include the resolution of the name.
    let result = tokio::time::timeout(timeout.saturating_mul(2), client.synchronize(server)).await;
    let offset = match result {
        // Positive if the server is ahead.
        Ok(Ok(result)) => -result.clock_offset().as_secs_f64(),
        Ok(Err(error)) => {
            return Finding::skipped(
                Check::Clock,
                server,
                format!("no time from the server: {error}"),
            );
        }
        Err(_) => return Finding::skipped(Check::Clock, server, "no response from the server"),
    };
    let direction = if offset > 0.0 { "ahead of" } else { "behind" };
    let size = offset.abs();
    let offset_text = if size < 1.0 {
        format!("{:.0} ms", size * 1e3)
    } else {
        duration(Duration::from_secs_f64(size))
    };
    let seen = format!("{offset_text} {direction} NTP");
    if size > OFFSET_FAULT {
        Finding::fault(Check::Clock, server, seen, SYNCHRONISE)
    } else if size > OFFSET_WARNING {
        Finding::warning(Check::Clock, server, seen, SYNCHRONISE)
    } else {
        Finding::ok(Check::Clock, server, seen)
    }
}

/// Formats a duration in its largest unit, such as `1.0 days`.
fn duration(value: Duration) -> String {
    let seconds = value.as_secs_f64();
    match seconds {
        ..120.0 => format!("{seconds:.1} s"),
        ..7_200.0 => format!("{:.1} minutes", seconds / 60.0),
        ..172_800.0 => format!("{:.1} hours", seconds / 3_600.0),
        _ => format!("{:.1} days", seconds / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tokio::net::UdpSocket;

    use super::*;
    use crate::Status;

    const DAY: Duration = Duration::from_hours(24);
    const SHORT_TIMEOUT: Duration = Duration::from_secs(5);

    fn state(time: Duration, is_development: bool) -> HotkeyState {
        HotkeyState { nonce: 0, last_update: None, commits: Vec::new(), time, is_development }
    }

    #[test]
    fn clock_off_by_a_day_is_fault_on_public_chains() {
        let now = DAY * 20_000;
        for (local, is_development, status, seen) in [
            (now, false, Status::Ok, "0.0 s behind"),
            (now + Duration::from_secs(30), false, Status::Ok, "30.0 s ahead of"),
            (now + Duration::from_mins(3), false, Status::Warning, "3.0 minutes ahead of"),
            (now + DAY, false, Status::Fault, "24.0 hours ahead of"),
            (DAY * 19_999, false, Status::Fault, "24.0 hours behind"),
            (DAY * 19_999, true, Status::Warning, "24.0 hours behind"),
        ] {
            let finding = clock_against_chain(&state(now, is_development), local);
            assert_eq!(finding.status, status, "{finding:?}");
            assert!(finding.seen.starts_with(seen), "{finding:?}");
        }
        let advanced = clock_against_chain(&state(now, true), DAY * 19_999);
        assert!(advanced.remedy.unwrap().contains("see `tao localnet status`"));
    }

    /// Starts an NTP server whose clock is off, and returns its address.
    async fn ntp_server(offset_seconds: i64, stratum: u8) -> String {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let mut request = [0; 48];
            let (_, client) = socket.recv_from(&mut request).await.unwrap();
            // Seconds from 1900, the epoch of NTP, to 1970.
            let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
            let seconds = u32::try_from(
                (since_epoch.as_secs() + 2_208_988_800).strict_add_signed(offset_seconds),
            )
            .unwrap();
            let fraction =
                u32::try_from(u64::from(since_epoch.subsec_nanos()) * (1 << 32) / 1_000_000_000)
                    .unwrap();
            let now = [seconds.to_be_bytes(), fraction.to_be_bytes()].concat();
            // Version 4, mode 4 (server).
            let head = [vec![0b0010_0100, stratum, 0, 0], vec![0; 8], b"LOCL".to_vec()].concat();
            let reply = [&head[..], &now, &request[40..48], &now, &now].concat();
            socket.send_to(&reply, client).await.unwrap();
        });
        address
    }

    #[tokio::test]
    async fn offset_from_ntp_is_measured() {
        for (offset, stratum, status) in [
            (0, 1, Status::Ok),
            (-2, 1, Status::Warning),
            (86_400, 1, Status::Fault),
            (-86_400, 1, Status::Fault),
            // A server that is itself not synchronised says nothing about the clock.
            (86_400, 16, Status::Skipped),
        ] {
            let finding =
                clock_against_ntp(&ntp_server(offset, stratum).await, SHORT_TIMEOUT).await;
            assert_eq!(finding.status, status, "{finding:?}");
        }
        let finding = clock_against_ntp(&ntp_server(-86_400, 1).await, SHORT_TIMEOUT).await;
        assert!(finding.seen.contains("ahead of NTP"), "{finding:?}");
    }

    #[tokio::test]
    async fn silent_ntp_server_skips_check() {
        let silent_socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = silent_socket.local_addr().unwrap().to_string();
        let finding = clock_against_ntp(&server, Duration::from_millis(50)).await;
        assert_eq!((finding.status, finding.exit_code()), (Status::Skipped, None), "{finding:?}");
    }
}
