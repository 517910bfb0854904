//! Periodic jobs: what the plane does from time to time, and how that went.
//!
//! A job looks at what is and does what is due; a nudge makes it look at once, its period makes it look anyway. A round
//! that fails or panics is counted and told, and the next one comes all the same. One job has one round at a time.

use crate::clock;
use crate::error::EngineError;
use crate::plane::Core;
use adjutant_model::Timestamp;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// A job and how its rounds went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobStatus {
    /// Its name.
    pub name: &'static str,
    /// How long it pauses between two rounds; zero when it only runs on a nudge.
    pub period: Duration,
    /// How many rounds have ended, however they did.
    pub runs: u64,
    /// How many of them failed.
    pub errors: u64,
    /// How many of them panicked.
    pub panics: u64,
    /// On how many things they acted together.
    pub acted_total: u64,
    /// The last round that has ended.
    pub last: Option<JobRound>,
}

/// A round that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRound {
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// How it ended, in words.
    pub outcome: String,
}

/// The jobs of a plane.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    jobs: Mutex<Vec<Arc<Job>>>,
}

#[derive(Debug)]
struct Job {
    status: Mutex<JobStatus>,
    nudge: Notify,
    rounds: watch::Sender<u64>,
}

impl Jobs {
    /// Gives every job and how its rounds went, in the order in which they were started.
    pub(crate) fn statuses(&self) -> Vec<JobStatus> {
        self.lock().iter().map(|job| job.lock().clone()).collect()
    }

    /// Makes a job look at once.
    pub(crate) fn nudge(&self, name: &str) {
        if let Some(job) = self.named(name) {
            job.nudge.notify_one();
        }
    }

    /// Makes a job look at once and waits for the end of a round that began after this; gives its status then, and
    /// nothing when there is no such job or the plane stops.
    pub(crate) async fn run(&self, name: &str) -> Option<JobStatus> {
        let job = self.named(name)?;
        let mut rounds = job.rounds.subscribe();
        // A round that is under way may have looked already, so the one after it counts.
        let first = *rounds.borrow_and_update();
        let wanted = first + if first % 2 == 0 { 2 } else { 3 };
        job.nudge.notify_one();
        rounds.wait_for(|round| *round >= wanted).await.ok()?;
        let status = job.lock().clone();
        Some(status)
    }

    fn named(&self, name: &str) -> Option<Arc<Job>> {
        self.lock().iter().find(|job| job.lock().name == name).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Job>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    fn lock(&self) -> MutexGuard<'_, JobStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, started_at: Timestamp, ended: Result<Result<u64, EngineError>, tokio::task::JoinError>) {
        let mut status = self.lock();
        status.runs += 1;
        let outcome = match ended {
            Ok(Ok(0)) => "nothing was due".to_owned(),
            Ok(Ok(acted)) => {
                status.acted_total += acted;
                format!("acted on {acted}")
            }
            Ok(Err(error)) => {
                tracing::warn!(job = status.name, %error, "a round failed; the next one comes in its time");
                status.errors += 1;
                format!("failed: {error}")
            }
            Err(error) => {
                tracing::error!(job = status.name, %error, "a round panicked");
                status.panics += 1;
                "panicked".to_owned()
            }
        };
        status.last = Some(JobRound { started_at, finished_at: clock::now(), outcome });
    }
}

/// Starts a job; each round gives on how many things it acted. A period of zero leaves it to nudges.
pub(crate) fn start<Work, Round>(core: &Arc<Core>, name: &'static str, period: Duration, work: Work)
where
    Work: Fn(Arc<Core>) -> Round + Send + Sync + 'static,
    Round: Future<Output = Result<u64, EngineError>> + Send + 'static,
{
    let status = JobStatus { name, period, runs: 0, errors: 0, panics: 0, acted_total: 0, last: None };
    // The count is odd while a round is under way.
    let job =
        Arc::new(Job { status: Mutex::new(status), nudge: Notify::new(), rounds: watch::Sender::new(0) });
    core.jobs.lock().push(job.clone());
    let core = core.clone();
    let tasks = core.tasks.clone();
    tasks.spawn(async move {
        while due(&core, &job, period).await {
            let started_at = clock::now();
            job.rounds.send_modify(|round| *round += 1);
            let ended = tokio::spawn(work(core.clone())).await;
            job.note(started_at, ended);
            job.rounds.send_modify(|round| *round += 1);
        }
    });
}

/// Waits until a round is due; not so when the plane stops.
async fn due(core: &Core, job: &Job, period: Duration) -> bool {
    let pause = async {
        match period {
            Duration::ZERO => std::future::pending().await,
            period => tokio::time::sleep(period).await,
        }
    };
    tokio::select! {
        () = core.stopping.cancelled() => false,
        () = job.nudge.notified() => true,
        () = pause => true,
    }
}
