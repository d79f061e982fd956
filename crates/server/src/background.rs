//! Runs what is done behind the operations (`tailrace_engine::background`): a task for each job, so that none waits for another;
//! and lets the operator see and steer the jobs.

use std::sync::Arc;

use tailrace_engine::Db;
use tailrace_engine::background::retention::NAME as RETENTION;
use tailrace_engine::background::{Job, JobStatus, Wait, tasks};
use tokio::task::JoinHandle;

/// The jobs, for whoever looks at them and steers them.
#[derive(Clone)]
pub struct Jobs(Arc<[Arc<Job>]>);

/// What the operator has a job do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobAction {
    /// A whole pass, at once and also if the job is paused; it is not waited for.
    Run,
    /// Nothing, but for passes that are asked for, until it is resumed or the server starts anew.
    Pause,
    /// What it is for.
    Resume,
}

/// There is no such job.
#[derive(Debug, thiserror::Error)]
#[error("there is no job {name:?} in the background; there are {known}")]
pub struct NoSuchJob {
    name: String,
    known: String,
}

impl Jobs {
    /// How they stand.
    pub fn status(&self) -> Vec<JobStatus> {
        self.0.iter().map(|job| job.status()).collect()
    }

    /// Has a job do something, and says how it stands then.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn act(&self, name: &str, action: JobAction) -> Result<JobStatus, NoSuchJob> {
        let Some(job) = self.0.iter().find(|job| job.name() == name) else {
            let known: Vec<&str> = self.0.iter().map(|job| job.name()).collect();
            return Err(NoSuchJob { name: name.to_owned(), known: known.join(", ") });
        };
        match action {
            JobAction::Run => job.trigger(),
            JobAction::Pause => job.pause(),
            JobAction::Resume => job.resume(),
        }
        Ok(job.status())
    }
}

/// The jobs that run; they end with [`Background::stop`], or when this is dropped.
pub struct Background {
    jobs: Jobs,
    running: Vec<JoinHandle<()>>,
}

impl Background {
    /// Starts every job but the retention of streams, which waits for [`Background::trim`].
    pub fn start(db: &Arc<Db>) -> Background {
        let jobs = tasks().into_iter().map(|task| Arc::new(Job::new(Arc::clone(db), task)));
        let jobs = Jobs(jobs.collect());
        jobs.0.iter().filter(|job| job.name() == RETENTION).for_each(|job| job.pause());
        let running = jobs.0.iter().map(|job| tokio::spawn(run(Arc::clone(job)))).collect();
        Background { jobs, running }
    }

    /// Lets the retention begin: everybody who needs records for longer than they are retained is known to the database. Before
    /// that it would take away what a sink was to get still.
    pub fn trim(&self) {
        self.jobs.0.iter().filter(|job| job.name() == RETENTION).for_each(|job| job.resume());
    }

    /// The jobs.
    pub fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// Ends them: what a tick has begun is done, or begun again by a later start.
    pub async fn stop(mut self) {
        let running = std::mem::take(&mut self.running);
        for running in &running {
            running.abort();
        }
        for running in running {
            let _ = running.await;
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        for running in &self.running {
            running.abort();
        }
    }
}

async fn run(job: Arc<Job>) {
    loop {
        match job.run().await {
            // A tick's commits wait for their sync, but one that found nothing to do did not.
            Wait::Next => tokio::task::yield_now().await,
            Wait::Resumed => job.resumed().await,
            Wait::Interval(length) => {
                let _ = tokio::time::timeout(length, job.woken()).await;
            }
        }
    }
}
