//! `adjutant hooks`: hooks for the agents that people start themselves.

use super::print;
use crate::commands::quoted;
use crate::config;
use crate::exit::Failure;
use crate::progress::visible;
use adjutant_engine::hook_settings::{self, HookPlace, HookSettingsChange};
use adjutant_model::profile::HookFlavour;
use adjutant_protocol::ExitCode as Code;
use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// What to do with hook settings.
#[derive(Debug, Subcommand)]
pub(crate) enum HooksCommand {
    /// Let agents that you start yourself call Adjutant's hooks; your own hooks stay.
    Install(PlaceArgs),
    /// Take Adjutant's hooks out again: a file that nobody has changed since is what it was, byte by byte.
    Remove(PlaceArgs),
    /// Show whether they are there, and which hooks a project brings along.
    Status(PlaceArgs),
}

#[derive(Debug, Args)]
pub(crate) struct PlaceArgs {
    /// Of which agent; of each when nothing is said.
    #[arg(long, value_enum)]
    agent: Option<HookAgent>,
    /// In your own settings, for all projects; so it is when no project is named.
    #[arg(long, conflicts_with = "project")]
    user: bool,
    /// In the settings of a project that are yours alone.
    #[arg(long, value_name = "DIR")]
    project: Option<PathBuf>,
}

/// An agent that calls hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum HookAgent {
    /// Claude Code.
    Claude,
    /// Codex.
    Codex,
}

impl HookAgent {
    fn flavour(self) -> HookFlavour {
        match self {
            HookAgent::Claude => HookFlavour::Claude,
            HookAgent::Codex => HookFlavour::Codex,
        }
    }
}

pub(crate) fn run(command: HooksCommand) -> Result<Code> {
    let exe = std::env::current_exe().context("Adjutant's own program is not found")?;
    let (HooksCommand::Install(args) | HooksCommand::Remove(args) | HooksCommand::Status(args)) = &command;
    let place = place(args)?;
    let agents = args.agent.map_or_else(|| HookAgent::value_variants().to_vec(), |agent| vec![agent]);
    for agent in agents {
        let flavour = agent.flavour();
        let path = hook_settings::path_of(flavour, &place).context("an agent has a file of settings")?;
        let shown = path.display();
        match &command {
            HooksCommand::Install(_) => match hook_settings::install(&path, flavour, &exe)? {
                HookSettingsChange::Nothing => print(&format!("{shown}: they are there"))?,
                _ => print(&format!("{shown}: written{}", trust(agent)))?,
            },
            HooksCommand::Remove(_) => {
                print(&format!("{shown}: {}", outcome(hook_settings::remove(&path, flavour)?)))?
            }
            HooksCommand::Status(_) => match hook_settings::status(&path)?.len() {
                0 => print(&format!("{shown}: not there"))?,
                count => print(&format!("{shown}: there, for {count} events"))?,
            },
        };
    }
    match (&command, &place) {
        (HooksCommand::Status(_), HookPlace::Project { top }) => own_hooks(top),
        _ => Ok(Code::Ok),
    }
}

fn place(args: &PlaceArgs) -> Result<HookPlace> {
    if let Some(project) = &args.project {
        let top = project.canonicalize();
        let top = top.map_err(|error| Failure::usage(format!("{}: {error}", project.display())))?;
        return Ok(HookPlace::Project { top });
    }
    let home =
        config::var("HOME").ok_or_else(|| Failure::usage("HOME does not say where your settings are"))?;
    Ok(HookPlace::User { home: home.into() })
}

/// Codex asks before it runs hooks that it does not know.
fn trust(agent: HookAgent) -> &'static str {
    match agent {
        HookAgent::Claude => "",
        HookAgent::Codex => {
            "; Codex runs them when you have trusted them: start it once and review its hooks"
        }
    }
}

fn outcome(change: HookSettingsChange) -> &'static str {
    match change {
        HookSettingsChange::Nothing => "not there",
        HookSettingsChange::Written => "taken out; the rest, which has changed since, stays",
        HookSettingsChange::Restored => "taken out; it is what it was before",
        HookSettingsChange::Deleted => "gone; nothing else was in it",
    }
}

fn own_hooks(top: &std::path::Path) -> Result<Code> {
    for found in hook_settings::of_project(top) {
        let what = match &found.hook {
            Some(hook) => format!("on {} it runs: {}", visible(&hook.event), quoted(&visible(&hook.runs))),
            None => "it cannot be read, so nobody can say what it runs".to_owned(),
        };
        print(&format!("warning: {} is the project's own: {what}", found.file))?;
    }
    Ok(Code::Ok)
}
