//! How the server is, in a handful of lines.

use prefork::control::{
    LastReload, LastUpgrade, Pool, ReloadResult, ServerState, Status, Upgrade, UpgradeResult,
};

use super::table::{Side, lay_out};
use super::text::{harmless, in_lines, span};

/// `now` is the Unix time in seconds.
pub(super) fn show(status: &Status, now: u64) -> String {
    let Status { name, version, pid, uptime_seconds, state, .. } = status;
    let mut text = format!(
        "{} {} {}, pid {pid}, up for {}\n",
        harmless(name),
        harmless(version),
        is(*state),
        span(*uptime_seconds)
    );
    let deaths: Vec<String> =
        status.deaths.iter().map(|(cause, count)| format!("{count} {}", harmless(cause))).collect();
    let facts = [
        ("reason", status.reason.clone()),
        ("workers", Some(pool(&status.workers))),
        ("generation", Some(status.generation.to_string())),
        ("listeners", Some(or_none(&status.listeners))),
        ("requests", Some(status.requests.to_string())),
        ("deaths", Some(or_none(&deaths))),
        ("last reload", status.last_reload.as_ref().map(|last| reload(last, now))),
        ("upgrade", status.upgrade.as_ref().map(upgrade)),
        ("last upgrade", status.last_upgrade.as_ref().map(|last| upgraded(last, now))),
    ];
    // A value of several lines, as the problems of a configuration, goes on below itself.
    let rows = facts.iter().filter_map(|(name, value)| Some((name, in_lines(value.as_ref()?)))).flat_map(
        |(name, value)| {
            let row = |(index, line): (usize, &str)| {
                [format!("  {}", if index == 0 { name } else { "" }), line.to_owned()]
            };
            value.lines().enumerate().map(row).collect::<Vec<_>>()
        },
    );
    text.push_str(&lay_out(&[Side::Left, Side::Left], rows));
    text
}

fn is(state: ServerState) -> &'static str {
    match state {
        ServerState::Starting => "is starting",
        ServerState::Running => "is running",
        ServerState::Halted => "is halted: it has no workers until a reload",
        ServerState::Stopping => "is stopping",
        ServerState::CrashLoop => "is in a CRASH LOOP: its workers fail to boot",
    }
}

fn pool(pool: &Pool) -> String {
    let Pool { wanted, ready, booting, draining } = pool;
    let mut text = format!("{ready} of {wanted} ready");
    for (count, what) in [(booting, "booting"), (draining, "draining")] {
        if *count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    text
}

fn reload(last: &LastReload, now: u64) -> String {
    let ago = span(now.saturating_sub(last.at) as f64);
    let generation = last.generation;
    let how = match last.result {
        ReloadResult::Ok => {
            return format!("generation {generation} took over {ago} ago, after {}", span(last.took_seconds));
        }
        ReloadResult::Refused => "was refused",
        ReloadResult::Failed => "failed",
    };
    let reason = last.reason.as_deref().unwrap_or("no reason is known");
    format!("generation {generation} {how} {ago} ago; the one before serves on:\n{reason}")
}

fn upgrade(upgrade: &Upgrade) -> String {
    match upgrade.pid {
        Some(pid) => format!("{}, pid {pid}", upgrade.state),
        None => upgrade.state.clone(),
    }
}

fn upgraded(last: &LastUpgrade, now: u64) -> String {
    let ago = span(now.saturating_sub(last.at) as f64);
    let reason = last.reason.as_deref().unwrap_or("no reason is known");
    match last.result {
        UpgradeResult::Ok => format!("this program took over {ago} ago"),
        UpgradeResult::Failed => format!("failed {ago} ago; the program from before it serves on:\n{reason}"),
    }
}

fn or_none(texts: &[String]) -> String {
    if texts.is_empty() { "none".into() } else { texts.join(", ") }
}
