//! What `/proc` tells of processes (proc(5)), and signals to them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// The living children of a process; those that are dead and not yet reaped are left out.
pub fn children(pid: i32) -> Vec<i32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let pids =
        lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>());
    pids.filter(|pid| is_alive(*pid)).collect()
}

/// Whether a process is there, and no zombie.
pub fn is_alive(pid: i32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The state follows the name, which may hold anything but ends with the last parenthesis.
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

/// Sends a process a signal; one that has ended takes it without a word.
pub fn signal_to(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, signal);
    }
}

/// The program that a process runs, as its file is named by now; one that was replaced ends with ` (deleted)`.
pub fn executable(pid: i32) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default()
}

/// The first word of a field of a process's status, as the number of `VmRSS` in kB.
pub fn status_field(pid: i32, field: &str) -> Option<String> {
    status(pid, field).into_iter().next()
}

/// The processes whose standard output or error is this file, whoever their parents are by now.
pub(crate) fn writers_of(file: &Path) -> Vec<i32> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let writes = |pid: &i32| {
        [1, 2].iter().any(|fd| fs::read_link(format!("/proc/{pid}/fd/{fd}")).is_ok_and(|it| it == file))
    };
    pids.filter(writes).collect()
}

/// Whether this process has a controlling terminal, as then have the servers that it starts (tty(4)).
pub fn has_terminal() -> bool {
    fs::File::open("/dev/tty").is_ok()
}

/// How many descriptors a process has open.
pub fn descriptors(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// A process's memory in KiB, without files, which it shares with whoever runs the same program (proc_pid_smaps(5),
/// Anonymous).
pub fn memory(pid: i32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    number.unwrap_or_else(|| panic!("no memory of {pid} in {rollup:?}"))
}

/// The time that a process has spent on processors (proc_pid_stat(5), utime and stime).
pub fn processor_time(pid: i32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 =
        rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
}

/// How many of a process's children have ended and were not reaped.
pub fn zombies(pid: i32) -> usize {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let stats = processes.filter_map(|process| fs::read_to_string(process.path().join("stat")).ok());
    let is_one = |stat: &String| {
        let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
        fields.next() == Some("Z") && fields.next() == Some(pid.to_string().as_str())
    };
    stats.filter(is_one).count()
}

/// What a process's descriptors are, without the numbers that tell one socket or pipe from another.
pub fn descriptor_kinds(pid: i32) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let targets = entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    let mut kinds: Vec<String> =
        targets.map(|target| target.to_string_lossy().replace(|c: char| c.is_ascii_digit(), "")).collect();
    kinds.sort();
    kinds
}

/// How many descriptors a process may have, before it asks for more and at most; what is unlimited is the highest number.
pub fn descriptor_limits(pid: i32) -> Option<(u64, u64)> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let mut words = line.split_whitespace().map(|word| word.parse().unwrap_or(u64::MAX));
    Some((words.next()?, words.next()?))
}

/// The words of a field of a process's status, as the four of `Uid`: real, effective, saved and that for files.
pub fn status(pid: i32, field: &str) -> Vec<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// How many threads a process has.
pub fn threads(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

/// A process's title: its arguments as `ps` shows them, with a blank for each zero between them.
pub fn title(pid: i32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim_end_matches('\0').replace('\0', " ")
}
