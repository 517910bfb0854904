//! A story: one process after the other lives on the same data folder until the scenario has ended.
//!
//! A process that halts is abandoned as it is: its store takes and answers nothing any more, and leaves its log as a
//! killed process leaves it. What it had in flight ends with it, and the next one finds the folder.

use super::end::End;
use super::fault::{Plan, Watched};
use crate::home::Home;
use adjutant_engine::faults::EffectKey;
use adjutant_engine::hosting::{Managed, SessionFilter};
use adjutant_engine::plane::StartError;
use adjutant_engine::{EngineError, Plane, RunFilter, Settings};
use adjutant_model::Value;
use adjutant_model::run::{ErrorClass, TurnKind, TurnStatus};
use adjutant_model::session::{Session, SessionPhase, SessionState};
use adjutant_sessions::process;
use futures_util::future::BoxFuture;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// A part of a life that takes longer hangs.
const LIFE_MAX: Duration = Duration::from_secs(120);

/// What a caller does with a plane.
pub trait Scenario: Send + Sync + 'static {
    /// Gives its name in reports.
    fn name(&self) -> &str;

    /// Lays out the data folder, before the first process.
    fn prepare(&self, home: &Home);

    /// Gives the settings of its planes.
    fn settings(&self, home: &Home) -> Settings {
        home.settings()
    }

    /// Does what is left to do and waits for its end.
    ///
    /// It is asked again after a refusal that may be tried again and in every further process, so it first looks what
    /// stands already.
    fn drive<'a>(&'a self, life: &'a Life<'a>) -> BoxFuture<'a, Result<(), EngineError>>;

    /// Gives what it leaves outside of the plane, which must be the same whatever happens.
    fn left<'a>(&'a self, _life: &'a Life<'a>) -> BoxFuture<'a, Value> {
        Box::pin(async { Value::Null })
    }

    /// Gives how many commits a process makes until it has done something: that it has started, that it has taken over
    /// what was open, and one of its own.
    fn commits_of_a_life(&self) -> u64 {
        3
    }

    /// Gives how many of its first commits another scenario tries already; none of them is refused, and no process dies
    /// at one.
    fn commits_tried_elsewhere(&self) -> u64 {
        0
    }

    /// Gives an end without what may be otherwise each time.
    fn seen(&self, end: &End) -> End {
        end.clone()
    }

    /// Gives the scenario with a retry on every step; `None` when it would end otherwise for it, as one where the
    /// order of the steps decides.
    fn retrying(&self) -> Option<Arc<dyn Scenario>>;
}

/// One process of a story.
#[derive(Debug)]
pub struct Life<'a> {
    /// Where it lives.
    pub home: &'a Home,
    /// Its plane; every open run has an owner.
    pub plane: Plane,
    /// How often an effect is to be asked for that the caller itself asks for.
    pub asks: usize,
}

impl Life<'_> {
    /// Ends what still lives of any session, and gives the sessions, the newest first, and how many processes that were.
    pub async fn sessions_left(&self) -> (Vec<Managed>, usize) {
        let sessions =
            self.plane.sessions_managed(SessionFilter::default()).await.expect("they are readable");
        let mut alive = 0;
        for managed in &sessions {
            let swept = process::sweep_prefix(&format!("session:{}/", managed.session.id)).await;
            alive += swept.killed + swept.alive;
        }
        (sessions, alive)
    }
}

/// A story that has ended.
pub(super) struct Told {
    /// How the scenario stands in the end.
    pub(super) end: End,
    /// How many faults there were.
    pub(super) struck: u64,
    /// How many commits the last process made until then.
    pub(super) commits: u64,
    /// How many effects the last process performed.
    pub(super) effects: u64,
}

/// Tells a story: what befalls the first process, the second, …; nothing befalls those that follow.
pub(super) async fn tell(scenario: &dyn Scenario, plans: Vec<Plan>) -> Told {
    let home = Home::new();
    scenario.prepare(&home);
    let mut struck = 0;
    for plan in plans.into_iter().chain(std::iter::repeat(Plan::Spared)) {
        let watched = Watched::new(plan);
        let end = live(scenario, &home, &watched).await;
        struck += watched.struck();
        if let Some((end, commits)) = end {
            let effects = watched.performed().len() as u64;
            return Told { end, struck, commits, effects };
        }
    }
    unreachable!("a spared process lives until the scenario has ended")
}

/// Lives one life; gives the end and the commits until then, and nothing when the process has halted before.
async fn live(scenario: &dyn Scenario, home: &Home, watched: &Arc<Watched>) -> Option<(End, u64)> {
    let mut settings = scenario.settings(home);
    settings.faults = watched.faults();
    let plane = in_time(scenario, watched, "opened", Plane::open(settings)).await.expect("the plane opens");
    plane.endpoint_set("http://127.0.0.1:9".to_owned());
    let settled = settled(&plane).await;
    let asks = if watched.twice() { 2 } else { 1 };
    let life = Life { home, plane: plane.clone(), asks };
    let driving = async {
        tokio::select! {
            biased;
            () = watched.halted.cancelled() => None,
            () = drive(scenario, &life, watched) => Some(watched.commits()),
        }
    };
    let driven = in_time(scenario, watched, "driven", driving).await;
    let ended = match driven {
        Some(commits) => {
            let left = in_time(scenario, watched, "looked at", scenario.left(&life)).await;
            Some((End { left, ..End::read(&plane).await }, commits))
        }
        None => None,
    };
    drop(life);
    let again = again(&plane, settled, &watched.performed()).await;
    in_time(scenario, watched, "stopped", plane.stop()).await;
    assert!(again.is_empty(), "`{}` performs again what had settled: {again:?}", scenario.name());
    verify(scenario, home);
    ended
}

/// Waits for a part of a life, and says which when it hangs.
async fn in_time<T>(
    scenario: &dyn Scenario,
    watched: &Watched,
    part: &str,
    work: impl Future<Output = T>,
) -> T {
    let done = tokio::time::timeout(LIFE_MAX, work).await;
    done.unwrap_or_else(|_| panic!("`{}` hangs as it is {part}: {watched:?}", scenario.name()))
}

/// Starts the plane and does the scenario's part, each as often as it is refused, as a caller does who is told to try
/// again.
async fn drive(scenario: &dyn Scenario, life: &Life<'_>, watched: &Watched) {
    while let Err(error) = life.plane.resume().await {
        let StartError::Resume(error) = error else { panic!("`{}`: {error:?}", scenario.name()) };
        refused(scenario, watched, &error).await;
    }
    while let Err(error) = scenario.drive(life).await {
        refused(scenario, watched, &error).await;
    }
}

/// Returns when what was refused may be asked for again.
async fn refused(scenario: &dyn Scenario, watched: &Watched, error: &EngineError) {
    if watched.halted.is_cancelled() {
        // This process is dead, and whoever tells the story sees it.
        return std::future::pending().await;
    }
    let again = matches!(error, EngineError::Write(_)) && error.class() == ErrorClass::Retry;
    assert!(again, "`{}`, {watched:?}: the plane lives and refuses: {error:?}", scenario.name());
}

/// Gives the effects whose outcome is durable and counts, each with its turn.
async fn settled(plane: &Plane) -> HashMap<EffectKey, u64> {
    let mut settled = HashMap::new();
    for run in plane.run_list(RunFilter::default()).await.expect("the runs are readable") {
        let turns = plane.turns(&run.id, None, 100_000).await.expect("the turns are readable");
        let steps = turns
            .into_iter()
            .filter(|turn| turn.kind == TurnKind::Step && turn.status != TurnStatus::Started)
            .filter(|turn| turn.superseded.is_none());
        settled.extend(steps.map(|turn| {
            let key = EffectKey::Step { run_id: run.id.clone(), path: turn.path, attempt: turn.attempt };
            (key, turn.index)
        }));
    }
    for managed in plane.sessions_managed(SessionFilter::default()).await.expect("the sessions are readable")
    {
        settled.extend(settled_of(&managed.session).map(|key| (key, 0)));
    }
    settled
}

/// Gives what has been done to a session for good.
fn settled_of(session: &Session) -> impl Iterator<Item = EffectKey> {
    let (session_id, launches) = (session.id, session.launches);
    let key = move |effect, launch| EffectKey::Session { session_id, effect, launch };
    let is_provided = session.has_workspace || session.state == SessionState::Decommissioned;
    let provided = is_provided.then(|| key("provision", 0));
    let is_launching = session.phase == SessionPhase::Launching;
    let launched = 1..=launches.saturating_sub(u32::from(is_launching));
    let told = (session.to_tell.is_none() && !is_launching && launches > 0).then(|| key("tell", launches));
    provided.into_iter().chain(launched.map(move |launch| key("launch", launch))).chain(told)
}

/// Gives the effects that were performed although they had settled, and that no rerun has taken back meanwhile.
async fn again(plane: &Plane, settled: HashMap<EffectKey, u64>, performed: &[EffectKey]) -> Vec<EffectKey> {
    let mut again = Vec::new();
    for key in performed {
        let Some(index) = settled.get(key) else { continue };
        let EffectKey::Step { run_id, .. } = key else {
            again.push(key.clone());
            continue;
        };
        let turns = plane.turns(run_id, index.checked_sub(1), 1).await.expect("the turns are readable");
        if turns.iter().all(|turn| turn.superseded.is_none()) {
            again.push(key.clone());
        }
    }
    again
}

fn verify(scenario: &dyn Scenario, home: &Home) {
    let report = home.journal_report();
    assert!(report.is_sound(), "the journal of `{}`: {report:?}", scenario.name());
}
