//! What Adjutant needs outside of itself: programs, room on the disk, a clock that goes right.

use crate::clock;
use adjutant_sessions::process::{self, Exit, ProcessSpec};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// How long a program may take to tell its version.
const PROBE_TIMEOUT: Duration = Duration::from_secs(20);
/// Less free space than this is worth a warning.
const FREE_BYTES_MIN: u64 = 1 << 30;
/// A clock before this (2024) is wrong: nothing of Adjutant is that old.
const CLOCK_MS_MIN: i64 = 1_704_067_200_000;
/// What was found holds so long, so that whoever asks again and again starts no programs by it.
const FRESH: Duration = Duration::from_secs(10);

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grade {
    /// It is as it should be.
    Fine,
    /// Something will not work that one may not need.
    Worse,
    /// Adjutant cannot work like this.
    Bad,
}

/// What was found of one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The thing: a program's name, `disk`, `clock` or `store`.
    pub name: &'static str,
    /// How bad it is.
    pub grade: Grade,
    /// What was seen, or what to do about it.
    pub detail: String,
}

/// Looks at everything but the store; `env` is the environment in which programs are looked for.
pub async fn look(folder: &Path, env: &[(String, String)]) -> Vec<Finding> {
    let agent = "not installed; the rehearsal agent needs nothing";
    let (git, tmux, claude, codex) = tokio::join!(
        program(env, "git", Grade::Bad, "worktrees and checks need it: install git"),
        program(env, "tmux", Grade::Worse, "interactive sessions will need it: install tmux"),
        program(env, "claude", Grade::Worse, agent),
        program(env, "codex", Grade::Worse, agent),
    );
    vec![git, tmux, disk(folder), time(), claude, codex]
}

/// The last look, for doors that many may ask at.
#[derive(Debug)]
pub(crate) struct Doctor {
    last: Mutex<Option<(Instant, Arc<[Finding]>)>>,
    /// One looks at a time.
    looking: Semaphore,
}

impl Default for Doctor {
    fn default() -> Self {
        Doctor { last: Mutex::default(), looking: Semaphore::new(1) }
    }
}

impl Doctor {
    /// Gives what [`look`] found a moment ago, or finds now.
    pub(crate) async fn findings(&self, folder: &Path, env: &[(String, String)]) -> Arc<[Finding]> {
        let _one_at_a_time = self.looking.acquire().await;
        let fresh = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, found)) = fresh.filter(|(at, _)| at.elapsed() < FRESH) {
            return found;
        }
        let found: Arc<[Finding]> = look(folder, env).await.into();
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), found.clone()));
        found
    }
}

async fn program(env: &[(String, String)], name: &'static str, when_missing: Grade, advice: &str) -> Finding {
    let flag = if name == "tmux" { "-V" } else { "--version" };
    let spec = ProcessSpec {
        timeout: Some(PROBE_TIMEOUT),
        env: env.to_vec(),
        ..ProcessSpec::new(vec![name.to_owned(), flag.to_owned()], "/".into())
    };
    match process::run(spec, CancellationToken::new(), None).await {
        Ok(outcome) if outcome.exit == Exit::Code(0) => {
            let said = String::from_utf8_lossy(&outcome.stdout);
            let detail = said.lines().next().unwrap_or_default().to_owned();
            Finding { name, grade: Grade::Fine, detail }
        }
        Ok(_) => Finding { name, grade: when_missing, detail: format!("`{name} {flag}` failed") },
        Err(_) => Finding { name, grade: when_missing, detail: advice.to_owned() },
    }
}

fn disk(folder: &Path) -> Finding {
    let there = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let (grade, detail) = match rustix::fs::statvfs(there) {
        Ok(stat) => {
            let free = stat.f_bavail * stat.f_frsize;
            let grade = if free < FREE_BYTES_MIN { Grade::Worse } else { Grade::Fine };
            (grade, format!("{} MiB free for {}", free >> 20, folder.display()))
        }
        Err(error) => (Grade::Bad, format!("{}: {error}", there.display())),
    };
    Finding { name: "disk", grade, detail }
}

fn time() -> Finding {
    let now = clock::now();
    let grade = if now.unix_ms() < CLOCK_MS_MIN { Grade::Bad } else { Grade::Fine };
    Finding { name: "clock", grade, detail: now.to_string() }
}
