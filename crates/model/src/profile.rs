//! Agent profiles: how a program is started, told, heard, asked and ended, as data.

use crate::session::{DriverKind, ModelTier};
use std::collections::BTreeMap;

/// How one vendor's agent is driven.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentProfile {
    /// Its name, `[a-z0-9][a-z0-9-]*`.
    pub name: String,
    /// Other names for it.
    pub aliases: Vec<String>,
    /// The program, as it is searched in `PATH`; `adjutant` is Adjutant's own.
    pub program: String,
    /// How its version is found out.
    pub version: VersionProbe,
    /// How it can be hosted; the best first is the first that a machine can do.
    pub drivers: Vec<DriverSpec>,
    /// Variables of the daemon's environment that it gets besides the usual ones; `NAME*` is a prefix.
    pub env_allow: Vec<String>,
    /// Variables that it gets.
    pub env_set: BTreeMap<String, String>,
    /// Which model each tier is.
    pub models: BTreeMap<ModelTier, String>,
    /// How it calls hooks.
    pub hooks: HookFlavour,
    /// What its hook answers when the daemon cannot be reached.
    pub on_unreachable: OnUnreachable,
    /// The tools that change something, by its own names; what is not known changes something, too.
    pub tools_read_only: Vec<String>,
    /// How its terminal is used.
    pub terminal: TerminalSpec,
}

/// How a program's version is found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionProbe {
    /// The arguments that make it tell.
    pub args: Vec<String>,
    /// The versions that this profile was tried with, for example `>=2.1, <3`; any when nothing is said.
    pub known: Option<String>,
}

/// How a program is hosted by one driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverSpec {
    /// The driver.
    pub driver: DriverKind,
    /// Another program than the profile's, such as an ACP adapter.
    pub program: Option<String>,
    /// Its arguments. Placeholders are `{model}`, `{session}` (a fresh UUID for the agent's own session), `{prompt}`,
    /// `{hook}` (the file of hook settings); an argument list with one that has no value is left out as a whole.
    pub args: Vec<Vec<String>>,
    /// Its arguments when it goes on; `{agent_session}` is its own id.
    pub resume_args: Vec<Vec<String>>,
    /// How a prompt reaches it.
    pub prompt: PromptDelivery,
    /// What it writes to its standard output.
    pub stream: StreamFlavour,
}

/// How a prompt reaches an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptDelivery {
    /// As an argument at its start, and by its terminal later.
    Argument,
    /// Typed into its terminal.
    Typed,
    /// A message on its standard input.
    Protocol,
    /// Each prompt starts the program once: an argument, with the resume arguments from the second on.
    PerPrompt,
}

/// What a program writes to its standard output when it has no terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamFlavour {
    /// Nothing that is read.
    None,
    /// Claude Code's stream-json, both ways.
    ClaudeStreamJson,
    /// Codex' `exec --json`.
    CodexJson,
    /// The Agent Client Protocol.
    Acp,
}

/// How an agent calls hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookFlavour {
    /// It calls none.
    None,
    /// As Claude Code: settings in `.claude/settings.local.json`.
    Claude,
    /// As Codex: `.codex/hooks.json`.
    Codex,
}

/// What a hook answers when the daemon cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnreachable {
    /// Tools that only read are allowed, others denied.
    DenyWrites,
    /// Everything is denied.
    Deny,
    /// Everything is allowed.
    Allow,
}

/// How an agent's terminal is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TerminalSpec {
    /// It is ready for a prompt when its terminal has not changed for so long, in milliseconds.
    pub ready_quiet_ms: u64,
    /// It is taken to be ready after so long in any case, in milliseconds.
    pub ready_max_ms: u64,
    /// So long passes between a pasted prompt and the Enter behind it, in milliseconds.
    pub submit_pause_ms: u64,
    /// It idles when its terminal has not changed for so long and nothing else tells, in milliseconds.
    pub idle_quiet_ms: u64,
    /// The keys that interrupt it, by tmux's names.
    pub interrupt_keys: Vec<String>,
    /// What is typed to make it end by itself.
    pub exit_text: Option<String>,
    /// The keys that allow in its permission dialog.
    pub allow_keys: Vec<String>,
    /// The keys that deny there.
    pub deny_keys: Vec<String>,
}

impl AgentProfile {
    /// Gives how it is hosted by a driver.
    pub fn driver(&self, kind: DriverKind) -> Option<&DriverSpec> {
        self.drivers.iter().find(|spec| spec.driver == kind)
    }

    /// Tells whether a name is its own.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.iter().any(|alias| alias == name)
    }
}
