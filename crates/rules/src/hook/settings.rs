//! Hook settings of agents: files in which a person may have hooks of their own, which stay.
//!
//! An entry is ours by its command: a program named `adjutant`, then `hook` and the event that it stands under. Merging
//! takes our entries out and puts the wanted ones behind what is there, so doing it again changes nothing; the order of
//! members is kept. What is no JSON, or has `hooks` of another shape, is not touched.
//!
//! For sessions that Adjutant hosts nothing stands in the workspace: Claude Code takes a settings file from elsewhere
//! ([`fresh`]), and Codex an override of its configuration ([`codex_override`]). Then the hooks of the project still run.

use super::settings_json::Json;
use adjutant_model::hook::HookEvent;
use adjutant_model::profile::HookFlavour;
use std::fmt::Write;
use thiserror::Error;

/// An event that decides may take as long as the person who is asked: so long an agent waits for it, in seconds.
pub const DECISION_TIMEOUT_SECS: u64 = 3600;
/// So long an agent waits for any other, in seconds.
const STATUS_TIMEOUT_SECS: u64 = 10;
/// Codex cuts these to so much, in seconds, and complains.
const CODEX_SHORT_SECS: u64 = 3;

/// What is heard of Claude Code.
const CLAUDE: [HookEvent; 17] = [
    HookEvent::SessionStart,
    HookEvent::SessionEnd,
    HookEvent::UserPromptSubmit,
    HookEvent::PreToolUse,
    HookEvent::PostToolUse,
    HookEvent::PostToolUseFailure,
    HookEvent::PermissionRequest,
    HookEvent::PermissionDenied,
    HookEvent::Notification,
    HookEvent::Stop,
    HookEvent::StopFailure,
    HookEvent::SubagentStart,
    HookEvent::SubagentStop,
    HookEvent::PreCompact,
    HookEvent::PostCompact,
    HookEvent::Elicitation,
    HookEvent::ElicitationResult,
];

/// What is heard of Codex.
const CODEX: [HookEvent; 12] = [
    HookEvent::SessionStart,
    HookEvent::SessionEnd,
    HookEvent::UserPromptSubmit,
    HookEvent::PreToolUse,
    HookEvent::PostToolUse,
    HookEvent::PermissionRequest,
    HookEvent::Stop,
    HookEvent::Interrupt,
    HookEvent::SubagentStart,
    HookEvent::SubagentStop,
    HookEvent::PreCompact,
    HookEvent::PostCompact,
];

/// Why a file of settings is left as it is.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// It is no JSON.
    #[error("it is no JSON: {0}")]
    Malformed(String),
    /// It is JSON of another shape.
    #[error("`{place}` is not {expected}")]
    Shape {
        /// Where.
        place: String,
        /// What should be there.
        expected: &'static str,
    },
}

/// A hook that a file of settings names and that is not ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignHook {
    /// The event, as it is written.
    pub event: String,
    /// What is run: a command, a URL, or what else there is.
    pub runs: String,
}

/// The variable whose JSON `codex-acp` merges into the configuration of its sessions.
pub const CODEX_CONFIG_VARIABLE: &str = "CODEX_CONFIG";

/// What is left of a file without our entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// There were none.
    Nothing,
    /// This.
    Text(String),
    /// Nothing: the file was ours alone.
    Empty,
}

/// Gives the events that an agent's hooks are written for.
pub fn events(flavour: HookFlavour) -> &'static [HookEvent] {
    match flavour {
        HookFlavour::None => &[],
        HookFlavour::Claude => &CLAUDE,
        HookFlavour::Codex => &CODEX,
    }
}

/// Gives a file with our entries alone; `program` is the path of Adjutant's own program.
pub fn fresh(flavour: HookFlavour, program: &str) -> String {
    merged("{}", flavour, program).expect("an empty object is a file of settings")
}

/// Gives a file with our entries in it, behind those that are there.
///
/// # Errors
/// [`SettingsError`]; then the file is not to be touched.
pub fn merged(text: &str, flavour: HookFlavour, program: &str) -> Result<String, SettingsError> {
    let mut file = read(text)?;
    take_out(&mut file, Emptied::Kept)?;
    let hooks = object_at(&mut file, "hooks")?;
    for event in events(flavour) {
        let Json::Array(entries) = hooks.member_or(event.as_str(), Json::Array(Vec::new())) else {
            return Err(shape(&format!("hooks.{}", event.as_str()), "a list"));
        };
        entries.push(entry(*event, flavour, program));
    }
    Ok(file.pretty())
}

/// Gives a file without our entries, and without what is empty then because they are gone.
///
/// # Errors
/// [`SettingsError`]; then the file is not to be touched.
pub fn removed(text: &str) -> Result<Removed, SettingsError> {
    let mut file = read(text)?;
    if !take_out(&mut file, Emptied::Dropped)? {
        return Ok(Removed::Nothing);
    }
    Ok(if file.is_empty() { Removed::Empty } else { Removed::Text(file.pretty()) })
}

/// Gives the events that our entries stand under.
///
/// # Errors
/// [`SettingsError`]
pub fn installed(text: &str) -> Result<Vec<String>, SettingsError> {
    let mut found: Vec<String> = commands(&read(text)?)?
        .into_iter()
        .filter(|(event, hook)| is_ours(event, hook))
        .map(|(event, _)| event)
        .collect();
    found.dedup();
    Ok(found)
}

/// Gives the hooks of a file that are not ours: what a project ships runs with its agent's environment.
///
/// # Errors
/// [`SettingsError`]
pub fn foreign(text: &str) -> Result<Vec<ForeignHook>, SettingsError> {
    let all = commands(&read(text)?)?.into_iter();
    let foreign = all.filter(|(event, hook)| !is_ours(event, hook)).map(|(event, hook)| {
        let runs = ["command", "url", "prompt", "type"].iter().find_map(|key| hook.get(key)?.as_str());
        ForeignHook { event, runs: runs.unwrap_or("?").chars().take(500).collect() }
    });
    Ok(foreign.collect())
}

/// Gives our hooks as one override of Codex' configuration: what stands behind its `-c`.
pub fn codex_override(program: &str) -> String {
    let mut text = "hooks={".to_owned();
    for (place, event) in CODEX.iter().enumerate() {
        let comma = if place > 0 { "," } else { "" };
        let command = toml::Value::String(command(*event, program));
        let timeout = timeout_secs(*event, HookFlavour::Codex);
        let name = event.as_str();
        write!(text, "{comma}{name}=[{{hooks=[{{type=\"command\",command={command},timeout={timeout}}}]}}]")
            .expect("a text takes everything");
    }
    text + "}"
}

/// Gives our hooks as `codex-acp` takes them: the JSON object of its variable [`CODEX_CONFIG_VARIABLE`].
pub fn codex_config(program: &str) -> String {
    let mut file = read(&fresh(HookFlavour::Codex, program)).expect("our own settings are settings");
    // Nobody sees a trust review there; without it they are passed over silently.
    *file.member_or("bypass_hook_trust", Json::Other(true.into())) = Json::Other(true.into());
    file.pretty()
}

fn read(text: &str) -> Result<Json, SettingsError> {
    if text.trim().is_empty() {
        return Ok(Json::Object(Vec::new()));
    }
    let file = Json::parse(text).map_err(|error| SettingsError::Malformed(error.to_string()))?;
    match file {
        Json::Object(_) => Ok(file),
        Json::Array(_) | Json::Other(_) => Err(shape("", "an object")),
    }
}

fn shape(place: &str, expected: &'static str) -> SettingsError {
    SettingsError::Shape {
        place: if place.is_empty() { "the file".to_owned() } else { place.to_owned() },
        expected,
    }
}

fn object_at<'a>(file: &'a mut Json, key: &str) -> Result<&'a mut Json, SettingsError> {
    let found = file.member_or(key, Json::Object(Vec::new()));
    match found {
        Json::Object(_) => Ok(found),
        Json::Array(_) | Json::Other(_) => Err(shape(key, "an object")),
    }
}

fn entry(event: HookEvent, flavour: HookFlavour, program: &str) -> Json {
    let text = |text: &str| Json::Other(text.into());
    let hook = Json::Object(vec![
        ("type".to_owned(), text("command")),
        ("command".to_owned(), text(&command(event, program))),
        ("timeout".to_owned(), Json::Other(timeout_secs(event, flavour).into())),
    ]);
    let hooks = ("hooks".to_owned(), Json::Array(vec![hook]));
    match flavour {
        HookFlavour::Claude => Json::Object(vec![("matcher".to_owned(), text("*")), hooks]),
        HookFlavour::Codex | HookFlavour::None => Json::Object(vec![hooks]),
    }
}

fn command(event: HookEvent, program: &str) -> String {
    format!("'{}' hook {}", program.replace('\'', r"'\''"), event.as_str())
}

fn timeout_secs(event: HookEvent, flavour: HookFlavour) -> u64 {
    let is_short = matches!(event, HookEvent::SessionEnd | HookEvent::Interrupt);
    match flavour {
        _ if event.decides() => DECISION_TIMEOUT_SECS,
        HookFlavour::Codex if is_short => CODEX_SHORT_SECS,
        HookFlavour::Codex | HookFlavour::Claude | HookFlavour::None => STATUS_TIMEOUT_SECS,
    }
}

/// Tells whether a hook under an event is ours: a program that is called `adjutant`, `hook`, and the event or nothing.
fn is_ours(event: &str, hook: &Json) -> bool {
    let Some(command) = hook.get("command").and_then(Json::as_str) else { return false };
    let command = command.strip_suffix(&format!(" {event}")).unwrap_or(command);
    let Some(program) = command.strip_suffix(" hook") else { return false };
    program.trim_matches('\'').rsplit('/').next() == Some("adjutant")
}

/// Gives every hook of a file and the event that it stands under.
fn commands(file: &Json) -> Result<Vec<(String, Json)>, SettingsError> {
    let hooks = match file.get("hooks") {
        None => return Ok(Vec::new()),
        Some(Json::Object(hooks)) => hooks,
        Some(Json::Array(_) | Json::Other(_)) => return Err(shape("hooks", "an object")),
    };
    let mut all = Vec::new();
    for (event, entries) in hooks {
        let Json::Array(entries) = entries else { continue };
        for entry in entries {
            let Some(Json::Array(found)) = entry.get("hooks") else { continue };
            all.extend(found.iter().map(|hook| (event.clone(), hook.clone())));
        }
    }
    Ok(all)
}

/// What becomes of lists that are empty because our entries are gone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Emptied {
    /// They stay in their places, for entries that come.
    Kept,
    /// They go, and what is empty because of that.
    Dropped,
}

/// Takes our entries out; tells whether there were any.
fn take_out(file: &mut Json, emptied: Emptied) -> Result<bool, SettingsError> {
    let Json::Object(members) = file else { return Ok(false) };
    let Some(place) = members.iter().position(|(key, _)| key == "hooks") else { return Ok(false) };
    let Json::Object(hooks) = &mut members[place].1 else { return Err(shape("hooks", "an object")) };
    let mut is_changed = false;
    for (event, entries) in hooks.iter_mut() {
        let Json::Array(entries) = entries else { continue };
        for entry in entries.iter_mut() {
            let Some(Json::Array(found)) = entry.get_mut("hooks") else { continue };
            let before = found.len();
            found.retain(|hook| !is_ours(event, hook));
            is_changed |= found.len() < before;
            if found.len() < before && found.is_empty() {
                *entry = Json::Object(Vec::new());
            }
        }
        if is_changed {
            entries.retain(|entry| !entry.is_empty());
        }
    }
    if is_changed && emptied == Emptied::Dropped {
        hooks.retain(|(_, entries)| !entries.is_empty());
        if hooks.is_empty() {
            members.remove(place);
        }
    }
    Ok(is_changed)
}

#[cfg(test)]
mod tests;
