//! What is measured, and what it means.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate};

/// The machine and this process at one time. Sizes are bytes, `percent` is of 100.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figures {
    timestamp: f64,
    uptime: u64,
    cpu: Cpu,
    memory: Memory,
    disk: Disk,
    process: Process,
}

#[derive(Debug, Clone, Serialize)]
struct Cpu {
    percent: f64,
    count: usize,
    load_avg: [f64; 3],
}

#[derive(Debug, Clone, Serialize)]
struct Memory {
    total: u64,
    available: u64,
    percent: f64,
    used: u64,
    free: u64,
}

/// Of the file system at `/`.
#[derive(Debug, Clone, Serialize)]
struct Disk {
    total: u64,
    used: u64,
    free: u64,
    percent: f64,
}

#[derive(Debug, Clone, Serialize)]
struct Process {
    pid: u32,
    memory_percent: f64,
    cpu_percent: f64,
    num_threads: usize,
    create_time: f64,
}

/// What the figures mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Healthy,
    Warning,
    Critical,
}

impl Status {
    fn of(cpu: f64, memory: f64, disk: f64) -> Self {
        if cpu < 80.0 && memory < 85.0 && disk < 90.0 {
            Self::Healthy
        } else if cpu > 95.0 || memory > 95.0 {
            Self::Critical
        } else {
            Self::Warning
        }
    }
}

impl Figures {
    pub(crate) fn status(&self) -> Status {
        Status::of(self.cpu.percent, self.memory.percent, self.disk.percent)
    }
}

/// Takes samples. Rates are those since the sample before, the first one's since the machine started.
pub(super) struct Meter {
    system: sysinfo::System,
    pid: Pid,
}

impl Meter {
    /// `None` where the machine shows no figures.
    pub(super) fn new() -> Option<Self> {
        let system = sysinfo::System::new().ok()?;
        Some(Self { system, pid: Pid::from_u32(std::process::id()) })
    }

    /// Reads some files of `/proc`, about a millisecond. Of file systems only `/` is asked: a dead mount
    /// elsewhere would hold up whoever asks it.
    pub(super) fn sample(&mut self) -> Option<Figures> {
        self.system.refresh_cpu_specifics(CpuRefreshKind::nothing().with_usage());
        self.system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        self.system.refresh_processes_specifics(
            ProcessesToUpdate::Some(&[self.pid]),
            true,
            ProcessRefreshKind::nothing().with_cpu().with_memory().without_tasks(),
        );
        let load = sysinfo::System::load_average().ok()?;
        let memory = self.memory();
        Some(Figures {
            timestamp: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
            uptime: sysinfo::System::uptime().ok()?,
            cpu: Cpu {
                percent: f64::from(self.system.global_cpu_usage()).clamp(0.0, 100.0),
                count: self.system.cpus().len(),
                load_avg: [load.one, load.five, load.fifteen],
            },
            process: self.process(memory.total)?,
            memory,
            disk: disk()?,
        })
    }

    fn memory(&self) -> Memory {
        let (total, available) = (self.system.total_memory(), self.system.available_memory());
        Memory {
            total,
            available,
            percent: percent(total.saturating_sub(available), total),
            used: self.system.used_memory(),
            free: self.system.free_memory(),
        }
    }

    fn process(&self, total_memory: u64) -> Option<Process> {
        let process = self.system.process(self.pid)?;
        Some(Process {
            pid: self.pid.as_u32(),
            memory_percent: percent(process.memory(), total_memory),
            cpu_percent: f64::from(process.cpu_usage()),
            num_threads: std::fs::read_dir("/proc/self/task").ok()?.count(),
            create_time: process.start_time() as f64,
        })
    }
}

fn disk() -> Option<Disk> {
    let disk = rustix::fs::statvfs("/").ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
    let used = bytes(disk.f_blocks.saturating_sub(disk.f_bfree));
    // `free` is what an ordinary user can have, so that `used` and `free` leave out what root keeps.
    let free = bytes(disk.f_bavail);
    Some(Disk { total: bytes(disk.f_blocks), used, free, percent: percent(used, used.saturating_add(free)) })
}

/// Of nothing, nothing.
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 * 100.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_those_of_the_contract() {
        use Status::*;
        for (cpu, memory, disk, status) in [
            (0.0, 0.0, 0.0, Healthy),
            (79.9, 84.9, 89.9, Healthy),
            (80.0, 0.0, 0.0, Warning),
            (0.0, 85.0, 0.0, Warning),
            (0.0, 0.0, 90.0, Warning),
            (0.0, 0.0, 100.0, Warning),
            (95.0, 95.0, 0.0, Warning),
            (95.1, 0.0, 0.0, Critical),
            (0.0, 95.1, 0.0, Critical),
        ] {
            assert_eq!(Status::of(cpu, memory, disk), status, "{cpu} {memory} {disk}");
        }
    }

    #[test]
    fn the_first_sample_has_figures_already() {
        let figures = Meter::new().unwrap().sample().unwrap();
        assert!(figures.cpu.count > 0 && (0.0..=100.0).contains(&figures.cpu.percent));
        assert!(figures.memory.total > figures.memory.available && figures.disk.total > 0);
        assert!(figures.process.num_threads > 0 && figures.process.memory_percent > 0.0);
    }
}
