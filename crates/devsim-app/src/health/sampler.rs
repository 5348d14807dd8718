//! When samples are taken.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use super::figures::{Figures, Meter};

/// Between two samples. Closer ones say little about a CPU.
const PERIOD: Duration = Duration::from_secs(2);

/// Samples go on this long after somebody asked.
const INTEREST: Duration = Duration::from_secs(60);

/// An answer waits this long for figures that are not stale, then takes what there is.
const PATIENCE: Duration = Duration::from_millis(100);

/// The machine's figures, kept fresh by a task of their own while somebody asks for them.
#[derive(Debug, Clone)]
pub(crate) struct System {
    asked: mpsc::Sender<()>,
    samples: watch::Receiver<Sample>,
}

#[derive(Debug, Clone)]
struct Sample {
    figures: Option<Figures>,
    taken: Instant,
}

impl Sample {
    fn take(meter: &mut Option<Meter>) -> Self {
        Self { figures: meter.as_mut().and_then(Meter::sample), taken: Instant::now() }
    }
}

impl System {
    /// Takes a first sample and starts the task, which ends with the last clone of what is returned.
    pub(crate) fn watch() -> Self {
        let (asked, asks) = mpsc::channel(1);
        let mut meter = Meter::new();
        let (publish, samples) = watch::channel(Sample::take(&mut meter));
        tokio::spawn(keep_fresh(meter, publish, asks));
        Self { asked, samples }
    }

    /// The latest figures, if there are any.
    pub(crate) async fn figures(&self) -> Option<Figures> {
        let mut samples = self.samples.clone();
        let stale = samples.borrow_and_update().taken.elapsed() > 2 * PERIOD;
        // A full channel says already that somebody asked.
        let _ = self.asked.try_send(());
        if stale {
            // The task sleeps, and was woken just now. Late figures are better than a late answer.
            let _ = timeout(PATIENCE, samples.changed()).await;
        }
        let sample = samples.borrow();
        sample.figures.clone()
    }
}

async fn keep_fresh(mut meter: Option<Meter>, publish: watch::Sender<Sample>, mut asks: mpsc::Receiver<()>) {
    while asks.recv().await.is_some() {
        let mut interest_ends = Instant::now() + INTEREST;
        while Instant::now() < interest_ends {
            if publish.borrow().taken.elapsed() >= PERIOD {
                publish.send_replace(Sample::take(&mut meter));
            }
            sleep(PERIOD).await;
            match asks.try_recv() {
                Ok(()) => interest_ends = Instant::now() + INTEREST,
                Err(mpsc::error::TryRecvError::Empty) => {}
                Err(mpsc::error::TryRecvError::Disconnected) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn samples_are_taken_only_while_somebody_asks() {
        let system = System::watch();
        let taken = || system.samples.borrow().taken;
        let first = taken();
        sleep(10 * INTEREST).await;
        assert_eq!(taken(), first, "nobody asked");

        assert!(system.figures().await.is_some());
        assert!(taken() > first, "a stale sample is replaced before it is shown");
        let begun = Instant::now();
        sleep(10 * INTEREST).await;
        assert!(taken() > begun && taken() - begun <= INTEREST + PERIOD, "interest fades");
    }
}
