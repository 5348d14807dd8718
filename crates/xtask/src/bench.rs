//! The figures of the release build, seen from outside.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kit::{Server, Setup, Signal, children};

use crate::run::{cargo, run, target};

/// How often a thing is done whose median is taken.
const STARTS: usize = 15;
const KILLS: usize = 30;

/// Builds, measures, and prints each figure beside the one that we want. A figure that falls short is said, not failed:
/// a busy machine is no fault of the program.
pub(crate) fn bench() -> Result<()> {
    run(cargo().args(["build", "--release", "--bins", "--examples"]))?;
    println!("{:<54} {:>12} {:>12}", "figure (medians)", "measured", "goal");
    let devsim = || Server::of(program("devsim-master"), "[server]\nworkers = 5\n");
    let echo = || Server::of(program("examples/echo"), "[server]\nworkers = 4\n");

    let started = median((0..STARTS).map(|_| start_to_first_answer(devsim())));
    say("devsim-master -w 5, empty database: start to first 200", millis(started), 150.0, "ms");
    for (name, setup) in [("echo", echo()), ("devsim-master", devsim())] {
        let server = setup.start();
        let ready = server.wait_for("all workers", |server| {
            let times = boot_times(&server.said());
            (times.len() >= server.workers().len() && times.len() >= 4).then_some(times)
        });
        say(&format!("{name}: fork to ready of one worker"), millis(median(ready)), 20.0, "ms");
    }
    let respawn = respawn_times(&echo().start());
    say("echo -w 4: kill -9 of a worker to whole and ready", millis(respawn), 30.0, "ms");

    let (master, worker) = memory(echo().start())?;
    say("echo: PSS of the master", master, 3.0, "MB");
    say("echo: PSS of a bare library worker", worker, 2.0, "MB");
    let (master, worker) = memory(devsim().start())?;
    say("devsim-master: PSS of the master", master, 3.0, "MB");
    say("devsim-master: PSS of an idle worker", worker, 6.0, "MB");
    Ok(())
}

fn program(name: &str) -> PathBuf {
    target().join("release").join(name)
}

fn say(figure: &str, measured: f64, goal: f64, unit: &str) {
    let verdict = if measured < goal { "ok" } else { "short" };
    println!("{figure:<54} {:>12} {:>12}", format!("{measured:.1} {unit}"), format!("< {goal} {verdict}"));
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

fn median(spans: impl IntoIterator<Item = Duration>) -> Duration {
    let mut spans: Vec<Duration> = spans.into_iter().collect();
    spans.sort_unstable();
    spans.get(spans.len() / 2).copied().unwrap_or_default()
}

fn start_to_first_answer(setup: Setup) -> Duration {
    let begun = Instant::now();
    let server = setup.start();
    let took = begun.elapsed();
    drop(server);
    took
}

/// What the master's log says of boots: `worker 3 ready after 1 ms`.
fn boot_times(said: &str) -> Vec<Duration> {
    let spans = said.lines().filter_map(|line| line.split_once(" ready after "));
    spans.filter_map(|(_, rest)| span(rest)).collect()
}

fn span(text: &str) -> Option<Duration> {
    let mut words = text.split([' ', ',']);
    let number: f64 = words.next()?.parse().ok()?;
    let unit = match words.next()? {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => return None,
    };
    Some(Duration::from_secs_f64(number * unit))
}

/// From the kill until as many workers as before live, without the victim, and all of them have said that they are ready.
fn respawn_times(server: &Server) -> Duration {
    server.wait_for_workers(4);
    server.wait_for("their readiness", |server| (boot_times(&server.said()).len() >= 4).then_some(()));
    median((0..KILLS).map(|_| {
        let ready = boot_times(&server.said()).len();
        let victim = server.workers().into_iter().next().unwrap_or_default();
        let begun = Instant::now();
        server.signal_worker(victim, Signal::KILL);
        loop {
            let workers = children(server.pid());
            if workers.len() == 4 && !workers.contains(&victim) && boot_times(&server.said()).len() > ready {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "the pool is not whole after ten seconds");
        }
    }))
}

/// Proportional set sizes (proc(5), smaps_rollup) in MB of the master, and the largest of its workers', at rest.
fn memory(server: Server) -> Result<(f64, f64)> {
    std::thread::sleep(Duration::from_secs(1)); // what a start leaves to be done is done
    let workers = server.workers();
    let worker = workers.into_iter().map(pss).collect::<Result<Vec<f64>>>()?.into_iter().fold(0.0, f64::max);
    Ok((pss(server.pid())?, worker))
}

fn pss(pid: i32) -> Result<f64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = std::fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    Ok(kilobytes.with_context(|| format!("{path} has no line Pss"))? / 1024.0)
}
