//! How a scenario stands in the end, without what differs from one straight run to the next: ids, instants, places,
//! and the order of what goes on side by side.

use adjutant_engine::enhance::IssueFilter;
use adjutant_engine::goals::GoalFilter;
use adjutant_engine::hosting::SessionFilter;
use adjutant_engine::{Plane, RunFilter};
use adjutant_model::Value;
use adjutant_model::event::{Event, JournalRow};
use adjutant_model::goal::{Evidence, Goal, GoalStatus, LinkState};
use adjutant_model::issue::{EnhanceOutcome, Issue, IssueState};
use adjutant_model::run::{
    FlowError, RunRecord, RunStatus, StepFailure, StepPath, TurnKind, TurnRecord, TurnStatus, WorkspaceKind,
};
use adjutant_model::session::{Desired, Session, SessionPhase, SessionState};
use adjutant_model::value::Object;

/// Everything that a scenario leaves.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    /// The runs, the oldest first.
    pub runs: Vec<RunEnd>,
    /// The goals, the oldest first.
    pub goals: Vec<GoalEnd>,
    /// The issues, the oldest first.
    pub issues: Vec<IssueEnd>,
    /// The managed sessions, the oldest first.
    pub sessions: Vec<SessionEnd>,
    /// What the scenario leaves outside of the plane.
    pub left: Value,
}

/// How a managed session stands; how often its agent was started differs where that died with the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionEnd {
    /// What people want of it.
    pub desired: Desired,
    /// Where it stands.
    pub state: SessionState,
    /// What is being done to it.
    pub phase: SessionPhase,
    /// Why it stands there.
    pub reason: Option<String>,
    /// How many turns its agent has ended.
    pub turns: u64,
    /// Whether its task was seen to arrive.
    pub is_delivered: bool,
    /// How many questions of its agent are open.
    pub questions: usize,
    /// Whether its workspace is there.
    pub has_workspace: bool,
    /// How its workspace was removed.
    pub removed: Vec<Removed>,
}

/// How an issue stands, and what became of its blueprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueEnd {
    /// Where it stands.
    pub state: IssueState,
    /// The versions of its blueprint, the newest first.
    pub versions: Vec<String>,
    /// How it was decided, the oldest first; there is at most one entry.
    pub decided: Vec<(EnhanceOutcome, Vec<String>)>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct RunEnd {
    /// Where it stands.
    pub status: RunStatus,
    /// Why it failed.
    pub error: Option<FlowError>,
    /// Its final context.
    pub result: Option<Value>,
    /// What its workspace is, until that is removed.
    pub workspace: Option<WorkspaceKind>,
    /// How its workspace was removed.
    pub removed: Vec<Removed>,
    /// Its steps, by path, rerun and attempt; tool calls are their agents' and may be made again by the next process.
    pub steps: Vec<StepEnd>,
}

/// What the journal says of a workspace that was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// A snapshot keeps what it held.
    BehindASnapshot,
    /// There was nothing to keep.
    WithNothingToKeep,
}

/// How an attempt of a step ended.
#[derive(Debug, Clone, PartialEq)]
pub struct StepEnd {
    /// The step.
    pub path: StepPath,
    /// Which attempt of it.
    pub attempt: u32,
    /// Its agent.
    pub agent: String,
    /// How it went.
    pub status: TurnStatus,
    /// What it got.
    pub parameters: Value,
    /// What it gave.
    pub output: Option<Value>,
    /// Why it failed.
    pub error: Option<StepFailure>,
    /// The epoch of the rerun that took it back, counted without those of daemons that took the run over.
    pub superseded: Option<usize>,
}

/// How a goal stands.
#[derive(Debug, Clone, PartialEq)]
pub struct GoalEnd {
    /// Where it stands.
    pub status: GoalStatus,
    /// How much of its links is proved, in percent.
    pub progress: u8,
    /// What proves each criterion.
    pub criteria: Vec<Option<Proof>>,
    /// What is linked, where it stands and what proves it.
    pub links: Vec<(String, LinkState, Option<Proof>)>,
}

/// What evidence says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Whether it speaks for what it is about.
    pub passed: bool,
    /// The git tree it is about.
    pub tree: Option<String>,
}

impl End {
    /// Reads what a plane holds, whose runs must all be over and whose turns must be whole.
    pub async fn read(plane: &Plane) -> End {
        let mut runs = Vec::new();
        for run in plane.run_list(RunFilter::default()).await.expect("the runs are readable") {
            let turns = plane.turns(&run.id, None, 100_000).await.expect("the turns are readable");
            let rows = plane.events_of(run.id.as_str(), 0, 100_000).await.expect("the journal is readable");
            runs.push(RunEnd::of(run, turns, &rows));
        }
        runs.reverse();
        let goals = plane.goal_list(GoalFilter::default()).await.expect("the goals are readable").goals;
        let filter = IssueFilter { limit: 1000, ..IssueFilter::default() };
        let mut issues = Vec::new();
        for issue in plane.issue_list(filter).await.expect("the issues are readable") {
            issues.push(IssueEnd::read(plane, issue).await);
        }
        issues.reverse();
        let mut sessions = Vec::new();
        for managed in plane.sessions_managed(SessionFilter::default()).await.expect("they are readable") {
            let id = managed.session.id.to_string();
            let rows = plane.events_of(&id, 0, 100_000).await.expect("the journal is readable");
            sessions.push(SessionEnd::of(managed.session, &rows));
        }
        sessions.reverse();
        End { runs, goals: goals.iter().map(GoalEnd::of).collect(), issues, sessions, left: Value::Null }
    }

    /// Leaves of each step its last attempt only, as the first one.
    pub fn in_the_last_attempts(&self) -> End {
        let mut end = self.clone();
        for run in &mut end.runs {
            let steps = std::mem::take(&mut run.steps);
            for step in steps {
                // They are in the order of their attempts.
                run.steps.retain(|other| (&other.path, other.superseded) != (&step.path, step.superseded));
                run.steps.push(StepEnd { attempt: 1, ..step });
            }
        }
        end
    }
}

impl RunEnd {
    #[track_caller]
    fn of(run: RunRecord, turns: Vec<TurnRecord>, rows: &[JournalRow]) -> RunEnd {
        assert!(run.status.is_terminal() && run.ended_at.is_some(), "the run is {}", run.status);
        for (index, turn) in (0..).zip(&turns) {
            assert_eq!(turn.index, index, "the turns have a gap or come twice: {turns:#?}");
            assert!(
                turn.ended_at.is_some() && turn.status != TurnStatus::Started,
                "a turn is open: {turn:#?}"
            );
        }
        let steps = turns.into_iter().filter(|turn| turn.kind == TurnKind::Step);
        let reruns: Vec<u64> = rows.iter().filter_map(rerun_epoch).collect();
        let mut steps: Vec<_> = steps.map(|turn| StepEnd::of(turn, &reruns)).collect();
        // Those that a rerun took back stand before those that count.
        let place = |step: &StepEnd| (step.path.clone(), step.superseded.unwrap_or(usize::MAX), step.attempt);
        steps.sort_by_key(place);
        let result = run.result.as_ref().map(steady);
        let workspace = run.workspace.map(|workspace| workspace.kind);
        let removed = rows.iter().filter_map(Removed::of).collect();
        RunEnd { status: run.status, error: run.error, result, workspace, removed, steps }
    }
}

impl Removed {
    fn of(row: &JournalRow) -> Option<Removed> {
        let Event::WorkspaceRemoved { snapshot_ref, .. } = &row.event else { return None };
        Some(snapshot_ref.as_ref().map_or(Removed::WithNothingToKeep, |_| Removed::BehindASnapshot))
    }
}

fn rerun_epoch(row: &JournalRow) -> Option<u64> {
    match &row.event {
        Event::RunRerun { epoch, .. } => Some(*epoch),
        _ => None,
    }
}

impl StepEnd {
    #[track_caller]
    fn of(turn: TurnRecord, reruns: &[u64]) -> StepEnd {
        let rerun = |epoch| reruns.iter().position(|rerun| *rerun == epoch).expect("a rerun took it back");
        StepEnd {
            superseded: turn.superseded.map(rerun),
            path: turn.path,
            attempt: turn.attempt,
            agent: turn.name,
            status: turn.status,
            parameters: steady(&turn.parameters),
            output: turn.output.as_ref().map(steady),
            error: turn.error,
        }
    }
}

impl SessionEnd {
    #[track_caller]
    fn of(session: Session, rows: &[JournalRow]) -> SessionEnd {
        assert!(session.handle.is_none() || session.phase == SessionPhase::Running, "{session:?}");
        SessionEnd {
            desired: session.desired,
            state: session.state,
            phase: session.phase,
            reason: session.reason,
            turns: session.turns,
            is_delivered: session.delivered_at.is_some(),
            questions: session.questions.len(),
            has_workspace: session.has_workspace,
            removed: rows.iter().filter_map(Removed::of).collect(),
        }
    }
}

impl IssueEnd {
    async fn read(plane: &Plane, issue: Issue) -> IssueEnd {
        let history = plane.blueprint_history(&issue.blueprint_id, None, 1000).await;
        let log = plane.enhance_log(None, 1000).await.expect("the log is readable");
        let of_it = log.into_iter().filter(|entry| entry.issue_id == issue.id);
        IssueEnd {
            state: issue.state,
            versions: history.expect("it is readable").into_iter().map(|entry| entry.version).collect(),
            decided: of_it.map(|entry| (entry.outcome, entry.reasons)).collect(),
        }
    }
}

impl GoalEnd {
    fn of(goal: &Goal) -> GoalEnd {
        let proof = |evidence: &Evidence| Proof { passed: evidence.passed, tree: evidence.tree.clone() };
        GoalEnd {
            status: goal.status,
            progress: goal.progress,
            criteria: goal
                .acceptance
                .iter()
                .map(|criterion| criterion.evidence.as_ref().map(proof))
                .collect(),
            links: goal
                .sessions
                .iter()
                .map(|link| (link.task.clone(), link.state, link.evidence.as_ref().map(proof)))
                .collect(),
        }
    }
}

/// Gives a value without the members that say how long something took, when it began, or which issue it is about.
pub fn steady(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let differing = ["duration_ms", "started_at_ms", "issue_id"];
            let members = object.iter().filter(|(key, _)| !differing.contains(&&***key));
            Value::Object(members.map(|(key, value)| (key.clone(), steady(value))).collect::<Object>())
        }
        Value::Array(_) => Value::array(value.as_array().into_iter().flatten().map(steady)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}
