//! What the journal records. Only these types are stored as they are serialised; their form is versioned.
//!
//! A row's `kind` column is the tag and its payload the rest. What may be forgotten (inputs, outputs) is not in
//! here: a payload names a turn, and the turn carries the content.

use crate::action::Role;
use crate::client_run::ApprovalStatus;
use crate::delegation::DelegationStatus;
use crate::goal::{Evidence, GoalStatus, LinkState};
use crate::id::{
    CallId, DelegationId, FactId, GoalId, HandoffId, OperatorId, OutputId, RunId, SessionId, TaskId,
};
use crate::issue::{EnhanceOutcome, IssueStatus};
use crate::policy::{Judgement, PolicyScope};
use crate::report::{FiledIssue, FilingState};
use crate::run::{ErrorClass, FlowError, RunStatus, StepPath, TurnStatus, WorkspaceRecord};
use crate::session::{ActivityReport, AgentExit, DriverKind, SessionState, WaitingFor};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The version of the payloads; a reader refuses a higher one.
pub const EVENT_FORMAT: u32 = 1;

/// A row of the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalRow {
    /// Its place in the whole journal, from 1.
    pub seq: i64,
    /// When it was written.
    pub at: Timestamp,
    /// Who caused it.
    pub actor: String,
    /// What it is about: a run's, goal's or issue's id, `blueprint:` and its id, or `plane`.
    pub subject: String,
    /// What happened.
    pub event: Event,
    /// SHA-256 over this row and the hash of the subject's previous one, as 64 hex digits.
    pub hash: String,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// The daemon has opened the store.
    DaemonStarted {
        /// Its version.
        version: String,
        /// Its process id.
        pid: u32,
    },
    /// The daemon has closed the store in good order.
    DaemonStopped {},
    /// A backup of the whole store was made.
    StoreBackedUp {
        /// The file.
        file: String,
        /// How large it is, in bytes.
        bytes: u64,
        /// One hash over the whole journal, as the backup has it.
        root: String,
    },
    /// This store has taken the place of another.
    StoreRestored {
        /// The restore.
        restore_id: String,
        /// The file that it came from.
        file: String,
        /// The folder, within the data folder, that has what was replaced.
        kept: String,
        /// How many tokens that it had as good are not so any more.
        tokens_ended: u64,
    },
    /// Another store was to take the place of this one, and did not.
    StoreRestoreFailed {
        /// The restore.
        restore_id: String,
        /// The file that it was to come from.
        file: String,
        /// Why.
        reason: String,
    },
    /// What was kept long enough has gone.
    RetentionApplied {
        /// What: `client_runs`, `tasks`, `contents` or `journal`.
        what: String,
        /// How many of them; of the journal the beginnings of so many subjects.
        count: u64,
    },
    /// Settings in `config.toml` are changed.
    ConfigChanged {
        /// Which.
        keys: Vec<String>,
    },
    /// A run was accepted.
    RunCreated {
        /// The task it executes.
        task_id: TaskId,
        /// The blueprint's own id.
        blueprint_id: String,
        /// The version it is pinned to.
        blueprint_hash: String,
        /// SHA-256 of the first context's JSON.
        input_hash: String,
        /// How long it may take.
        ttl_ms: u64,
        /// The goal it serves.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        goal_id: Option<GoalId>,
        /// The token that a model has shown which started it; nothing when no model did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by_model: Option<String>,
    },
    /// A run went from one state to another.
    RunStatusChanged {
        /// Where it was.
        from: RunStatus,
        /// Where it is.
        to: RunStatus,
        /// Why, when it is not plain.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// The error that ended it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<FlowError>,
        /// SHA-256 of the final context's JSON.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result_hash: Option<String>,
    },
    /// A run has a new owner.
    RunAdopted {
        /// The owner.
        owner: String,
        /// Its epoch.
        epoch: u64,
        /// How many turns were in flight and are performed again.
        in_flight: u64,
    },
    /// A run that was over goes on again from a step: how the step and whatever followed from it settled before this row
    /// does not count any more, and neither does what ended the run.
    RunRerun {
        /// The step: an agent's name, or a path with all below it.
        from: String,
        /// Who drives the run now.
        owner: String,
        /// Its epoch.
        epoch: u64,
        /// How many steps keep what they gave.
        replayed: u64,
        /// How many steps were taken back.
        dropped: u64,
    },
    /// A run was removed with its turns and its journal, whose checkpoint stays.
    RunDeleted {
        /// The run.
        run_id: RunId,
        /// Where it stood.
        status: RunStatus,
    },
    /// The blueprints that a run's flow can call, each as the one version that it means in this run.
    CallsPinned {
        /// Which call means which version.
        calls: Vec<CallPin>,
    },
    /// The directory that a run works in is there.
    WorkspaceReady(WorkspaceRecord),
    /// The directory that a run worked in was removed; its tree is kept under a ref.
    WorkspaceRemoved {
        /// Where it was.
        path: String,
        /// The snapshot, when there was something to keep.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        snapshot_ref: Option<String>,
        /// Ignored files and folders that no snapshot holds, the first hundred of them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left_out: Vec<String>,
    },
    /// The directory that a run or a session works in was kept under a ref.
    WorkspaceSnapshotted {
        /// The snapshot.
        snapshot_ref: String,
        /// How many ignored files and folders it does not hold.
        left_out: u64,
    },
    /// A snapshot was put back.
    WorkspaceRestored {
        /// The snapshot.
        snapshot_ref: String,
        /// Where to.
        path: String,
        /// What was there before, when that was kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before_ref: Option<String>,
    },
    /// What was done in a directory was merged into a branch.
    WorkspaceMerged {
        /// The branch.
        into: String,
        /// Where the branch is now.
        commit: String,
        /// The checks that passed on it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        checks: Vec<String>,
    },
    /// What a build makes again was removed from a directory that nobody works in any more.
    WorkspaceCleared {
        /// Where the directory is.
        path: String,
        /// The folders that were removed, as paths in it.
        artefacts: Vec<String>,
    },
    /// New work was refused because the workspaces take more room than they may.
    WorkspacesFull {
        /// How many bytes they take.
        bytes: u64,
        /// How many they may.
        bytes_max: u64,
    },
    /// The machine of a run took events and asked for effects, in this order.
    RunAdvanced {
        /// What it took.
        inputs: Vec<FlowInput>,
        /// The turns it started.
        started: Vec<TurnStarted>,
        /// The timers it set.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        timers: Vec<TimerSet>,
    },
    /// A policy of a file is in force in a run.
    PolicyBound {
        /// Whose it is: a project's, or an agent's.
        scope: PolicyScope,
        /// The agent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<String>,
        /// Where it was read.
        path: String,
        /// What was read.
        text: String,
    },
    /// The gate judged a tool call of an agent, or a step that a rule was about.
    ToolJudged {
        /// The turn it is recorded as.
        turn: u64,
        /// The step, or the step the agent works on.
        path: StepPath,
        /// The tool; of a step `step:` and its agent's name.
        tool: String,
        /// What the gate said.
        judgement: Judgement,
    },
    /// A tool call that was allowed has ended.
    ToolSettled {
        /// The turn it is recorded as.
        turn: u64,
        /// How it ended.
        status: TurnStatus,
        /// SHA-256 of the output's JSON.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output_hash: Option<String>,
    },
    /// An agent said, thought or did something worth showing.
    AgentProgress {
        /// The turn it works on.
        turn: u64,
        /// The step it works on.
        path: StepPath,
        /// `said`, `thought`, `tool` or `note`.
        what: String,
        /// The words, cut to 2 KiB.
        text: String,
    },
    /// An operator has joined.
    OperatorJoined {
        /// What it says of itself.
        desc: String,
        /// Other names that it may be called by.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        roles: Vec<String>,
    },
    /// An operator is known no more.
    OperatorLeft {
        /// Why.
        reason: String,
    },
    /// Seats of a run have a holder.
    SeatsTaken {
        /// The slots.
        slots: Vec<String>,
        /// Who holds them.
        op: OperatorId,
        /// Why, in the words of whoever assigned them.
        desc: String,
        /// Their generation.
        generation: u64,
        /// Who held the first of them before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        previous: Option<OperatorId>,
    },
    /// An operator has answered about a step.
    OperatorAnswered {
        /// The step.
        path: StepPath,
        /// Which attempt of it.
        attempt: u32,
        /// What it was asked: `hook_before`, `spawn`, `ask`.
        request: String,
        /// Who answered.
        op: OperatorId,
        /// SHA-256 of the answer's JSON.
        hash: String,
    },
    /// A worker has delivered something for its step.
    WorkerDelivered {
        /// The step.
        path: StepPath,
        /// Which attempt of it.
        attempt: u32,
        /// What: `final`, `part:<name>`, `stats`, `degradation:<number>`.
        stage: String,
        /// SHA-256 of its JSON.
        hash: String,
    },
    /// A client started a run.
    ClientRunStarted {
        /// The agent it is recorded under.
        agent_id: String,
        /// What it is for.
        intent: String,
        /// The token that started it.
        token_id: String,
    },
    /// A client's run has a new epoch: it was resumed, or a new daemon has found it.
    ClientRunAdopted {
        /// The daemon that owns it.
        owner: String,
        /// Its epoch.
        epoch: u64,
    },
    /// The connection of a client's run is gone; its lease runs until then.
    ClientRunInterrupted {
        /// When it will be `incomplete` unless it is resumed.
        until: Timestamp,
    },
    /// A rule was added to a client's run.
    ClientPolicyBound {
        /// The rule's name.
        name: String,
    },
    /// Turns of a client's run were started or have settled.
    ClientRunAdvanced {
        /// The turns it started.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        started: Vec<ClientTurnNote>,
        /// The turns that have settled.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        settled: Vec<ClientTurnNote>,
    },
    /// A client's run has taken all that it may of something; nothing more of it is done.
    ClientRunLimitReached {
        /// Which limit.
        reason: String,
    },
    /// A client's run is over.
    ClientRunEnded {
        /// How.
        status: RunStatus,
        /// How many turns it has.
        turns: u64,
        /// Why, when the client did not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// An action of a connection without a run was judged, and ended.
    ActionSettled {
        /// What was done, and how it ended.
        action: ClientTurnNote,
    },
    /// The gate asks a person.
    ApprovalRaised {
        /// The approval.
        approval_id: String,
        /// The tool.
        tool: String,
        /// The same for the same effect.
        fingerprint: String,
        /// When it is denied unless it is answered.
        deadline: Timestamp,
    },
    /// An approval was answered, or nobody did in time.
    ApprovalResolved {
        /// The approval.
        approval_id: String,
        /// How.
        status: ApprovalStatus,
        /// Who.
        by: String,
    },
    /// A blueprint has a new version.
    BlueprintWritten {
        /// SHA-256 of the document's canonical JSON.
        version: String,
        /// Its place among the versions of the blueprint, from 1.
        number: u64,
        /// The version that it was based on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<String>,
        /// The semantic version that people give it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        label: Option<String>,
    },
    /// A blueprint was archived: it is kept, and neither runs nor changes.
    BlueprintArchived {},
    /// A blueprint that was archived runs and changes again.
    BlueprintUnarchived {},
    /// An outside client has a session.
    SessionAttached {
        /// What its bearer is called.
        agent_id: String,
        /// What it may do.
        role: Role,
        /// When it ends.
        expires_at: Timestamp,
    },
    /// A session was ended before its time.
    SessionDetached {},
    /// An agent that nobody hosts here was heard of.
    SessionDiscovered {
        /// Which agent it is.
        agent: String,
        /// The agent's own id of its session.
        agent_session: String,
        /// Where it works.
        cwd: Option<String>,
    },
    /// An agent that nobody hosts here is known no more.
    SessionForgotten {
        /// Why.
        reason: String,
    },
    /// A managed session was asked for; its task stands in its row.
    SessionCreated {
        /// Its name.
        name: String,
        /// The profile of its agent.
        agent: String,
        /// How it is hosted.
        driver: DriverKind,
        /// The session that starts it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<SessionId>,
        /// The goal that it serves.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        goal_id: Option<GoalId>,
        /// SHA-256 of its task.
        task_hash: String,
    },
    /// The agent of a session was started.
    SessionLaunched {
        /// Which start it is, from 1.
        launch: u32,
        /// Whether it goes on with its own session.
        resumed: bool,
    },
    /// The agent of a session is not there any more.
    SessionExited {
        /// Which start it was.
        launch: u32,
        /// How it ended.
        exit: AgentExit,
    },
    /// A session went from one state to another.
    SessionStateChanged {
        /// Where it was.
        from: SessionState,
        /// Where it is.
        to: SessionState,
        /// Why, when it is not plain.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The agent of a session does something else.
    SessionActivityChanged(ActivityReport),
    /// A session's workspace was kept under a ref.
    SessionSnapshot {
        /// The ref.
        refname: String,
    },
    /// Somebody told a session's agent something; what it was stands nowhere.
    SessionTold {
        /// How many bytes.
        bytes: u64,
    },
    /// A session's agent has taken up what it was to begin with.
    SessionTaskArrived {},
    /// A session's agent asks something; the words stand in the session's row.
    SessionAsked {
        /// By what it is answered.
        ask_id: String,
        /// What it is.
        what: WaitingFor,
        /// The tool that it is about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tool: Option<String>,
    },
    /// What a session's agent asked is settled, by whomever.
    SessionAskSettled {
        /// By what it was asked.
        ask_id: String,
    },
    /// A session gives work to another one; what it is stands in the delegation's row.
    DelegationQueued {
        /// The delegation.
        delegation_id: DelegationId,
        /// The session that is to do it.
        child: SessionId,
        /// The agent, by the name that was asked for.
        agent: String,
        /// SHA-256 of the task.
        task_hash: String,
        /// The approval that it waits for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        approval_id: Option<String>,
    },
    /// A delegation stands elsewhere than before.
    DelegationChanged {
        /// The delegation.
        delegation_id: DelegationId,
        /// The session that does it.
        child: SessionId,
        /// Where it stood.
        from: DelegationStatus,
        /// Where it stands.
        to: DelegationStatus,
        /// Why, when that is not plain.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The agent of a session is told how a delegation of it has ended.
    DelegationTold {
        /// The delegation.
        delegation_id: DelegationId,
    },
    /// Something is remembered; what it is stands in the fact's row and may be forgotten.
    FactRemembered {
        /// For whom it holds: `plane`, `project`, `agent` or `goal`.
        scope: String,
        /// SHA-256 of its text.
        text_hash: String,
        /// The fact whose place it takes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        supersedes: Option<FactId>,
    },
    /// A fact is forgotten: its text stands nowhere any more.
    FactForgotten {
        /// SHA-256 of its text.
        text_hash: String,
    },
    /// The agent of a session was told what is remembered.
    MemoryRecalled {
        /// SHA-256 of what it asked for.
        query_hash: String,
        /// What it was told, the best first.
        facts: Vec<FactId>,
    },
    /// The work of a session is handed over to another agent; the brief stands in the handoff's row.
    HandoffBegun {
        /// The handoff.
        handoff_id: HandoffId,
        /// The session that goes on with it.
        successor: SessionId,
        /// The agent.
        agent: String,
        /// SHA-256 of the brief.
        brief_hash: String,
    },
    /// A handoff is over: the other agent's session is there, or it cannot be made.
    HandoffEnded {
        /// The handoff.
        handoff_id: HandoffId,
        /// The session that goes on with it.
        successor: SessionId,
        /// Why it cannot be made.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// A token was taken back before its time.
    TokenRevoked {},
    /// An agent has called a hook; what it told stands elsewhere and may be forgotten.
    HookReceived {
        /// The event's name, as it came.
        event: String,
        /// The tool that it is about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tool: Option<String>,
        /// How large the payload was, in bytes.
        bytes: u64,
    },
    /// The gate had something to say about a tool that an agent wants to use.
    HookJudged {
        /// The event that asked.
        event: String,
        /// The tool.
        tool: String,
        /// What it said.
        judgement: Judgement,
    },
    /// The gate had something to say about a check that no run makes.
    CheckJudged {
        /// What it said.
        judgement: Judgement,
    },
    /// An agent's breaker stands elsewhere than before.
    BreakerChanged {
        /// Where it stood: `closed`, `open` or `half_open`.
        from: String,
        /// Where it stands.
        to: String,
        /// How often the agent has failed in a row.
        failures: u32,
    },
    /// A session says that its context is fuller, or less full, than it said before.
    ContextPressureChanged {
        /// How it was: `ok`, `warn`, `alert` or `compact`.
        from: String,
        /// How it is.
        to: String,
        /// Tokens that the context holds.
        used_tokens: u64,
        /// Tokens that it can hold.
        window_tokens: u64,
    },
    /// Something was put on the data path.
    OutputStored {
        /// What.
        output_id: OutputId,
        /// What it is called.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The step that made it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path: Option<StepPath>,
        /// SHA-256 of its bytes.
        sha256: String,
        /// How many bytes it has.
        size_bytes: u64,
    },
    /// Outputs that nothing needs any more were removed.
    OutputsCollected {
        /// How many.
        outputs: u64,
    },
    /// A goal was made.
    GoalCreated {
        /// The intent.
        description: String,
        /// How many criteria it has.
        criteria: u64,
    },
    /// Work was linked to a goal.
    GoalLinked {
        /// A session's or run's id.
        session_id: String,
    },
    /// A link of a goal changed.
    GoalLinkChanged {
        /// A session's or run's id.
        session_id: String,
        /// Where it stands.
        state: LinkState,
    },
    /// A criterion of a goal has new evidence.
    GoalEvidence {
        /// Which criterion, from 0.
        criterion: u64,
        /// The evidence.
        evidence: Evidence,
    },
    /// A goal's description, dependencies, budget, deadline or schedule changed.
    GoalChanged {
        /// Which of them.
        what: Vec<String>,
    },
    /// A call that runs the checks of a goal has begun; whoever made it asks for its end.
    CallBegun {
        /// The call.
        call_id: CallId,
    },
    /// A call that runs the checks of a goal is over.
    CallEnded {
        /// The call.
        call_id: CallId,
        /// How: `answered`, `cancelled` or `lost`.
        outcome: String,
    },
    /// Somebody left a note on a goal.
    GoalNoted {
        /// The note.
        note: String,
    },
    /// A goal went from one state to another.
    GoalStatusChanged {
        /// Where it was.
        from: GoalStatus,
        /// Where it is.
        to: GoalStatus,
        /// Why, when it is not plain.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Somebody wants a blueprint changed.
    IssueOpened {
        /// The blueprint.
        blueprint_id: String,
        /// SHA-256 of what is wanted.
        intent_hash: String,
    },
    /// An issue waits for something besides its turn, or does not any more.
    IssueWaits {
        /// For what.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        waits_for: Option<String>,
    },
    /// An issue went from one state to another.
    IssueStatusChanged {
        /// Where it was.
        from: IssueStatus,
        /// Where it is.
        to: IssueStatus,
        /// The run of the epoch that began or ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run_id: Option<RunId>,
        /// The version that the blueprint has got.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        new_version: Option<String>,
        /// Why, when it is not plain.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// An issue was decided; the entry stands in the log of decisions.
    IssueDecided {
        /// How.
        outcome: EnhanceOutcome,
        /// The version that the change was based on.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        prev_hash: String,
        /// SHA-256 of the entry's JSON.
        entry_hash: String,
    },
    /// The report of an error went a step further.
    ErrorReport {
        /// The preview that was agreed to.
        preview: String,
        /// How far the report has got.
        state: FilingState,
        /// The issue, once it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        issue: Option<FiledIssue>,
    },
    /// The setting that issues are handled by was made or changed.
    EnhanceSettingPut {
        /// Its id.
        setting_id: String,
        /// SHA-256 of its JSON.
        hash: String,
    },
    /// A setting of the enhance loop was removed.
    EnhanceSettingRemoved {
        /// Its id.
        setting_id: String,
    },
}

impl Event {
    /// Gives the tag that the `kind` column carries.
    pub fn kind(&self) -> &'static str {
        match self {
            Event::DaemonStarted { .. } => "daemon_started",
            Event::DaemonStopped { .. } => "daemon_stopped",
            Event::StoreBackedUp { .. } => "store_backed_up",
            Event::StoreRestored { .. } => "store_restored",
            Event::StoreRestoreFailed { .. } => "store_restore_failed",
            Event::RetentionApplied { .. } => "retention_applied",
            Event::ConfigChanged { .. } => "config_changed",
            Event::RunCreated { .. } => "run_created",
            Event::RunStatusChanged { .. } => "run_status_changed",
            Event::RunAdopted { .. } => "run_adopted",
            Event::RunRerun { .. } => "run_rerun",
            Event::RunDeleted { .. } => "run_deleted",
            Event::CallsPinned { .. } => "calls_pinned",
            Event::WorkspaceReady(_) => "workspace_ready",
            Event::WorkspaceRemoved { .. } => "workspace_removed",
            Event::WorkspaceSnapshotted { .. } => "workspace_snapshotted",
            Event::WorkspaceRestored { .. } => "workspace_restored",
            Event::WorkspaceMerged { .. } => "workspace_merged",
            Event::WorkspaceCleared { .. } => "workspace_cleared",
            Event::WorkspacesFull { .. } => "workspaces_full",
            Event::RunAdvanced { .. } => "run_advanced",
            Event::PolicyBound { .. } => "policy_bound",
            Event::ToolJudged { .. } => "tool_judged",
            Event::ToolSettled { .. } => "tool_settled",
            Event::AgentProgress { .. } => "agent_progress",
            Event::OperatorJoined { .. } => "operator_joined",
            Event::OperatorLeft { .. } => "operator_left",
            Event::SeatsTaken { .. } => "seats_taken",
            Event::OperatorAnswered { .. } => "operator_answered",
            Event::WorkerDelivered { .. } => "worker_delivered",
            Event::ClientRunStarted { .. } => "client_run_started",
            Event::ClientRunAdopted { .. } => "client_run_adopted",
            Event::ClientRunInterrupted { .. } => "client_run_interrupted",
            Event::ClientPolicyBound { .. } => "client_policy_bound",
            Event::ClientRunAdvanced { .. } => "client_run_advanced",
            Event::ClientRunLimitReached { .. } => "client_run_limit_reached",
            Event::ClientRunEnded { .. } => "client_run_ended",
            Event::ActionSettled { .. } => "action_settled",
            Event::ApprovalRaised { .. } => "approval_raised",
            Event::ApprovalResolved { .. } => "approval_resolved",
            Event::BlueprintWritten { .. } => "blueprint_written",
            Event::BlueprintArchived { .. } => "blueprint_archived",
            Event::BlueprintUnarchived { .. } => "blueprint_unarchived",
            Event::SessionAttached { .. } => "session_attached",
            Event::SessionDetached {} => "session_detached",
            Event::SessionDiscovered { .. } => "session_discovered",
            Event::SessionForgotten { .. } => "session_forgotten",
            Event::SessionCreated { .. } => "session_created",
            Event::SessionLaunched { .. } => "session_launched",
            Event::SessionExited { .. } => "session_exited",
            Event::SessionStateChanged { .. } => "session_state_changed",
            Event::SessionActivityChanged(_) => "session_activity_changed",
            Event::SessionSnapshot { .. } => "session_snapshot",
            Event::SessionTold { .. } => "session_told",
            Event::SessionTaskArrived {} => "session_task_arrived",
            Event::SessionAsked { .. } => "session_asked",
            Event::SessionAskSettled { .. } => "session_ask_settled",
            Event::DelegationQueued { .. } => "delegation_queued",
            Event::DelegationChanged { .. } => "delegation_changed",
            Event::DelegationTold { .. } => "delegation_told",
            Event::FactRemembered { .. } => "fact_remembered",
            Event::FactForgotten { .. } => "fact_forgotten",
            Event::MemoryRecalled { .. } => "memory_recalled",
            Event::HandoffBegun { .. } => "handoff_begun",
            Event::HandoffEnded { .. } => "handoff_ended",
            Event::TokenRevoked {} => "token_revoked",
            Event::HookReceived { .. } => "hook_received",
            Event::HookJudged { .. } => "hook_judged",
            Event::CheckJudged { .. } => "check_judged",
            Event::BreakerChanged { .. } => "breaker_changed",
            Event::ContextPressureChanged { .. } => "context_pressure_changed",
            Event::OutputStored { .. } => "output_stored",
            Event::OutputsCollected { .. } => "outputs_collected",
            Event::GoalCreated { .. } => "goal_created",
            Event::GoalLinked { .. } => "goal_linked",
            Event::GoalLinkChanged { .. } => "goal_link_changed",
            Event::GoalEvidence { .. } => "goal_evidence",
            Event::GoalChanged { .. } => "goal_changed",
            Event::CallBegun { .. } => "call_begun",
            Event::CallEnded { .. } => "call_ended",
            Event::GoalNoted { .. } => "goal_noted",
            Event::GoalStatusChanged { .. } => "goal_status_changed",
            Event::IssueOpened { .. } => "issue_opened",
            Event::IssueWaits { .. } => "issue_waits",
            Event::IssueStatusChanged { .. } => "issue_status_changed",
            Event::IssueDecided { .. } => "issue_decided",
            Event::ErrorReport { .. } => "error_report",
            Event::EnhanceSettingPut { .. } => "enhance_setting_put",
            Event::EnhanceSettingRemoved { .. } => "enhance_setting_removed",
        }
    }
}

/// What a call means in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallPin {
    /// The id that the call names.
    pub blueprint: String,
    /// Which version it asks for: `latest`, `fixed HASH` or `semver_req REQUIREMENT`.
    pub version: String,
    /// The version that this was when the run was accepted.
    pub hash: String,
}

/// What the journal says of an action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientTurnNote {
    /// The turn it is recorded as, when it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<u64>,
    /// The tool, or what else it does.
    pub tool: String,
    /// The proposal's label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal_id: Option<String>,
    /// The action's label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_id: Option<String>,
    /// Where it stands.
    pub status: TurnStatus,
    /// SHA-256 of the turn's JSON as it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What the gate said, when a rule was about it; it stands once, where the action is told of first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judgement: Option<Box<Judgement>>,
}

/// What a run's machine took, in order; folding these again gives the same state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FlowInput {
    /// The run began with its first context.
    Begun,
    /// A step settled; its turn carries the output.
    Settled {
        /// The turn.
        turn: u64,
        /// The step.
        path: StepPath,
        /// Which attempt of it.
        attempt: u32,
        /// How it ended.
        status: TurnStatus,
        /// The class of its error.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        class: Option<ErrorClass>,
        /// SHA-256 of the output's JSON.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output_hash: Option<String>,
    },
    /// A timer went off.
    TimerFired {
        /// The step or wait it belongs to.
        path: StepPath,
        /// Which attempt it precedes.
        attempt: u32,
    },
    /// The machine went on after it had yielded.
    Resumed,
    /// Somebody asked the run to stop.
    CancelRequested {
        /// Who and why.
        reason: String,
    },
    /// The time to live is over.
    TtlExpired,
}

/// A turn that was written before its effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TurnStarted {
    /// The turn.
    pub turn: u64,
    /// The step.
    pub path: StepPath,
    /// Which attempt of it.
    pub attempt: u32,
    /// The agent's name.
    #[serde(rename = "ref")]
    pub agent: String,
}

/// A timer that must go off even after a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimerSet {
    /// The step or wait it belongs to.
    pub path: StepPath,
    /// Which attempt it precedes.
    pub attempt: u32,
    /// When it goes off.
    pub due_at: Timestamp,
}
