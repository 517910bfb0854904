//! `config.toml` in the data folder: limits and habits of the daemon, read when it starts.
//!
//! ```toml
//! [sessions]
//! max_alive = 16                # so many agents may be alive at once
//! auto_resume = true            # whether an agent that died by itself is started again
//! agents_may_spawn = false      # whether agents may delegate to others without a person's approval
//! default_agent = "claude"      # the profile that plays an agent whose name is no profile's
//!
//! [approvals]
//! deadline_secs = 300           # an approval that nobody answers is denied then
//!
//! [runs]
//! max_open = 10000
//! ttl_secs = 1800               # when neither request nor blueprint says
//!
//! [workspaces]
//! max_gib = 100                 # beyond it nothing new begins; without it there is no limit
//! keep_days = 14                # what ended so long ago and is saved goes
//! artefacts_days = 1            # what a build makes again goes sooner
//! ```
//!
//! What is not said stays as it is; a key that nobody knows is a mistake.

use crate::daemon::read_if_there;
use crate::exit::Failure;
use adjutant_engine::Settings;
use anyhow::Result;
use serde::Deserialize;
use std::path::Path;

/// The file's name in the data folder.
const FILE: &str = "config.toml";

/// A day.
const DAY_MS: u64 = 24 * 3_600_000;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SettingsFile {
    sessions: Sessions,
    approvals: Approvals,
    runs: Runs,
    workspaces: Workspaces,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Sessions {
    max_alive: Option<u32>,
    auto_resume: Option<bool>,
    agents_may_spawn: Option<bool>,
    default_agent: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Approvals {
    deadline_secs: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Runs {
    max_open: Option<u32>,
    ttl_secs: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Workspaces {
    max_gib: Option<u32>,
    keep_days: Option<u32>,
    artefacts_days: Option<u32>,
}

/// Takes up what the file of a data folder says, when there is one.
pub(crate) fn read_into(settings: &mut Settings, folder: &Path) -> Result<()> {
    let path = folder.join(FILE);
    let Some(text) = read_if_there(&path)? else { return Ok(()) };
    let wrong = |what: String| {
        Failure::usage(format!("{} cannot be used: {what}", path.display()))
            .hinted("correct it, or take it away; the daemon starts without it")
    };
    let file: SettingsFile =
        toml::from_str(&text).map_err(|error| wrong(error.to_string().trim_end().to_owned()))?;
    apply(settings, &file).map_err(|what| wrong(what).into())
}

fn apply(settings: &mut Settings, file: &SettingsFile) -> Result<(), String> {
    let SettingsFile { sessions, approvals, runs, workspaces } = file;
    let positive = |name: &str, number: Option<u32>| match number {
        Some(0) => Err(format!("`{name}` must be more than 0")),
        number => Ok(number),
    };
    if let Some(max) = positive("sessions.max_alive", sessions.max_alive)? {
        settings.sessions_alive_max = max as usize;
    }
    if let Some(max_gib) = positive("workspaces.max_gib", workspaces.max_gib)? {
        settings.workspace_bytes_max = Some(u64::from(max_gib) << 30);
    }
    if let Some(days) = workspaces.keep_days {
        settings.workspace_keep_ms = u64::from(days) * DAY_MS;
    }
    if let Some(days) = workspaces.artefacts_days {
        settings.workspace_artefacts_ms = u64::from(days) * DAY_MS;
    }
    if let Some(auto_resume) = sessions.auto_resume {
        settings.sessions_auto_resume = auto_resume;
    }
    if let Some(agents_may_spawn) = sessions.agents_may_spawn {
        settings.sessions_agents_may_spawn = agents_may_spawn;
    }
    if let Some(default_agent) = &sessions.default_agent {
        settings.sessions_default_agent.clone_from(default_agent);
    }
    if let Some(secs) = positive("approvals.deadline_secs", approvals.deadline_secs)? {
        settings.approval_ms = u64::from(secs) * 1000;
    }
    if let Some(max) = positive("runs.max_open", runs.max_open)? {
        settings.runs_open_max = max as usize;
    }
    if let Some(secs) = positive("runs.ttl_secs", runs.ttl_secs)? {
        settings.run_ttl_secs = u64::from(secs);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn read(text: &str) -> Result<Settings> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join(FILE), text)?;
        let mut settings = Settings::new(folder.path().to_owned(), PathBuf::from("adjutant"));
        read_into(&mut settings, folder.path())?;
        Ok(settings)
    }

    #[test]
    fn what_is_said_holds_and_the_rest_stays() {
        let settings =
            read("[sessions]\nmax_alive = 128\nauto_resume = false\nagents_may_spawn = true\ndefault_agent = \"codex\"\n").unwrap();
        assert_eq!((settings.sessions_alive_max, settings.sessions_auto_resume), (128, false));
        assert!(settings.sessions_agents_may_spawn);
        assert_eq!(settings.sessions_default_agent, "codex");
        assert_eq!(settings.approval_ms, 300_000);
        let untouched = read("").unwrap();
        assert_eq!((untouched.sessions_alive_max, untouched.sessions_auto_resume), (16, true));
        assert!(!untouched.sessions_agents_may_spawn, "a person is asked");
        assert_eq!(read("[approvals]\ndeadline_secs = 5").unwrap().approval_ms, 5000);
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        for (text, told) in [
            ("[sessions]\nmax_live = 3\n", "max_live"),
            ("[sessions]\nmax_alive = \"many\"\n", "line 2"),
            ("[sessions]\nmax_alive = 0\n", "`sessions.max_alive` must be more than 0"),
            ("[nothing]\n", "nothing"),
            ("sessions = 3\n", "line 1"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
