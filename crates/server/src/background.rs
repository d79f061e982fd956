//! Runs what is done behind the operations (`tailrace_engine::background`): a task for each job, so that none waits for another.

use std::sync::Arc;

use tailrace_engine::Db;
use tailrace_engine::background::retention::NAME as RETENTION;
use tailrace_engine::background::{Job, JobStatus, Wait, tasks};
use tokio::task::JoinHandle;

/// The jobs that run; they end with [`Background::stop`], or when this is dropped.
pub struct Background {
    jobs: Vec<Arc<Job>>,
    running: Vec<JoinHandle<()>>,
}

impl Background {
    /// Starts every job but the retention of streams, which waits for [`Background::trim`].
    pub fn start(db: &Arc<Db>) -> Background {
        let jobs: Vec<Arc<Job>> = tasks().into_iter().map(|task| Arc::new(Job::new(Arc::clone(db), task))).collect();
        jobs.iter().filter(|job| job.status().name == RETENTION).for_each(|job| job.pause());
        let running = jobs.iter().map(|job| tokio::spawn(run(Arc::clone(job)))).collect();
        Background { jobs, running }
    }

    /// Lets the retention begin: everybody who needs records for longer than they are retained is known to the database. Before
    /// that it would take away what a sink was to get still.
    pub fn trim(&self) {
        self.jobs.iter().filter(|job| job.status().name == RETENTION).for_each(|job| job.resume());
    }

    /// How they stand.
    pub fn status(&self) -> Vec<JobStatus> {
        self.jobs.iter().map(|job| job.status()).collect()
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
            Wait::Resumed => job.woken().await,
            Wait::Interval(length) => {
                let _ = tokio::time::timeout(length, job.woken()).await;
            }
        }
    }
}
