//! What Adjutant needs outside of itself: programs, room on the disk, a clock that goes right; and which agents are here.
//!
//! Every program is asked with a limit of time and with little of the environment. An agent that is not here, whose
//! version nobody can tell, or whose version its profile was not tried with, is told as worse.

use crate::agents;
use crate::clock;
use adjutant_model::profile::{AgentProfile, OWN_PROGRAM};
use adjutant_model::session::DriverKind;
use adjutant_rules::profile::{self, Profiles};
use adjutant_sessions::environment::environment;
pub use adjutant_sessions::probe::Probed;
use adjutant_sessions::probe::{ProbePlace, Prober};
use adjutant_sessions::process::{self, Exit, ProcessSpec};
use futures_util::future::join_all;
use std::collections::BTreeMap;
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
    /// The thing: a program's name, an agent's, `disk`, `clock` or `store`.
    pub name: String,
    /// How bad it is.
    pub grade: Grade,
    /// What was seen, or what to do about it.
    pub detail: String,
}

impl Finding {
    /// Says what was found of a thing.
    pub fn new(name: impl Into<String>, grade: Grade, detail: impl Into<String>) -> Self {
        Finding { name: name.into(), grade, detail: detail.into() }
    }
}

/// What was found of the program of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentFinding {
    /// The profile.
    pub name: String,
    /// [`Grade::Worse`] when it is not here, cannot be hosted, or is not known to be as its profile says.
    pub grade: Grade,
    /// What it told of itself.
    pub probed: Probed,
}

impl AgentFinding {
    /// Says the same in a line.
    pub fn finding(&self) -> Finding {
        let Probed { path, version, drivers, warnings, .. } = &self.probed;
        let Some(path) = path else {
            // What follows from that needs no words.
            let why = warnings.first().cloned().unwrap_or_default();
            return Finding::new(self.name.clone(), self.grade, why);
        };
        let drivers: Vec<&str> = drivers.iter().map(|kind| kind.as_str()).collect();
        let by = if drivers.is_empty() { "no driver".to_owned() } else { drivers.join(", ") };
        let version = version.as_deref().unwrap_or("version unknown");
        let place = format!("{version} by {by}; {}", path.display());
        let words: Vec<&str> = std::iter::once(&*place).chain(warnings.iter().map(String::as_str)).collect();
        Finding::new(self.name.clone(), self.grade, words.join("; "))
    }
}

/// Everything that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// What Adjutant itself needs.
    pub findings: Vec<Finding>,
    /// The agents that there are profiles of.
    pub agents: Vec<AgentFinding>,
}

/// Where is looked.
#[derive(Debug, Clone, Copy)]
pub struct LookParams<'a> {
    /// The data folder.
    pub folder: &'a Path,
    /// The environment in which programs are looked for; little of it is theirs.
    pub env: &'a [(String, String)],
    /// Adjutant's own program.
    pub exe: &'a Path,
}

/// Looks at everything but the store.
pub async fn look(params: LookParams<'_>) -> Looked {
    look_with(&Prober::default(), params).await
}

async fn look_with(prober: &Prober, params: LookParams<'_>) -> Looked {
    // A key of somebody's is nothing that a program needs to tell its version.
    let env = environment(&[], params.env.iter().cloned(), &BTreeMap::new());
    let (git, tmux) = tokio::join!(
        program(&env, "git", Grade::Bad, "worktrees and checks need it: install git"),
        program(&env, "tmux", Grade::Worse, "interactive sessions will need it: install tmux"),
    );
    let has_tmux = tmux.grade == Grade::Fine;
    let mut findings = vec![git, tmux, disk(params.folder), time()];
    let (profiles, problems) = match agents::profiles_in(params.folder) {
        Ok(read) => read,
        Err(error) => {
            findings.push(Finding::new("agents", Grade::Worse, error.to_string()));
            (Profiles::shipped().clone(), Vec::new())
        }
    };
    findings.extend(problems.iter().map(|problem| Finding::new("agents", Grade::Worse, problem.to_string())));
    let hosts: Vec<DriverKind> =
        DriverKind::ALL.into_iter().filter(|kind| *kind != DriverKind::Tmux || has_tmux).collect();
    let place = ProbePlace {
        env: &env,
        cwd: Path::new("/"),
        adjutant: params.exe,
        hosts: &hosts,
        is_known: profile::is_known,
    };
    let known = profiles.iter().filter(|profile| !["", OWN_PROGRAM].contains(&profile.program.as_str()));
    let agents = join_all(known.map(|profile| agent(prober, profile, place))).await;
    Looked { findings, agents }
}

async fn agent(prober: &Prober, profile: &AgentProfile, place: ProbePlace<'_>) -> AgentFinding {
    let probed = prober.probe(profile, place).await;
    let range = profile.version.known.as_deref();
    let is_as_told = |version: &str| range.is_none_or(|range| profile::is_known(range, version));
    let is_sure = probed.version.as_deref().is_some_and(is_as_told) && !probed.drivers.is_empty();
    let grade = if is_sure { Grade::Fine } else { Grade::Worse };
    AgentFinding { name: profile.name.clone(), grade, probed }
}

/// The last look, for doors that many may ask at.
#[derive(Debug)]
pub(crate) struct Doctor {
    last: Mutex<Option<(Instant, Arc<Looked>)>>,
    prober: Prober,
    /// One looks at a time.
    looking: Semaphore,
}

impl Default for Doctor {
    fn default() -> Self {
        Doctor { last: Mutex::default(), prober: Prober::default(), looking: Semaphore::new(1) }
    }
}

impl Doctor {
    /// Gives what [`look`] found a moment ago, or finds now.
    pub(crate) async fn looked(&self, params: LookParams<'_>) -> Arc<Looked> {
        let _one_at_a_time = self.looking.acquire().await;
        let fresh = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, found)) = fresh.filter(|(at, _)| at.elapsed() < FRESH) {
            return found;
        }
        let found = Arc::new(look_with(&self.prober, params).await);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), found.clone()));
        found
    }
}

async fn program(env: &[(String, String)], name: &str, when_missing: Grade, advice: &str) -> Finding {
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
            Finding::new(name, Grade::Fine, detail)
        }
        Ok(_) => Finding::new(name, when_missing, format!("`{name} {flag}` failed")),
        Err(_) => Finding::new(name, when_missing, advice),
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
    Finding::new("disk", grade, detail)
}

fn time() -> Finding {
    let now = clock::now();
    let grade = if now.unix_ms() < CLOCK_MS_MIN { Grade::Bad } else { Grade::Fine };
    Finding::new("clock", grade, now.to_string())
}
