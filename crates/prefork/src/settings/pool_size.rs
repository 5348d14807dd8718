//! How many workers there are, and how "auto" comes to its number.

use std::fmt;
use std::path::Path;

use crate::arbiter::MOST_WORKERS;
use crate::cgroup::MemoryGroup;
use crate::ids::MemorySize;

use super::WorkerCount;

/// What "auto" gives at most.
const MOST_AUTO: usize = 8;
/// Memory that "auto" reckons with for each worker. An idle one has a few MiB to itself; one that runs a request has its body
/// in memory several times: as it came, as it was understood, and in what is answered.
const PER_WORKER: u64 = 64 << 20;

/// What there is for workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    /// Processors: of the affinity mask, within the quota.
    pub(crate) cores: usize,
    /// The least memory limit of the cgroups.
    pub(crate) memory: Option<MemorySize>,
}

impl Machine {
    /// The one that this process has now.
    pub(crate) fn look() -> Self {
        let memory = MemoryGroup::find(Path::new("/")).limit().map(MemorySize);
        Self { cores: num_cpus::get(), memory }
    }
}

/// The number of workers, with its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PoolSize {
    /// The settings say so.
    Given(u16),
    /// The settings leave it to the machine.
    Auto(Machine),
}

impl PoolSize {
    pub(crate) fn new(workers: WorkerCount, machine: Machine) -> Self {
        match workers {
            WorkerCount::Exactly(count) => Self::Given(count),
            WorkerCount::Auto => Self::Auto(machine),
        }
    }

    /// At least 1.
    pub(crate) fn count(self) -> u16 {
        match self {
            Self::Given(count) => count,
            Self::Auto(Machine { cores, memory }) => {
                let allowed = memory.map_or(MOST_WORKERS, allowed_by);
                given_by(cores).min(allowed).max(1)
            }
        }
    }
}

fn given_by(cores: usize) -> u16 {
    (2 * cores + 1).min(MOST_AUTO) as u16
}

fn allowed_by(memory: MemorySize) -> u16 {
    u16::try_from(memory.0 / PER_WORKER).unwrap_or(MOST_WORKERS)
}

/// As it stands in the log.
impl fmt::Display for PoolSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.count())?;
        let Self::Auto(Machine { cores, memory }) = *self else { return Ok(()) };
        let (noun, verb) = if cores == 1 { ("core", "gives") } else { ("cores", "give") };
        write!(f, " (\"auto\": {cores} {noun} {verb} {}", given_by(cores))?;
        if let Some(limit) = memory {
            write!(f, ", the memory limit of {limit} allows {}", allowed_by(limit))?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_goes_by_cores_and_memory_and_says_how() {
        const MIB: u64 = 1 << 20;
        for (cores, memory, said) in [
            (1, None, "3 (\"auto\": 1 core gives 3)"),
            (2, None, "5 (\"auto\": 2 cores give 5)"),
            (64, None, "8 (\"auto\": 64 cores give 8)"),
            (2, Some(128 * MIB), "2 (\"auto\": 2 cores give 5, the memory limit of 128.0 MiB allows 2)"),
            (2, Some(127 * MIB), "1 (\"auto\": 2 cores give 5, the memory limit of 127.0 MiB allows 1)"),
            (2, Some(MIB), "1 (\"auto\": 2 cores give 5, the memory limit of 1.0 MiB allows 0)"),
            (1, Some(512 * MIB), "3 (\"auto\": 1 core gives 3, the memory limit of 512.0 MiB allows 8)"),
        ] {
            let machine = Machine { cores, memory: memory.map(MemorySize) };
            let size = PoolSize::new(WorkerCount::Auto, machine);
            assert_eq!(size.to_string(), said);
            assert!(said.starts_with(&size.count().to_string()));
            assert_eq!(PoolSize::new(WorkerCount::Exactly(3), machine), PoolSize::Given(3));
        }
        let plenty = Machine { cores: 1000, memory: Some(MemorySize(u64::MAX)) };
        assert_eq!(PoolSize::Auto(plenty).count(), 8);
    }
}
