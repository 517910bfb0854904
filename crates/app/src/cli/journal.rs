//! `adjutant journal …`: read from the database itself, with or without a daemon.

use super::print;
use crate::exit::Failure;
use adjutant_protocol::ExitCode as Code;
use adjutant_store::{StoreOptions, journal};
use anyhow::Result;
use clap::Subcommand;
use std::path::Path;

/// What to do with the journal.
#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// Look whether any row was changed, removed or put in; works while the daemon runs.
    Verify,
}

pub(crate) fn run(folder: &Path, command: JournalCommand) -> Result<Code> {
    match command {
        JournalCommand::Verify => verify(folder),
    }
}

fn verify(folder: &Path) -> Result<Code> {
    let path = StoreOptions::new(folder).path();
    if !path.exists() {
        let failure = Failure::new(Code::NotFound, format!("there is no store in {}", folder.display()));
        return Err(failure
            .hinted("the first run makes it; ADJUTANT_HOME or --home names another folder")
            .into());
    }
    let report = journal::verify(&path)?;
    if report.is_sound() {
        return print(&format!(
            "the journal is sound: {} rows about {} subjects",
            report.rows, report.subjects
        ));
    }
    for broken in &report.broken {
        print(&format!("row {} of {}: {}", broken.seq, broken.subject, broken.why))?;
    }
    Err(Failure::new(Code::Failed, format!("the journal is damaged in {} places", report.broken_count))
        .into())
}
