//! Agent profiles: how an agent's program is started, told, heard, asked and ended, read from TOML.
//!
//! Shipped are `claude`, `codex`, `gemini`, `opencode`, `qwen`, `rehearsal` and `generic`; a file of a user adds a
//! profile or takes a shipped one's place. What a file does not say is as in `generic`, so `name` and `program` are
//! enough for a program that is typed to in a terminal.
//!
//! # The file
//!
//! ```toml
//! name = "aider"                      # [a-z0-9][a-z0-9-]*
//! aliases = ["aider-chat"]            # other names for it
//! program = "aider"                   # searched in PATH; `adjutant` is Adjutant's own
//! hooks = "none"                      # none, claude or codex: how it calls hooks
//! on_unreachable = "deny_writes"      # deny_writes, deny or allow: what its hook says when the daemon is away
//! tools_read_only = ["Read"]          # its tools that change nothing
//! env_allow = ["OPENAI_*"]            # variables of the daemon's environment that it gets
//! env = { AIDER_ANALYTICS = "false" } # variables that it gets
//! models = { sonnet = "gpt-5" }       # which model a tier is: haiku, sonnet, opus
//!
//! [version]
//! args = ["--version"]                # what makes it tell its version
//! known = ">=0.86, <1"                # versions that this profile was tried with
//!
//! [terminal]                          # times in milliseconds, keys by tmux's names
//! ready_quiet_ms = 1500               # it is ready for a prompt when its terminal has rested for so long,
//! ready_max_ms = 20000                # and after so long in any case
//! submit_pause_ms = 300               # between a pasted prompt and Enter
//! idle_quiet_ms = 5000                # it idles when its terminal rests for so long and nothing else tells
//! interrupt_keys = ["C-c"]
//! exit_text = "/exit"                 # typed to make it end by itself
//! allow_keys = ["y", "Enter"]         # what allows and what denies in its permission dialog
//! deny_keys = ["n", "Enter"]
//!
//! [[driver]]                          # as many as it has; the best first
//! kind = "tmux"                       # tmux, pty, acp or headless
//! program = "aider-acp"               # another program than the profile's, such as an adapter
//! args = [["--model", "{model}"], ["--message", "{prompt}"]]
//! resume_args = [["--restore", "{agent_session}"]]
//! prompt = "argument"                 # argument, typed, protocol or per_prompt: how it is told something
//! stream = "none"                     # none, claude_stream_json, codex_json or acp: what it writes
//! env = { AIDER_PRETTY = "false" }    # variables that it gets when it is hosted so
//! ```
//!
//! Arguments stand in groups. The words in braces are the [`PLACEHOLDERS`]; a group with one that nothing fills is
//! left out as a whole. A list `driver` takes the place of `generic`'s.

mod read;

pub use adjutant_model::profile::{Fillings, PLACEHOLDERS};
pub use read::{NAME_BYTES_MAX, read};

use crate::document::{Lint, toml_line};
use adjutant_model::profile::{AgentProfile, DriverSpec};
use adjutant_model::session::{DriverKind, ModelTier};
use semver::{Version, VersionReq};
use std::fmt;
use std::sync::{Arc, LazyLock};

/// The texts of the shipped profiles, `generic` first.
const SHIPPED: [&str; 7] = [
    include_str!("profile/generic.toml"),
    include_str!("profile/claude.toml"),
    include_str!("profile/codex.toml"),
    include_str!("profile/gemini.toml"),
    include_str!("profile/opencode.toml"),
    include_str!("profile/qwen.toml"),
    include_str!("profile/rehearsal.toml"),
];

/// Variables that switch off what a program would do besides its work, or lead it through a proxy; every agent gets them.
pub const OPT_OUTS: [&str; 7] =
    ["DISABLE_*", "DO_NOT_TRACK", "NO_PROXY", "no_proxy", "HTTPS_PROXY", "https_proxy", "SSL_CERT_FILE"];

/// The profiles that there are.
#[derive(Debug, Clone)]
pub struct Profiles(Vec<Arc<AgentProfile>>);

/// A profile file of a user.
#[derive(Debug, Clone, Copy)]
pub struct ProfileFile<'a> {
    /// Its name, for people.
    pub name: &'a str,
    /// What stands in it.
    pub text: &'a str,
}

/// Something that is wrong in a profile file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileProblem {
    /// The file.
    pub file: String,
    /// The line, from 1, where one can be named.
    pub line: Option<usize>,
    /// What is wrong.
    pub lint: Lint,
}

impl fmt::Display for ProfileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.lint)
    }
}

impl Profiles {
    /// Gives the shipped profiles.
    pub fn shipped() -> &'static Profiles {
        static PROFILES: LazyLock<Profiles> = LazyLock::new(|| {
            let profile = |text| read(text).expect("shipped profiles are valid, see the tests");
            Profiles(SHIPPED.into_iter().map(|text| Arc::new(profile(text))).collect())
        });
        &PROFILES
    }

    /// Gives these profiles with those of a user over them, and what is wrong with the user's.
    ///
    /// A profile takes the place of the one with its name. A file with a mistake is left out as a whole, and so is one
    /// whose name or alias another of the files, or a profile that stays, has already.
    #[must_use]
    pub fn with(&self, files: &[ProfileFile<'_>]) -> (Profiles, Vec<ProfileProblem>) {
        let mut problems = Vec::new();
        let mut own: Vec<(&str, AgentProfile)> = Vec::new();
        for file in files {
            match read(file.text) {
                Ok(profile) => own.push((file.name, profile)),
                Err(lints) => problems.extend(lints.into_iter().map(|lint| problem(file, lint))),
            }
        }
        let is_replaced = |shipped: &Arc<AgentProfile>| own.iter().any(|(_, one)| one.name == shipped.name);
        let mut all: Vec<Arc<AgentProfile>> =
            self.0.iter().filter(|profile| !is_replaced(profile)).cloned().collect();
        for (file, profile) in own {
            match taken(&all, &profile) {
                Some(name) => problems.push(name_taken(file, &name)),
                None => all.push(Arc::new(profile)),
            }
        }
        (Profiles(all), problems)
    }

    /// Finds a profile by its name or an alias.
    pub fn find(&self, name: &str) -> Option<&Arc<AgentProfile>> {
        self.0.iter().find(|profile| profile.is_called(name))
    }

    /// Gives all profiles, the shipped ones first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<AgentProfile>> {
        self.0.iter()
    }
}

/// Gives program and arguments of a start; see [`AgentProfile::argv`].
pub fn argv(profile: &AgentProfile, driver: &DriverSpec, fillings: &Fillings) -> Vec<String> {
    profile.argv(driver, fillings)
}

/// Gives the model of a start: the one that is named, else the tier's; `None` leaves it to the agent.
pub fn model<'a>(
    profile: &'a AgentProfile,
    named: Option<&'a str>,
    tier: Option<ModelTier>,
) -> Option<&'a str> {
    named.or_else(|| profile.models.get(&tier?).map(String::as_str))
}

/// Tells whether a version is one that a profile was tried with, by the profile's range; one that cannot be read is not.
pub fn is_known(range: &str, version: &str) -> bool {
    let known = VersionReq::parse(range).ok().zip(Version::parse(version).ok());
    known.is_some_and(|(range, version)| range.matches(&version))
}

/// Chooses how an agent is hosted: as wanted, else by the first driver of its profile that can be used here.
///
/// # Errors
/// Why it cannot be hosted so, for people.
pub fn choose_driver<'a>(
    profile: &'a AgentProfile,
    wanted: Option<DriverKind>,
    usable: &[DriverKind],
) -> Result<&'a DriverSpec, String> {
    let names = |kinds: &mut dyn Iterator<Item = DriverKind>| {
        let names: Vec<&str> = kinds.map(DriverKind::as_str).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    match wanted {
        None => profile.drivers.iter().find(|spec| usable.contains(&spec.driver)).ok_or_else(|| {
            let known = names(&mut profile.drivers.iter().map(|spec| spec.driver));
            format!("none of the drivers of `{}` can be used here: {known}", profile.name)
        }),
        Some(kind) => {
            let spec = profile.driver(kind).ok_or_else(|| {
                let known = names(&mut profile.drivers.iter().map(|spec| spec.driver));
                format!("`{}` has no driver `{}`; it has: {known}", profile.name, kind.as_str())
            })?;
            if usable.contains(&kind) {
                return Ok(spec);
            }
            let here = names(&mut usable.iter().copied());
            Err(format!("the driver `{}` cannot be used here; usable: {here}", kind.as_str()))
        }
    }
}

fn taken(all: &[Arc<AgentProfile>], profile: &AgentProfile) -> Option<String> {
    let names = std::iter::once(&profile.name).chain(&profile.aliases);
    names.into_iter().find(|name| all.iter().any(|other| other.is_called(name))).cloned()
}

fn problem(file: &ProfileFile<'_>, lint: Lint) -> ProfileProblem {
    let line = if lint.pointer.is_empty() { None } else { toml_line(file.text, &lint.pointer) };
    ProfileProblem { file: file.name.to_owned(), line, lint }
}

fn name_taken(file: &str, name: &str) -> ProfileProblem {
    let lint = Lint {
        level: crate::document::LintLevel::Error,
        name: "name-taken",
        pointer: "/name".to_owned(),
        message: format!("another profile is called `{name}`"),
        hint: Some("choose another name; a shipped profile is replaced by one with its name".to_owned()),
    };
    ProfileProblem { file: file.to_owned(), line: None, lint }
}

#[cfg(test)]
mod tests;
