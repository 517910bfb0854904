//! Agent profiles: how a program is started, told, heard, asked and ended, as data.

use crate::session::{DriverKind, ModelTier};
use std::collections::BTreeMap;

/// The word that stands for Adjutant's own program.
pub const OWN_PROGRAM: &str = "adjutant";

/// How one vendor's agent is driven.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentProfile {
    /// Its name, `[a-z0-9][a-z0-9-]*`.
    pub name: String,
    /// Other names for it.
    pub aliases: Vec<String>,
    /// The program, as it is searched in `PATH`; [`OWN_PROGRAM`] is Adjutant's own. Empty when nobody has said it, as
    /// in the shipped `generic`.
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
    /// Its arguments, in groups. Placeholders are the [`PLACEHOLDERS`]; a group with one that has no value is left out
    /// as a whole.
    pub args: Vec<Vec<String>>,
    /// Its arguments when it goes on with a session of its own; empty when it has no way to say so on its command line.
    pub resume_args: Vec<Vec<String>>,
    /// How a prompt reaches it.
    pub prompt: PromptDelivery,
    /// What it writes to its standard output.
    pub stream: StreamFlavour,
    /// Variables that it gets besides the profile's.
    pub env_set: BTreeMap<String, String>,
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

impl PromptDelivery {
    /// All ways.
    pub const ALL: [PromptDelivery; 4] = [
        PromptDelivery::Argument,
        PromptDelivery::Typed,
        PromptDelivery::Protocol,
        PromptDelivery::PerPrompt,
    ];

    /// Gives the name in profiles and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            PromptDelivery::Argument => "argument",
            PromptDelivery::Typed => "typed",
            PromptDelivery::Protocol => "protocol",
            PromptDelivery::PerPrompt => "per_prompt",
        }
    }

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == text)
    }
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

impl StreamFlavour {
    /// All flavours.
    pub const ALL: [StreamFlavour; 4] =
        [StreamFlavour::None, StreamFlavour::ClaudeStreamJson, StreamFlavour::CodexJson, StreamFlavour::Acp];

    /// Gives the name in profiles and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            StreamFlavour::None => "none",
            StreamFlavour::ClaudeStreamJson => "claude_stream_json",
            StreamFlavour::CodexJson => "codex_json",
            StreamFlavour::Acp => "acp",
        }
    }

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == text)
    }
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

impl HookFlavour {
    /// All flavours.
    pub const ALL: [HookFlavour; 3] = [HookFlavour::None, HookFlavour::Claude, HookFlavour::Codex];

    /// Gives the name in profiles and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            HookFlavour::None => "none",
            HookFlavour::Claude => "claude",
            HookFlavour::Codex => "codex",
        }
    }

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == text)
    }
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

impl OnUnreachable {
    /// All answers.
    pub const ALL: [OnUnreachable; 3] =
        [OnUnreachable::DenyWrites, OnUnreachable::Deny, OnUnreachable::Allow];

    /// Gives the name in profiles and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            OnUnreachable::DenyWrites => "deny_writes",
            OnUnreachable::Deny => "deny",
            OnUnreachable::Allow => "allow",
        }
    }

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == text)
    }
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

/// What fills the placeholders of arguments.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fillings {
    /// The path of Adjutant's own program.
    pub adjutant: String,
    /// `{model}`: the model.
    pub model: Option<String>,
    /// `{session}`: a UUID that the agent shall give its own session.
    pub session: Option<String>,
    /// `{agent_session}`: the agent's own session that goes on; with it the arguments for going on are taken.
    pub agent_session: Option<String>,
    /// `{prompt}`: what the agent is told.
    pub prompt: Option<String>,
    /// `{trusted}`: the path of the project, when it is trusted.
    pub trusted: Option<String>,
    /// `{hook}`: what says which hooks are called: the path of a file of settings, or for Codex an override of them.
    pub hook: Option<String>,
}

/// The words that can stand in braces in an argument, each filled by the member of [`Fillings`] with its name.
pub const PLACEHOLDERS: [&str; 6] = ["model", "session", "agent_session", "prompt", "trusted", "hook"];

impl Fillings {
    fn get(&self, word: &str) -> Option<&str> {
        match word {
            "model" => self.model.as_deref(),
            "session" => self.session.as_deref(),
            "agent_session" => self.agent_session.as_deref(),
            "prompt" => self.prompt.as_deref(),
            "trusted" => self.trusted.as_deref(),
            "hook" => self.hook.as_deref(),
            _ => None,
        }
    }

    /// Fills an argument; `None` when a placeholder has no value. What was filled in is not looked at again.
    fn filled(&self, argument: &str) -> Option<String> {
        let mut filled = String::with_capacity(argument.len());
        let mut rest = argument;
        while let Some(start) = rest.find('{') {
            let (before, braces) = rest.split_at(start);
            filled.push_str(before);
            match PLACEHOLDERS.into_iter().find(|word| is_placeholder(braces, word)) {
                Some(word) => {
                    filled.push_str(self.get(word)?);
                    rest = &braces[word.len() + 2..];
                }
                None => {
                    filled.push('{');
                    rest = &braces[1..];
                }
            }
        }
        filled.push_str(rest);
        Some(filled)
    }
}

fn is_placeholder(braces: &str, word: &str) -> bool {
    braces[1..].strip_prefix(word).is_some_and(|behind| behind.starts_with('}'))
}

impl DriverSpec {
    /// Tells whether the agent can go on with an earlier session of its own when it is hosted so.
    pub fn can_resume(&self) -> bool {
        !self.resume_args.is_empty() || self.stream == StreamFlavour::Acp
    }

    /// Tells whether a placeholder stands in its arguments for a new session.
    pub fn takes(&self, word: &str) -> bool {
        let braced = format!("{{{word}}}");
        self.args.iter().flatten().any(|argument| argument.contains(&braced))
    }
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
    /// Gives program and arguments of a start: those for going on when there is an `agent_session` and the driver has
    /// such, else those for a new session.
    pub fn argv(&self, driver: &DriverSpec, fillings: &Fillings) -> Vec<String> {
        let program = driver.program.as_ref().unwrap_or(&self.program);
        let program = if program == OWN_PROGRAM { &fillings.adjutant } else { program };
        let goes_on = fillings.agent_session.is_some() && !driver.resume_args.is_empty();
        let groups = if goes_on { &driver.resume_args } else { &driver.args };
        let filled = |group: &Vec<String>| -> Option<Vec<String>> {
            group.iter().map(|argument| fillings.filled(argument)).collect()
        };
        std::iter::once(program.clone()).chain(groups.iter().filter_map(filled).flatten()).collect()
    }
}
