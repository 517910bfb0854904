//! From TOML to a profile.

use super::PLACEHOLDERS;
use crate::document::{Cursor, Lint, Lints, from_toml};
use adjutant_model::profile::{
    AgentProfile, DriverSpec, HookFlavour, OnUnreachable, PromptDelivery, StreamFlavour, TerminalSpec,
    VersionProbe,
};
use adjutant_model::session::{DriverKind, ModelTier};
use semver::VersionReq;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// So long a name may be, in bytes.
pub const NAME_BYTES_MAX: usize = 40;

/// A list of a profile has at most so many entries.
const ENTRIES_MAX: usize = 64;

/// A time of a terminal is at most ten minutes.
const PAUSE_MS_MAX: u64 = 600_000;

const FIELDS: [&str; 12] = [
    "name",
    "aliases",
    "program",
    "hooks",
    "on_unreachable",
    "tools_read_only",
    "env_allow",
    "env",
    "models",
    "version",
    "terminal",
    "driver",
];

/// What every profile begins with.
static GENERIC: LazyLock<AgentProfile> = LazyLock::new(|| {
    let bare = AgentProfile {
        name: String::new(),
        aliases: Vec::new(),
        program: String::new(),
        version: VersionProbe { args: Vec::new(), known: None },
        drivers: Vec::new(),
        env_allow: Vec::new(),
        env_set: BTreeMap::new(),
        models: BTreeMap::new(),
        hooks: HookFlavour::None,
        on_unreachable: OnUnreachable::DenyWrites,
        tools_read_only: Vec::new(),
        terminal: TerminalSpec {
            ready_quiet_ms: 0,
            ready_max_ms: 0,
            submit_pause_ms: 0,
            idle_quiet_ms: 0,
            interrupt_keys: Vec::new(),
            exit_text: None,
            allow_keys: Vec::new(),
            deny_keys: Vec::new(),
        },
    };
    read_over(super::SHIPPED[0], &bare).expect("the shipped `generic` is valid, see the tests")
});

/// Reads a profile; [`super`] tells its form.
///
/// # Errors
/// Everything that is wrong: unknown fields, words and placeholders, names that are none, broken version ranges.
pub fn read(text: &str) -> Result<AgentProfile, Vec<Lint>> {
    read_over(text, &GENERIC)
}

fn read_over(text: &str, base: &AgentProfile) -> Result<AgentProfile, Vec<Lint>> {
    let document = from_toml(text).map_err(|why| vec![why])?;
    let mut lints = Lints::default();
    let profile = profile(&Cursor::root(&document), base, &mut lints);
    match profile {
        Some(profile) if !lints.has_error() => Ok(profile),
        Some(_) | None => Err(lints.into_vec()),
    }
}

fn profile(at: &Cursor<'_>, base: &AgentProfile, lints: &mut Lints) -> Option<AgentProfile> {
    at.object(&FIELDS, lints)?;
    let name = at.required("name", lints).and_then(|name| name_at(&name, lints));
    let program = at.required("program", lints).and_then(|program| program.string(lints));
    if program == Some("") && name.as_deref() != Some("generic") {
        lints.error(at, "empty", "`program` is empty");
    }
    let aliases = match at.member("aliases") {
        Some(list) => list.elements(lints).iter().filter_map(|alias| alias_at(alias, lints)).collect(),
        None => Vec::new(),
    };
    let drivers = match at.member("driver") {
        Some(list) => drivers(&list, lints),
        None => base.drivers.clone(),
    };
    Some(AgentProfile {
        name: name?,
        aliases,
        program: program?.to_owned(),
        version: version(at, &base.version, lints),
        drivers,
        env_allow: texts(at, "env_allow", &base.env_allow, lints),
        env_set: env(at, lints),
        models: models(at, lints),
        hooks: word(at, "hooks", HookFlavour::parse, &HookFlavour::ALL.map(HookFlavour::as_str), lints)
            .unwrap_or(base.hooks),
        on_unreachable: word(
            at,
            "on_unreachable",
            OnUnreachable::parse,
            &OnUnreachable::ALL.map(OnUnreachable::as_str),
            lints,
        )
        .unwrap_or(base.on_unreachable),
        tools_read_only: texts(at, "tools_read_only", &base.tools_read_only, lints),
        terminal: terminal(at, &base.terminal, lints),
    })
}

fn name_at(at: &Cursor<'_>, lints: &mut Lints) -> Option<String> {
    let name = at.string(lints)?;
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_name = name.starts_with(is_part) && name.chars().all(|c| is_part(c) || c == '-');
    if is_name && name.len() <= NAME_BYTES_MAX {
        return Some(name.to_owned());
    }
    let message = format!("a name is lower-case letters, digits and hyphens, at most {NAME_BYTES_MAX}");
    lints.error(at, "invalid-name", message);
    None
}

/// Takes an alias; it may have underscores, since other systems' names have.
fn alias_at(at: &Cursor<'_>, lints: &mut Lints) -> Option<String> {
    let alias = at.string(lints)?;
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if !alias.is_empty() && alias.len() <= NAME_BYTES_MAX && alias.chars().all(is_part) {
        return Some(alias.to_owned());
    }
    lints.error(at, "invalid-name", "an alias is lower-case letters, digits, hyphens and underscores");
    None
}

fn version(at: &Cursor<'_>, base: &VersionProbe, lints: &mut Lints) -> VersionProbe {
    let Some(at) = at.member("version") else { return base.clone() };
    at.object(&["args", "known"], lints);
    let known = at.member("known").and_then(|known| {
        let text = known.string(lints)?;
        if let Err(why) = VersionReq::parse(text) {
            lints.error(&known, "invalid-version", format!("`{text}` is no range of versions: {why}"));
        }
        Some(text.to_owned())
    });
    VersionProbe { args: texts(&at, "args", &base.args, lints), known }
}

fn env(at: &Cursor<'_>, lints: &mut Lints) -> BTreeMap<String, String> {
    let Some(at) = at.member("env") else { return BTreeMap::new() };
    let mut set = BTreeMap::new();
    for (name, value) in at.entries(lints) {
        if name.is_empty() || name.contains(['=', '\0']) || name.starts_with("ADJUTANT_") {
            lints.error(&value, "invalid-name", format!("the variable `{name}` cannot be set here"));
        } else if let Some(text) = value.string(lints) {
            set.insert(name.to_owned(), text.to_owned());
        }
    }
    set
}

fn models(at: &Cursor<'_>, lints: &mut Lints) -> BTreeMap<ModelTier, String> {
    let Some(at) = at.member("models") else { return BTreeMap::new() };
    at.object(&ModelTier::ALL.map(ModelTier::as_str), lints);
    let of = |tier: ModelTier| Some((tier, at.member(tier.as_str())?.string(lints)?.to_owned()));
    ModelTier::ALL.into_iter().filter_map(of).collect()
}

fn terminal(at: &Cursor<'_>, base: &TerminalSpec, lints: &mut Lints) -> TerminalSpec {
    let Some(at) = at.member("terminal") else { return base.clone() };
    at.object(
        &[
            "ready_quiet_ms",
            "ready_max_ms",
            "submit_pause_ms",
            "idle_quiet_ms",
            "interrupt_keys",
            "exit_text",
            "allow_keys",
            "deny_keys",
        ],
        lints,
    );
    let mut pause = |key, base| match at.member(key) {
        Some(pause) => pause.whole(0, PAUSE_MS_MAX, lints).unwrap_or(base),
        None => base,
    };
    TerminalSpec {
        ready_quiet_ms: pause("ready_quiet_ms", base.ready_quiet_ms),
        ready_max_ms: pause("ready_max_ms", base.ready_max_ms),
        submit_pause_ms: pause("submit_pause_ms", base.submit_pause_ms),
        idle_quiet_ms: pause("idle_quiet_ms", base.idle_quiet_ms),
        interrupt_keys: texts(&at, "interrupt_keys", &base.interrupt_keys, lints),
        exit_text: at.member("exit_text").and_then(|text| text.string(lints)).map(str::to_owned),
        allow_keys: texts(&at, "allow_keys", &base.allow_keys, lints),
        deny_keys: texts(&at, "deny_keys", &base.deny_keys, lints),
    }
}

fn drivers(at: &Cursor<'_>, lints: &mut Lints) -> Vec<DriverSpec> {
    let mut drivers: Vec<DriverSpec> = Vec::new();
    for entry in at.elements(lints) {
        let Some(spec) = driver(&entry, lints) else { continue };
        if drivers.iter().any(|other| other.driver == spec.driver) {
            let message = format!("a second driver `{}`", spec.driver.as_str());
            lints.error(&entry, "duplicate-driver", message);
        } else {
            drivers.push(spec);
        }
    }
    if drivers.is_empty() && !lints.has_error() {
        lints.error(at, "empty", "no driver is given, so the agent could not be hosted");
    }
    drivers
}

fn driver(at: &Cursor<'_>, lints: &mut Lints) -> Option<DriverSpec> {
    at.object(&["kind", "program", "args", "resume_args", "prompt", "stream", "env"], lints)?;
    at.required("kind", lints)?;
    let kind = word(at, "kind", DriverKind::parse, &DriverKind::ALL.map(DriverKind::as_str), lints)?;
    let prompt =
        word(at, "prompt", PromptDelivery::parse, &PromptDelivery::ALL.map(PromptDelivery::as_str), lints);
    let stream =
        word(at, "stream", StreamFlavour::parse, &StreamFlavour::ALL.map(StreamFlavour::as_str), lints);
    let prompt = prompt.unwrap_or(match kind {
        DriverKind::Tmux | DriverKind::Pty => PromptDelivery::Typed,
        DriverKind::Acp | DriverKind::Headless => PromptDelivery::Protocol,
    });
    let stream = stream.unwrap_or(match kind {
        DriverKind::Tmux | DriverKind::Pty | DriverKind::Headless => StreamFlavour::None,
        DriverKind::Acp => StreamFlavour::Acp,
    });
    let spec = DriverSpec {
        driver: kind,
        program: at.member("program").and_then(|program| program.string(lints)).map(str::to_owned),
        args: groups(at, "args", lints),
        resume_args: groups(at, "resume_args", lints),
        prompt,
        stream,
        env_set: env(at, lints),
    };
    check_fit(at, &spec, lints);
    Some(spec)
}

/// Refuses what does not go together: how the agent is told and what it writes follow from how it is hosted.
fn check_fit(at: &Cursor<'_>, spec: &DriverSpec, lints: &mut Lints) {
    let fits = match (spec.driver, spec.prompt, spec.stream) {
        (
            DriverKind::Tmux | DriverKind::Pty,
            PromptDelivery::Argument | PromptDelivery::Typed,
            StreamFlavour::None,
        )
        | (DriverKind::Acp, PromptDelivery::Protocol, StreamFlavour::Acp)
        | (DriverKind::Headless, PromptDelivery::Protocol, StreamFlavour::ClaudeStreamJson)
        | (DriverKind::Headless, PromptDelivery::PerPrompt, StreamFlavour::CodexJson) => true,
        (DriverKind::Tmux | DriverKind::Pty | DriverKind::Acp | DriverKind::Headless, _, _) => false,
    };
    if !fits {
        let (kind, prompt, stream) = (spec.driver.as_str(), spec.prompt.as_str(), spec.stream.as_str());
        lints.error_with_hint(
            at,
            "unfit-driver",
            format!("`{kind}` does not go with the prompt `{prompt}` and the stream `{stream}`"),
            "tmux and pty: argument or typed, none; acp: protocol, acp; headless: protocol with claude_stream_json, \
             or per_prompt with codex_json",
        );
    }
    let needs_prompt = matches!(spec.prompt, PromptDelivery::Argument | PromptDelivery::PerPrompt);
    if fits && needs_prompt && !spec.takes("prompt") {
        let message = format!("the prompt is an argument, and no argument has `{}`", "{prompt}");
        lints.error(at, "missing-placeholder", message);
    }
}

/// Takes the groups of arguments.
fn groups(at: &Cursor<'_>, key: &str, lints: &mut Lints) -> Vec<Vec<String>> {
    let Some(list) = at.member(key) else { return Vec::new() };
    let entries = list.elements(lints);
    if entries.len() > ENTRIES_MAX {
        lints.error(&list, "too-many", format!("at most {ENTRIES_MAX} groups"));
    }
    entries.iter().map(|group| group_at(group, lints)).collect()
}

fn group_at(at: &Cursor<'_>, lints: &mut Lints) -> Vec<String> {
    let mut group = Vec::new();
    for argument in at.elements(lints) {
        let Some(text) = argument.string(lints) else { continue };
        for word in unknown_words(text) {
            let hint = format!("known: {}", PLACEHOLDERS.map(|word| format!("{{{word}}}")).join(", "));
            let message = format!("nothing fills `{{{word}}}`");
            lints.error_with_hint(&argument, "unknown-placeholder", message, hint);
        }
        group.push(text.to_owned());
    }
    group
}

/// Gives the words in braces that are no placeholders but look like one.
fn unknown_words(text: &str) -> Vec<&str> {
    let word = |piece: &'_ str| -> Option<usize> {
        let end = piece.find('}')?;
        let word = &piece[..end];
        let is_word = !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        (is_word && !PLACEHOLDERS.contains(&word)).then_some(end)
    };
    text.split('{').skip(1).filter_map(|piece| Some(&piece[..word(piece)?])).collect()
}

fn texts(at: &Cursor<'_>, key: &str, base: &[String], lints: &mut Lints) -> Vec<String> {
    let Some(list) = at.member(key) else { return base.to_vec() };
    let entries = list.elements(lints);
    if entries.len() > ENTRIES_MAX {
        lints.error(&list, "too-many", format!("at most {ENTRIES_MAX} entries"));
    }
    let mut texts = Vec::new();
    for entry in entries {
        match entry.string(lints) {
            Some("") => lints.error(&entry, "empty", "the text is empty"),
            Some(text) => texts.push(text.to_owned()),
            None => {}
        }
    }
    texts
}

/// Takes one word of several; `None` when it is absent or none of them.
fn word<T>(
    at: &Cursor<'_>,
    key: &str,
    parse: impl Fn(&str) -> Option<T>,
    known: &[&str],
    lints: &mut Lints,
) -> Option<T> {
    let place = at.member(key)?;
    let text = place.string(lints)?;
    let found = parse(text);
    if found.is_none() {
        let hint = format!("known here: {}", known.join(", "));
        lints.error_with_hint(&place, "unknown-word", format!("unknown word `{text}`"), hint);
    }
    found
}
