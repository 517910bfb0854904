//! The programs that can stand in for an agent: how each is started, and what it may see.

use adjutant_model::blueprint::{Agent, AgentSpec, CommandSpec, OutputFormat, OutputSpec, Profile};
pub(crate) use adjutant_model::profile::OWN_PROGRAM;
use adjutant_model::profile::{AgentProfile, HookFlavour};
use adjutant_rules::profile::{OPT_OUTS, Profiles};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The names of the built-in templates.
pub const NAMES: &[&str] = &["rehearsal", "claude", "codex"];

/// Gives a built-in template for an agent with this profile.
pub fn builtin(name: &str, profile: &Profile) -> Option<CommandSpec> {
    let (argv, format) = match name {
        "rehearsal" => (vec![OWN_PROGRAM, "rehearsal", "--prompt", "{prompt}"], OutputFormat::StreamJson),
        "claude" => (claude(profile), OutputFormat::StreamJson),
        "codex" => (codex(profile), OutputFormat::CodexJson),
        _ => return None,
    };
    Some(CommandSpec {
        argv: argv.into_iter().map(str::to_owned).collect(),
        use_stdin: Some(false),
        output: Some(OutputSpec { format, ..OutputSpec::default() }),
        ..CommandSpec::default()
    })
}

/// Print mode, with the tools that edit and run; its own permission dialog cannot be answered there.
fn claude(profile: &Profile) -> Vec<&'static str> {
    let mut argv = vec![
        "claude",
        "-p",
        "--output-format",
        "stream-json",
        "--verbose",
        "--permission-mode",
        "acceptEdits",
    ];
    argv.extend(profile.model.as_ref().map(|_| ["--model", "{model}"]).into_iter().flatten());
    argv.extend(
        profile.system_prompt.as_ref().map(|_| ["--append-system-prompt", "{system}"]).into_iter().flatten(),
    );
    let tools = if profile.tools.is_empty() { "Bash,Edit,Write,Read,Glob,Grep" } else { "{tools_csv}" };
    // The option takes several values, so the prompt stands behind `--`.
    argv.extend(["--allowedTools", tools, "--", "{prompt}"]);
    argv
}

/// Codex' own sandbox keeps writes in the workspace. The system prompt is a TOML text, with quotes that hardly any
/// prompt contains; one that does is taken as it stands, quotes included.
fn codex(profile: &Profile) -> Vec<&'static str> {
    let mut argv = vec!["codex", "exec", "--json", "--skip-git-repo-check", "--sandbox", "workspace-write"];
    argv.extend(profile.model.as_ref().map(|_| ["--model", "{model}"]).into_iter().flatten());
    let instructions =
        profile.system_prompt.as_ref().map(|_| ["--config", "developer_instructions='''{system}'''"]);
    argv.extend(instructions.into_iter().flatten());
    argv.extend(["--", "{prompt}"]);
    argv
}

/// Gives the command with another program in its template's place; what was said for the old one goes.
pub(crate) fn stand_in(spec: &CommandSpec, name: &str) -> CommandSpec {
    CommandSpec {
        template: Some(name.to_owned()),
        argv: Vec::new(),
        use_stdin: None,
        stdin: None,
        output: None,
        ..spec.clone()
    }
}

/// Puts into the arguments of a built-in template what makes its program call hooks, as [`agents::hook_settings`] gives
/// it; the rehearsal agent asks the gate by itself.
pub(crate) fn with_hooks(name: &str, mut argv: Vec<String>, hook: String) -> Vec<String> {
    let (at, options) = match name {
        "claude" => (1, vec!["--settings".to_owned(), hook]),
        // Nobody sees a review of the hooks' trust there.
        "codex" => (2, vec!["--dangerously-bypass-hook-trust".to_owned(), "--config".to_owned(), hook]),
        _ => return argv,
    };
    argv.splice(at..at, options);
    argv
}

/// Gives the profile of a built-in template's program.
pub(crate) fn profile_of(name: &str) -> Option<&'static Arc<AgentProfile>> {
    Profiles::shipped().find(name).filter(|_| NAMES.contains(&name))
}

/// Tells whether an agent asks the gate before each of its tool calls, by itself or by its hooks, and so gets a token
/// for it.
pub fn asks_gate(agent: &Agent) -> bool {
    match &agent.spec {
        AgentSpec::Command(spec) => spec.template.as_deref().is_some_and(|name| NAMES.contains(&name)),
        AgentSpec::Function { .. }
        | AgentSpec::Lua(_)
        | AgentSpec::Check(_)
        | AgentSpec::Operator(_)
        // Its own token and hooks are the session's.
        | AgentSpec::Session(_) => {
            false
        }
    }
}

/// Gives the variables besides the usual ones that a template's program needs.
pub(crate) fn allowed(name: &str, env: &[(String, String)]) -> Vec<String> {
    profile_of(name).map(|profile| allowed_of(profile, env)).unwrap_or_default()
}

/// Gives the variables of `env`, the daemon's environment, that an agent's program needs besides the usual ones: what
/// its profile names, the opt-outs, and for Codex those from which its own settings take keys.
pub fn allowed_of(profile: &AgentProfile, env: &[(String, String)]) -> Vec<String> {
    let opt_outs = OPT_OUTS.iter().map(|name| (*name).to_owned());
    let mut names: Vec<String> = profile.env_allow.iter().cloned().chain(opt_outs).collect();
    if profile.hooks == HookFlavour::Codex {
        names.extend(codex_env_keys(env));
    }
    names
}

/// Gives the variables that Codex' own settings take keys from: `env_key = "NAME"` of a model provider.
fn codex_env_keys(env: &[(String, String)]) -> Vec<String> {
    let var = |name: &str| env.iter().find(|(key, _)| key == name).map(|(_, value)| Path::new(value));
    let home: Option<PathBuf> =
        var("CODEX_HOME").map(Path::to_owned).or_else(|| Some(var("HOME")?.join(".codex")));
    let text =
        home.and_then(|home| std::fs::read_to_string(home.join("config.toml")).ok()).unwrap_or_default();
    env_keys(&text)
}

/// Finds `env_key = "NAME"`, in a table or inline; a name that only a comment gives does no harm.
fn env_keys(config: &str) -> Vec<String> {
    let value = |after: &str| {
        let after = after.trim_start().strip_prefix('=')?.trim_start();
        let quote = after.chars().next().filter(|c| ['"', '\''].contains(c))?;
        let (name, _) = after[1..].split_once(quote)?;
        (!name.is_empty()).then(|| name.to_owned())
    };
    config.lines().flat_map(|line| line.split("env_key").skip(1)).filter_map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_and_prompts_are_named_only_when_the_profile_names_them() {
        let bare = builtin("claude", &Profile::default()).expect("it is built in").argv;
        assert!(!bare.iter().any(|arg| arg == "--model"));
        assert_eq!(bare[bare.len() - 2..], ["--", "{prompt}"]);
        let profile = Profile { model: Some("m".to_owned()), ..Profile::default() };
        let named = builtin("codex", &profile).expect("it is built in").argv;
        assert!(named.windows(2).any(|pair| pair == ["--model", "{model}"]));
        assert_eq!(builtin("nobody", &profile), None);
    }

    #[test]
    fn hooks_stand_where_each_program_reads_its_options() {
        for (name, expected) in [
            ("claude", &["claude", "--settings", "H", "-p"][..]),
            ("codex", &["codex", "exec", "--dangerously-bypass-hook-trust", "--config", "H", "--json"]),
            ("rehearsal", &["adjutant", "rehearsal", "--prompt"]),
        ] {
            let argv = builtin(name, &Profile::default()).expect("it is built in").argv;
            assert_eq!(with_hooks(name, argv, "H".to_owned())[..expected.len()], *expected);
        }
    }

    #[test]
    fn the_keys_of_codex_providers_are_found_in_its_settings() {
        let config = "
            [model_providers.stub]
            name = \"x\"
            env_key = \"STUB_KEY\" # where the key is
              env_key='OTHER'
            env_key_instructions = \"ask\"
            env_key =
            [model_providers]
            inline = { name = \"y\", env_key = \"INLINE\" }";
        assert_eq!(env_keys(config), ["STUB_KEY", "OTHER", "INLINE"]);
    }
}
