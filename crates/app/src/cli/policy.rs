//! `adjutant policy test`: what a policy file says about a command, without doing anything.

use super::print;
use crate::exit::Failure;
use crate::progress::visible;
use adjutant_engine::gate::judge_by;
use adjutant_model::Value;
use adjutant_model::policy::{PolicyEffect, ToolCall};
use adjutant_protocol::ExitCode as Code;
use adjutant_rules::policy::{self, Places};
use adjutant_rules::shell;
use anyhow::Result;
use clap::Subcommand;
use std::path::{Path, PathBuf};

/// What to do with policies.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Say which rules of a file decide about a shell command, and why; exit code 0 allows, 1 denies, 5 asks.
    Test {
        /// The policy file; `-` is the shipped policy.
        file: PathBuf,
        /// The shell command.
        command: String,
        /// The tool that would run it.
        #[arg(long, default_value = "Bash")]
        tool: String,
    },
}

pub(crate) fn run(folder: &Path, command: PolicyCommand) -> Result<Code> {
    let PolicyCommand::Test { file, command, tool } = command;
    let shown = file.clone();
    let text = match file.to_str() {
        Some("-") => policy::DEFAULT_POLICY.to_owned(),
        Some(_) | None => std::fs::read_to_string(&file).map_err(|error| {
            Failure::new(Code::NotFound, format!("{} cannot be read: {error}", file.display()))
        })?,
    };
    let data_folder = folder.to_string_lossy();
    let places = Places { data_folder: data_folder.trim_end_matches('/') };
    let file = policy::read_file(&text, &places).map_err(|lints| {
        let all: Vec<String> = lints.iter().map(ToString::to_string).collect();
        Failure::usage(format!("{}: {}", shown.display(), all.join("; ")))
    })?;
    let line = shell::parse(&command);
    for started in &line.commands {
        let words = std::iter::once(started.program.as_str()).chain(started.args.iter().map(String::as_str));
        let words: Vec<String> = words.map(visible).collect();
        let around: String = started.wrappers.iter().map(|name| format!("{name} > ")).collect();
        print(&format!("starts   {around}{}", words.join(" ")))?;
    }
    for opaque in &line.opaque {
        print(&format!("opaque   {}", visible(opaque)))?;
    }
    let parameters = Value::object([("command", Value::from(command))]);
    let judgement = judge_by(file, &ToolCall { tool, parameters });
    for hit in &judgement.matched {
        print(&format!("matches  {} ({}): {}", visible(&hit.rule), hit.effect.as_str(), visible(&hit.why)))?;
    }
    print(&format!("{:<8} {}", judgement.effect.as_str(), visible(&judgement.reason)))?;
    Ok(match judgement.effect {
        PolicyEffect::Allow => Code::Ok,
        PolicyEffect::Ask => Code::WaitsForApproval,
        PolicyEffect::Deny => Code::Failed,
    })
}
