//! Sessions: a participant's presence. A managed session is an agent program that Adjutant hosts in a workspace.
//!
//! What a session is *wanted* to be, where it *stands* and what the agent *does* are three things: [`Desired`],
//! [`SessionState`] with its [`SessionPhase`], and [`ActivityReport`].

use crate::id::{GoalId, RunId, SessionId, TokenId};
use crate::time::Timestamp;
use crate::value::Value;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a managed session stands, as it is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// Its workspace is being made, or its agent is being started for the first time.
    Provisioning,
    /// Its agent is there, or is about to be started again by itself.
    Active,
    /// Its agent is not there; its workspace is.
    Stopped,
    /// It could not be made or started; a person has to look.
    Errored,
    /// It is over, and its workspace is gone behind a snapshot.
    Decommissioned,
}

impl SessionState {
    /// All states.
    pub const ALL: [SessionState; 5] = [
        SessionState::Provisioning,
        SessionState::Active,
        SessionState::Stopped,
        SessionState::Errored,
        SessionState::Decommissioned,
    ];

    /// Gives the name on the wire and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            SessionState::Provisioning => "provisioning",
            SessionState::Active => "active",
            SessionState::Stopped => "stopped",
            SessionState::Errored => "errored",
            SessionState::Decommissioned => "decommissioned",
        }
    }

    /// Reads a state's name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

impl fmt::Display for SessionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What people want of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Desired {
    /// Its agent should be there.
    Running,
    /// Its agent should not be there; nothing starts it again by itself.
    Stopped,
    /// It should be over and its workspace gone.
    Decommissioned,
}

/// What is being done to a session; after a crash the same is done again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionPhase {
    /// Its workspace is being made.
    Provisioning,
    /// Its agent is being started.
    Launching,
    /// Its agent is there.
    Running,
    /// Its agent is being ended, with all its descendants.
    Ending,
    /// Its workspace is being removed behind a snapshot.
    Removing,
    /// Nothing is done until `parked_until`, or until a person resumes it when that is not set.
    Parked,
    /// Nothing is done.
    Resting,
}

/// How a managed session is hosted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriverKind {
    /// A terminal of a tmux server of Adjutant's own, which outlives the daemon and to which anyone can attach.
    Tmux,
    /// A terminal that the daemon holds.
    Pty,
    /// The Agent Client Protocol over standard input and output.
    Acp,
    /// Print mode with streamed JSON.
    Headless,
}

impl DriverKind {
    /// All drivers.
    pub const ALL: [DriverKind; 4] =
        [DriverKind::Tmux, DriverKind::Pty, DriverKind::Acp, DriverKind::Headless];

    /// Gives the name on the wire, in profiles and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            DriverKind::Tmux => "tmux",
            DriverKind::Pty => "pty",
            DriverKind::Acp => "acp",
            DriverKind::Headless => "headless",
        }
    }

    /// Reads a driver's name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// By what a hosted agent is found again; it is durable before anything of the agent is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostHandle {
    /// How it is hosted.
    pub driver: DriverKind,
    /// Which start of the session's agent this is, from 1.
    pub launch: u32,
    /// The terminal's name in the tmux server, for `tmux`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<String>,
    /// The agent's process.
    pub pid: u32,
    /// When that process started, in the kernel's ticks since boot, so that it is not taken for a later one.
    pub started_ticks: u64,
}

/// What an agent does, as far as signals tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activity {
    /// It works on what it was told.
    Working,
    /// It waits for a person, or for its quota.
    Waiting(WaitingFor),
    /// It waits for its next prompt.
    Idle,
    /// Nothing has told yet, or nothing can.
    Unknown,
}

impl Activity {
    /// Gives the name on the wire; what it waits for stands beside it.
    pub fn as_str(self) -> &'static str {
        match self {
            Activity::Working => "working",
            Activity::Waiting(_) => "waiting",
            Activity::Idle => "idle",
            Activity::Unknown => "unknown",
        }
    }

    /// Gives what it waits for.
    pub fn waiting_for(self) -> Option<WaitingFor> {
        match self {
            Activity::Waiting(what) => Some(what),
            Activity::Working | Activity::Idle | Activity::Unknown => None,
        }
    }
}

/// What an agent waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitingFor {
    /// Somebody has to allow a tool.
    Permission,
    /// Somebody has to answer a question.
    Question,
    /// Its quota is spent until some time.
    Quota,
}

impl WaitingFor {
    /// Gives the name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            WaitingFor::Permission => "permission",
            WaitingFor::Question => "question",
            WaitingFor::Quota => "quota",
        }
    }
}

/// Where a signal came from; a later variant is trusted more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalSource {
    /// Nothing has told anything.
    Nothing,
    /// Whether the terminal changes; never what it shows.
    Terminal,
    /// A hook that the agent called.
    Hook,
    /// A message of the agent's protocol.
    Protocol,
    /// The process itself, or what a person did to it.
    Process,
}

impl SignalSource {
    /// Gives the name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            SignalSource::Nothing => "nothing",
            SignalSource::Terminal => "terminal",
            SignalSource::Hook => "hook",
            SignalSource::Protocol => "protocol",
            SignalSource::Process => "process",
        }
    }
}

/// What an agent does, since when, and how that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivityReport {
    /// What it does.
    pub activity: Activity,
    /// Since when.
    pub since: Timestamp,
    /// Which kind of signal said so.
    pub source: SignalSource,
    /// Which signal, for example `Stop` or `no output for 5 s`.
    pub evidence: String,
}

impl ActivityReport {
    /// Says that nothing has told yet.
    pub fn unknown(now: Timestamp, evidence: impl Into<String>) -> Self {
        ActivityReport {
            activity: Activity::Unknown,
            since: now,
            source: SignalSource::Nothing,
            evidence: evidence.into(),
        }
    }
}

/// Something that became known of an agent, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// How it is known.
    pub source: SignalSource,
    /// What told, in a word: the hook's name, the message's type.
    pub evidence: String,
    /// What it is.
    pub what: AgentSignal,
    /// When it happened, when that was not just now.
    pub at: Option<Timestamp>,
}

impl Signal {
    /// Makes a signal of something that happened just now.
    pub fn new(source: SignalSource, evidence: impl Into<String>, what: AgentSignal) -> Self {
        Signal { source, evidence: evidence.into(), what, at: None }
    }

    /// Says that it happened earlier.
    #[must_use]
    pub fn at(self, at: Timestamp) -> Self {
        Signal { at: Some(at), ..self }
    }
}

/// What can become known of an agent, whatever its vendor and driver.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentSignal {
    /// Its own session has begun or goes on.
    Began {
        /// Its own id of the session, for resuming.
        agent_session: Option<String>,
        /// The model that it uses.
        model: Option<String>,
        /// Where it keeps its transcript.
        transcript: Option<String>,
    },
    /// A prompt has arrived; the end of its delivery.
    PromptTaken,
    /// It works: on a turn, or within one.
    Working,
    /// It has begun a tool call.
    ToolBegan {
        /// The tool.
        tool: String,
        /// The agent's own id of the call.
        call_id: Option<String>,
    },
    /// A tool call has ended.
    ToolEnded {
        /// The tool.
        tool: String,
        /// The agent's own id of the call.
        call_id: Option<String>,
        /// Whether it did what it should.
        ok: bool,
    },
    /// It asks a person something and waits.
    Asked(AgentQuestion),
    /// It wants Adjutant to do something for it, under the question's id, and waits for that: the gate says whether, and
    /// a person is asked only where a rule asks.
    Wants(AgentQuestion),
    /// What it asked is settled, whoever did it.
    AskSettled {
        /// The question's id; all of them when it is not known.
        ask_id: Option<String>,
    },
    /// A subagent of it has begun.
    SubagentBegan {
        /// Its name.
        name: String,
    },
    /// A subagent of it has ended.
    SubagentEnded {
        /// Its name.
        name: String,
        /// Whether it did what it should.
        ok: bool,
    },
    /// Its turn is over; it waits for its next prompt.
    TurnEnded {
        /// What it said last.
        text: Option<String>,
        /// What went wrong.
        error: Option<String>,
    },
    /// Its quota is spent.
    QuotaSpent {
        /// When there is more, when that was said.
        until: Option<Timestamp>,
        /// What was said.
        text: String,
    },
    /// What it used, counted from its start.
    Used(SessionUsage),
    /// What it used since it told last.
    UsedMore(SessionUsage),
    /// Its terminal changes again.
    Output,
    /// Its terminal has not changed for some time, in milliseconds.
    Quiet {
        /// For how long, in milliseconds.
        quiet_ms: u64,
    },
    /// Its program has ended.
    Exited(AgentExit),
}

/// How an agent's program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentExit {
    /// With an exit code.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// It is gone and nobody knows how: the machine or its terminal server went down.
    Vanished,
    /// With the daemon that held it: its terminal, its connection or its print mode does not outlive that.
    WithDaemon,
}

impl fmt::Display for AgentExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AgentExit::Code(code) => write!(f, "exit code {code}"),
            AgentExit::Signal(signal) => write!(f, "signal {signal}"),
            AgentExit::Vanished => f.write_str("it is gone"),
            AgentExit::WithDaemon => f.write_str("it ended with the daemon that held it"),
        }
    }
}

/// What an agent asks a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentQuestion {
    /// By what it is answered; unique in its session.
    pub ask_id: String,
    /// Whether it is about a tool or a question.
    pub what: WaitingFor,
    /// What is asked, in words.
    pub text: String,
    /// The tool that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// What the tool is to be called with, for the gate; it is not kept.
    #[serde(skip)]
    pub input: Option<Value>,
    /// The answers that there are; a free text when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<AskOption>,
    /// The subagent that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subagent: Option<String>,
    /// When it was asked.
    pub asked_at: Timestamp,
}

/// One answer to a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskOption {
    /// Its id for the agent.
    pub id: String,
    /// Its words.
    pub name: String,
    /// What choosing it means.
    pub kind: AskOptionKind,
}

/// What choosing an option means; options are chosen by this and never by their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskOptionKind {
    /// This once.
    AllowOnce,
    /// From now on.
    AllowAlways,
    /// Not this once.
    RejectOnce,
    /// Never.
    RejectAlways,
    /// It is an answer to a question.
    Answer,
}

/// What a person or the gate answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskAnswer {
    /// The tool may be used, this once.
    Allow,
    /// It may not; the agent is told why.
    Deny {
        /// Why.
        reason: String,
    },
    /// An answer in words, or an option's id.
    Text(String),
}

/// What an agent is told by its terminal when it has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FirstPrompt {
    /// Its task.
    Task,
    /// That it was interrupted and should go on.
    GoOn,
}

/// What a session used, as far as its agent says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SessionUsage {
    /// Tokens that the model read, without those from its cache.
    #[serde(default)]
    pub input_tokens: u64,
    /// Tokens that the model wrote.
    #[serde(default)]
    pub output_tokens: u64,
    /// Tokens that were read from the model's cache.
    #[serde(default)]
    pub cache_read_tokens: u64,
    /// Tokens that were put into it.
    #[serde(default)]
    pub cache_write_tokens: u64,
    /// US dollars; `None` when nobody says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// How many tokens the context holds now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_used: Option<u64>,
    /// How many it can hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_window: Option<u64>,
}

impl SessionUsage {
    /// Gives the tokens that count against a budget: read, written and put into the cache, but not read from it.
    pub fn tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens).saturating_add(self.cache_write_tokens)
    }

    /// Adds what another used; the context's measures are the other's when it has any.
    #[must_use]
    pub fn plus(&self, other: &SessionUsage) -> SessionUsage {
        let cost_usd = match (self.cost_usd, other.cost_usd) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
        SessionUsage {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            cache_read_tokens: self.cache_read_tokens.saturating_add(other.cache_read_tokens),
            cache_write_tokens: self.cache_write_tokens.saturating_add(other.cache_write_tokens),
            cost_usd,
            context_used: other.context_used.or(self.context_used),
            context_window: other.context_window.or(self.context_window),
        }
    }
}

/// What a session may spend; what is reached stops it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionBudget {
    /// US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost_usd: Option<f64>,
    /// Tokens, as [`SessionUsage::tokens`] counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// Minutes in which the agent was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_minutes: Option<u64>,
}

/// How capable a model is wanted; a profile says which model that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelTier {
    /// The quickest.
    Haiku,
    /// The usual one.
    Sonnet,
    /// The most capable.
    Opus,
}

impl ModelTier {
    /// All tiers.
    pub const ALL: [ModelTier; 3] = [ModelTier::Haiku, ModelTier::Sonnet, ModelTier::Opus];

    /// Gives the name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            ModelTier::Haiku => "haiku",
            ModelTier::Sonnet => "sonnet",
            ModelTier::Opus => "opus",
        }
    }

    /// Reads a tier's name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.as_str() == text)
    }
}

/// What a managed session works on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum SessionSource {
    /// A repository on this machine.
    Project {
        /// Its absolute path.
        path: String,
        /// What the session's branch starts from; the project's `HEAD` when nothing is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        git_ref: Option<String>,
    },
    /// A repository somewhere else.
    Remote {
        /// Its URL, without credentials.
        url: String,
        /// What the session's branch starts from; the remote's default branch when nothing is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        git_ref: Option<String>,
    },
    /// A directory that somebody else has made: the workspace of the run whose step the session does. It is used as it
    /// is, and never removed.
    Directory {
        /// Its absolute path.
        path: String,
    },
}

/// How what a session was told first has ended. It ends once: whatever the agent does later changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum TaskEnd {
    /// The agent's first turn is over; of an agent whose turns nobody tells: its program has ended in good order.
    Completed {
        /// What it said last.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
    /// The turn ended with an error, or the agent died for good.
    Failed {
        /// What went wrong.
        reason: String,
        /// What it said last.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
    /// The agent was stopped before its first turn was over.
    Cancelled {
        /// Why.
        reason: String,
    },
}

/// A managed session, as it is stored too: the store keeps what it selects by in columns beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Its name for people and terminals: `[a-z0-9-]`, at most 40; unique while it is not decommissioned.
    pub name: String,
    /// The session that has started it.
    pub parent: Option<SessionId>,
    /// The run whose step has started it.
    pub run_id: Option<RunId>,
    /// The agent of the run's blueprint whose step it does.
    #[serde(default)]
    pub plays: Option<String>,
    /// How many sessions are above it.
    pub depth: u32,
    /// The name of its agent's profile.
    pub agent: String,
    /// How it is hosted.
    pub driver: DriverKind,
    /// How capable its model is wanted.
    pub tier: Option<ModelTier>,
    /// The model that was asked for; over the tier.
    pub model: Option<String>,
    /// What it works on.
    pub source: SessionSource,
    /// What it was told first.
    pub task: String,
    /// The goal that it serves.
    pub goal_id: Option<GoalId>,
    /// What people want of it.
    pub desired: Desired,
    /// Whether its workspace may go although its work stands nowhere else but in snapshots.
    pub force: bool,
    /// Where it stands.
    pub state: SessionState,
    /// What is being done to it.
    pub phase: SessionPhase,
    /// Why it stands there, when that is not plain.
    pub reason: Option<String>,
    /// What its agent does.
    pub activity: ActivityReport,
    /// What its agent asks and nobody has answered, the oldest first.
    pub questions: Vec<AgentQuestion>,
    /// Whether the project is trusted: its own settings and hooks hold for the agent, where that is a question.
    #[serde(default)]
    pub is_trusted: bool,
    /// Whether its agent should call hooks and has not called one since it was started.
    #[serde(default)]
    pub hooks_silent: bool,
    /// What its agent is to be told yet, now that it is there.
    #[serde(default)]
    pub to_tell: Option<FirstPrompt>,
    /// How often it could not be told that of late.
    #[serde(default)]
    pub tell_failures: u32,
    /// When it is told again.
    #[serde(default)]
    pub tell_at: Option<Timestamp>,
    /// When its task was seen to arrive.
    pub delivered_at: Option<Timestamp>,
    /// The agent's own id of its session, for resuming.
    pub agent_session: Option<String>,
    /// Where its agent keeps its transcript.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcript: Option<String>,
    /// The model that its agent says it uses.
    pub model_used: Option<String>,
    /// How often its agent was started.
    pub launches: u32,
    /// By what its agent is found again, while it is there.
    pub handle: Option<HostHandle>,
    /// The token of its agent, hooks and children.
    pub token_id: Option<TokenId>,
    /// Whether its agent died in the middle of its work: the next start is told to go on.
    pub was_working: bool,
    /// When its agent died by itself of late, the oldest first; see the storm breaker.
    pub deaths: Vec<Timestamp>,
    /// Until when it is left alone.
    pub parked_until: Option<Timestamp>,
    /// What it used, over all starts of its agent.
    pub usage: SessionUsage,
    /// What its agent has told of this start, when it counts from its start.
    pub usage_of_launch: SessionUsage,
    /// The most that one step of it has used: what the next may use.
    pub usage_step: SessionUsage,
    /// What it may spend.
    pub budget: SessionBudget,
    /// For how long its agent was there, launches before this one together, in milliseconds.
    pub active_ms: u64,
    /// When its agent was started last.
    pub launched_at: Option<Timestamp>,
    /// How many turns its agent has ended.
    pub turns: u64,
    /// How its task has ended, when it has.
    #[serde(default)]
    pub task_end: Option<TaskEnd>,
    /// The ref of the last snapshot of its workspace.
    pub snapshot_ref: Option<String>,
    /// Whether its workspace is there.
    pub has_workspace: bool,
    /// The machine that it is on; this one's name is `local`.
    pub node: String,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When something about it changed last.
    pub updated_at: Timestamp,
    /// When its agent was heard of last.
    pub last_activity_at: Option<Timestamp>,
    /// Of when the last is that something better than its terminal told: what happened earlier comes late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_at: Option<Timestamp>,
    /// Since when its terminal does not change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_since: Option<Timestamp>,
}

/// What a session begins with.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSession {
    /// Its id.
    pub id: SessionId,
    /// Its name.
    pub name: String,
    /// The name of its agent's profile.
    pub agent: String,
    /// How it is hosted.
    pub driver: DriverKind,
    /// What it works on.
    pub source: SessionSource,
    /// What its agent is told first.
    pub task: String,
}

impl Session {
    /// Makes a session that was just asked for; its workspace is to be made first.
    pub fn new(new: NewSession, now: Timestamp) -> Session {
        let NewSession { id, name, agent, driver, source, task } = new;
        Session {
            id,
            name,
            parent: None,
            run_id: None,
            plays: None,
            depth: 0,
            agent,
            driver,
            tier: None,
            model: None,
            source,
            task,
            goal_id: None,
            desired: Desired::Running,
            force: false,
            state: SessionState::Provisioning,
            phase: SessionPhase::Provisioning,
            reason: None,
            activity: ActivityReport::unknown(now, "it was asked for"),
            questions: Vec::new(),
            is_trusted: false,
            hooks_silent: false,
            to_tell: None,
            tell_failures: 0,
            tell_at: None,
            delivered_at: None,
            agent_session: None,
            transcript: None,
            model_used: None,
            launches: 0,
            handle: None,
            token_id: None,
            was_working: false,
            deaths: Vec::new(),
            parked_until: None,
            usage: SessionUsage::default(),
            usage_of_launch: SessionUsage::default(),
            usage_step: SessionUsage::default(),
            budget: SessionBudget::default(),
            active_ms: 0,
            launched_at: None,
            turns: 0,
            task_end: None,
            snapshot_ref: None,
            has_workspace: false,
            node: "local".to_owned(),
            created_at: now,
            updated_at: now,
            last_activity_at: None,
            told_at: None,
            quiet_since: None,
        }
    }
}
