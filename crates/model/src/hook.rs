//! Hooks: what agents call when something happens in them, by the names that they use.
//!
//! The names are those of Claude Code, of Codex, and the 32 of the hook events that orchestrators before this one sent.
//! They are exact and case matters; a name that is not known is kept as it came.

use crate::id::{SessionId, Uuid};
use crate::time::Timestamp;
use crate::value::Value;
use std::sync::Arc;

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookCategory {
    /// A tool call.
    Tool,
    /// The agent, its subagents and teammates.
    Agent,
    /// The agent's session.
    Session,
    /// What its model remembers and used.
    Memory,
    /// Worktrees.
    Worktree,
    /// Files.
    File,
    /// The agent's own tasks.
    Task,
    /// Permissions.
    Permission,
    /// Anything else.
    System,
}

impl HookCategory {
    /// Gives the name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            HookCategory::Tool => "tool",
            HookCategory::Agent => "agent",
            HookCategory::Session => "session",
            HookCategory::Memory => "memory",
            HookCategory::Worktree => "worktree",
            HookCategory::File => "file",
            HookCategory::Task => "task",
            HookCategory::Permission => "permission",
            HookCategory::System => "system",
        }
    }
}

macro_rules! hook_events {
    ($($(#[$doc:meta])* $name:ident $category:ident)*) => {
        /// An event that an agent calls a hook for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum HookEvent {
            $($(#[$doc])* $name,)*
        }

        impl HookEvent {
            /// All events that are known.
            pub const ALL: &'static [HookEvent] = &[$(HookEvent::$name,)*];

            /// Gives the name on the wire.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(HookEvent::$name => stringify!($name),)*
                }
            }

            /// Gives what it is about.
            pub fn category(self) -> HookCategory {
                match self {
                    $(HookEvent::$name => HookCategory::$category,)*
                }
            }
        }
    };
}

hook_events! {
    /// A tool is about to be used.
    PreToolUse Tool
    /// A tool was used.
    PostToolUse Tool
    /// A tool has failed.
    PostToolUseFailure Tool
    /// All tools that the model called at once have ended.
    PostToolBatch Tool
    /// The agent has ended its turn.
    Stop Agent
    /// Its turn has ended by an error.
    StopFailure Agent
    /// Somebody has interrupted its turn.
    Interrupt Agent
    /// A subagent has begun.
    SubagentStart Agent
    /// A subagent has ended.
    SubagentStop Agent
    /// A subagent has failed.
    SubagentStopFailure Agent
    /// A teammate is about to idle.
    TeammateIdle Agent
    /// The agent's session has begun or goes on.
    SessionStart Session
    /// The agent's session is over.
    SessionEnd Session
    /// The agent sets itself up.
    Setup Session
    /// A prompt has arrived.
    UserPromptSubmit Session
    /// A prompt's command was expanded.
    UserPromptExpansion Session
    /// Instructions were loaded.
    InstructionsLoaded Session
    /// The working directory is another.
    CwdChanged Session
    /// A directory was added to those it may work in.
    DirectoryAdded Session
    /// Its settings have changed.
    ConfigChange Session
    /// Its model is about to be another.
    PreModelSwitch Session
    /// Its model is another.
    PostModelSwitch Session
    /// Its context is about to be compacted.
    PreCompact Memory
    /// Its context was compacted.
    PostCompact Memory
    /// It tells what it used.
    TokenUsageUpdate Memory
    /// A worktree is wanted.
    WorktreeCreate Worktree
    /// A worktree is to go.
    WorktreeRemove Worktree
    /// A file has changed.
    FileChanged File
    /// A task was made.
    TaskCreated Task
    /// A task is done.
    TaskCompleted Task
    /// A task has changed.
    TaskUpdated Task
    /// A task was stopped.
    TaskStopped Task
    /// It is about to ask a person whether a tool may be used.
    PermissionRequest Permission
    /// A tool was denied.
    PermissionDenied Permission
    /// A tool was allowed.
    PermissionGranted Permission
    /// It tells the person who uses it something.
    Notification System
    /// A server of tools asks the person something.
    Elicitation System
    /// What a server of tools asked has an answer.
    ElicitationResult System
    /// A server of tools is there.
    McpServerConnected System
    /// A server of tools is gone.
    McpServerDisconnected System
    /// Something went wrong.
    ErrorRaised System
    /// A skill is in use.
    SkillActivated System
    /// A message is shown.
    MessageDisplay System
}

impl HookEvent {
    /// Reads an event's name, exactly.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|event| event.as_str() == text)
    }

    /// Tells whether the agent waits for an answer that says whether it may go on.
    pub fn decides(self) -> bool {
        matches!(self, HookEvent::PreToolUse | HookEvent::PermissionRequest)
    }
}

/// A hook that an agent called, as far as its payload could be read.
#[derive(Debug, Clone, PartialEq)]
pub struct HookCall {
    /// The event's name, as it came.
    pub name: Arc<str>,
    /// The event, when its name is known.
    pub event: Option<HookEvent>,
    /// The agent's own id of its session.
    pub agent_session: Option<Arc<str>>,
    /// The name of the subagent that it happened in.
    pub subagent: Option<Arc<str>>,
    /// The tool that it is about.
    pub tool: Option<HookTool>,
    /// All of it, as it came.
    pub payload: Value,
}

/// The tool call that a hook is about.
#[derive(Debug, Clone, PartialEq)]
pub struct HookTool {
    /// The tool's name.
    pub name: Arc<str>,
    /// The agent's own id of the call.
    pub call_id: Option<Arc<str>>,
    /// What it is given.
    pub input: Value,
}

/// What an agent is told about a tool that it wants to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookVerdict {
    /// It may be used, and nobody is asked.
    Allow {
        /// Why.
        reason: String,
    },
    /// It may not.
    Deny {
        /// Why; the agent's model sees it.
        reason: String,
    },
}

/// What is kept of a hook, as long as retention lets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookDraft {
    /// The session whose agent called it.
    pub session_id: SessionId,
    /// By what it is known again when it comes twice, when it has something.
    pub hook_id: Option<Uuid>,
    /// The event's name, as it came.
    pub event: String,
    /// The tool that it was about.
    pub tool: Option<String>,
    /// How large the payload was when it came, in bytes.
    pub size_bytes: u64,
    /// What the agent was told: `allow` or `deny`.
    pub decision: Option<String>,
    /// The payload as JSON: without secrets, and with what is long cut.
    pub payload: String,
    /// When it came.
    pub at: Timestamp,
}

/// What is kept of a hook, and its place among all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookRecord {
    /// Its place; later ones have a higher number.
    pub number: i64,
    /// What is kept.
    pub draft: HookDraft,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of Claude Code 2.1, of Codex 0.169, and those of earlier orchestrators.
    const CLAUDE: &str = "SessionStart SessionEnd Setup UserPromptSubmit UserPromptExpansion PreToolUse PostToolUse \
        PostToolUseFailure PostToolBatch PermissionRequest PermissionDenied Notification Stop StopFailure SubagentStart \
        SubagentStop TeammateIdle TaskCreated TaskCompleted PreCompact PostCompact Elicitation ElicitationResult \
        InstructionsLoaded ConfigChange CwdChanged DirectoryAdded FileChanged WorktreeCreate WorktreeRemove \
        PreModelSwitch PostModelSwitch MessageDisplay";
    const CODEX: &str = "SessionStart UserPromptSubmit PreToolUse PermissionRequest PostToolUse PostToolUseFailure \
        PreCompact PostCompact SubagentStart SubagentStop Stop SessionEnd Interrupt";
    const EARLIER: &str = "PreToolUse PostToolUse PostToolUseFailure Stop SubagentStop SubagentStart StopFailure \
        SubagentStopFailure TeammateIdle SessionStart SessionEnd UserPromptSubmit InstructionsLoaded CwdChanged \
        ConfigChange PreCompact PostCompact TokenUsageUpdate WorktreeCreate WorktreeRemove FileChanged TaskCreated \
        TaskCompleted TaskUpdated TaskStopped PermissionDenied PermissionGranted Notification McpServerConnected \
        McpServerDisconnected ErrorRaised SkillActivated";

    #[test]
    fn every_vendors_names_are_known_exactly_and_nothing_else_is() {
        for (names, count) in [(CLAUDE, 33), (CODEX, 13), (EARLIER, 32)] {
            let names: Vec<&str> = names.split_whitespace().collect();
            assert_eq!(names.len(), count);
            for name in names {
                assert_eq!(HookEvent::parse(name).map(HookEvent::as_str), Some(name));
                assert_eq!(HookEvent::parse(&name.to_lowercase()), None, "{name}");
            }
        }
        for event in HookEvent::ALL {
            let known = format!(" {CLAUDE} {CODEX} {EARLIER} ");
            assert!(known.split_whitespace().any(|name| name == event.as_str()), "{event:?}");
        }
        for unknown in ["", "Unknown", " Stop", "Stop "] {
            assert_eq!(HookEvent::parse(unknown), None);
        }
    }

    #[test]
    fn the_names_of_earlier_orchestrators_have_their_categories() {
        for (names, category) in [
            ("PreToolUse PostToolUse PostToolUseFailure", "tool"),
            ("Stop SubagentStop SubagentStart StopFailure SubagentStopFailure TeammateIdle", "agent"),
            (
                "SessionStart SessionEnd UserPromptSubmit InstructionsLoaded CwdChanged ConfigChange",
                "session",
            ),
            ("PreCompact PostCompact TokenUsageUpdate", "memory"),
            ("WorktreeCreate WorktreeRemove", "worktree"),
            ("FileChanged", "file"),
            ("TaskCreated TaskCompleted TaskUpdated TaskStopped", "task"),
            ("PermissionDenied PermissionGranted", "permission"),
            ("Notification McpServerConnected McpServerDisconnected ErrorRaised SkillActivated", "system"),
        ] {
            for name in names.split_whitespace() {
                let event = HookEvent::parse(name).unwrap();
                assert_eq!(event.category().as_str(), category, "{name}");
            }
        }
    }
}
