//! `adjutant store`: backups, checks, and what takes how much room.
//!
//! A backup is written by the daemon, which has the store; the path is made absolute here, where it was typed. A check
//! needs no daemon, so that it can say why none starts.

use super::print;
use super::table::{self, Column, Paper, Tone};
use crate::exit::Failure;
use crate::launch;
use crate::progress::visible;
use adjutant_protocol::ExitCode as Code;
use adjutant_protocol::http::{BackupParams, BackupView, CheckFindingView, CheckView, SizesView};
use adjutant_store::{CheckError, CheckReport, Interrupt, check};
use anyhow::{Context, Result};
use clap::Subcommand;
use std::path::{Path, PathBuf};

/// What to do with the store.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Make a backup of everything in one file, while the daemon works.
    ///
    /// It has the database and the bytes of outputs, and is checked before it appears under its name. Workspaces,
    /// their snapshots and settings are not in it.
    Backup {
        /// The file, outside of the data folder.
        file: PathBuf,
        /// Put it in the place of a file that is there.
        #[arg(long)]
        force: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Look whether the store is whole; works with and without a daemon.
    Check {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show what takes how much room.
    Sizes {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(crate) async fn run(folder: &Path, command: StoreCommand) -> Result<Code> {
    match command {
        StoreCommand::Backup { file, force, json } => backup(folder, &file, force, json).await,
        StoreCommand::Check { json } => {
            let found = match launch::running(folder).await? {
                Some(client) => client.store_check().await?,
                None => check_apart(folder)?,
            };
            checked(&found, json)
        }
        StoreCommand::Sizes { json } => {
            let sizes = launch::client(folder).await?.store_sizes().await?;
            match json {
                true => print(&serde_json::to_string(&sizes)?),
                false => sizes_lines(&sizes).iter().try_fold(Code::Ok, |_, line| print(line)),
            }
        }
    }
}

async fn backup(folder: &Path, file: &Path, force: bool, json: bool) -> Result<Code> {
    let params = BackupParams { file: typed(file)?, force };
    let made = launch::client(folder).await?.store_backup(&params).await?;
    print(&if json { serde_json::to_string(&made)? } else { made_text(&made) })?;
    if made.lost_count == 0 {
        return Ok(Code::Ok);
    }
    let failure = Failure::new(
        Code::Failed,
        format!("{} bodies are not in it, because the store has lost them", made.lost_count),
    );
    Err(failure.hinted("everything else is in the backup; `adjutant store check` names them").into())
}

/// Gives a path that was typed here as one that holds everywhere.
fn typed(file: &Path) -> Result<String> {
    let absolute =
        std::path::absolute(file).with_context(|| format!("{} cannot be found", file.display()))?;
    let text = absolute.to_str().map(str::to_owned);
    text.ok_or_else(|| Failure::usage(format!("{} is no UTF-8", file.display())).into())
}

fn made_text(made: &BackupView) -> String {
    format!(
        "{}: {}, {} journal rows, {} bodies; checked\njournal root {}",
        visible(&made.file),
        size(made.bytes),
        made.journal_rows,
        made.bodies,
        made.journal_root
    )
}

/// Checks without a daemon.
fn check_apart(folder: &Path) -> Result<CheckView> {
    let report = check::check(folder, &Interrupt::default()).map_err(|error| match &error {
        CheckError::Missing { .. } => {
            Failure::new(Code::NotFound, format!("there is no store in {}", folder.display()))
                .hinted("the first run makes it; ADJUTANT_HOME or --home names another folder")
                .into()
        }
        CheckError::Foreign { .. }
        | CheckError::Newer { .. }
        | CheckError::Database { .. }
        | CheckError::Interrupted => anyhow::Error::new(error),
    })?;
    Ok(view(report))
}

fn view(report: CheckReport) -> CheckView {
    let finding = |finding: &adjutant_store::CheckFinding| CheckFindingView {
        matter: finding.matter.as_str().to_owned(),
        text: finding.text.clone(),
    };
    CheckView {
        ok: report.is_sound(),
        findings: report.findings.iter().map(finding).collect(),
        findings_count: report.findings_count,
        journal_rows: report.journal_rows,
        journal_removed: report.journal_removed,
        journal_seq: report.journal_seq,
        journal_root: report.journal_root,
        contents: report.contents,
        bodies: report.bodies,
        bodies_bytes: report.bodies_bytes,
        bodies_unnamed: report.bodies_unnamed,
    }
}

fn checked(found: &CheckView, json: bool) -> Result<Code> {
    if json {
        print(&serde_json::to_string(found)?)?;
    } else {
        for finding in &found.findings {
            print(&format!("{}: {}", finding.matter, visible(&finding.text)))?;
        }
    }
    match (found.ok, json) {
        (true, true) => Ok(Code::Ok),
        (true, false) => print(&sound_text(found)),
        (false, _) => {
            let things = if found.findings_count == 1 { "thing is" } else { "things are" };
            let failure = Failure::new(Code::Failed, format!("{} {things} wrong", found.findings_count));
            Err(failure
                .hinted("stop the daemon and keep a copy of the data folder before anything else")
                .into())
        }
    }
}

fn sound_text(found: &CheckView) -> String {
    let unnamed = match found.bodies_unnamed {
        0 => String::new(),
        count => format!("; {count} files that nothing names, which the daemon removes at its next start"),
    };
    format!(
        "the store is sound: {} journal rows, {} contents, {} bodies of {}{unnamed}\njournal root {}",
        found.journal_rows,
        found.contents,
        found.bodies,
        size(found.bodies_bytes),
        found.journal_root
    )
}

const COLUMNS: [Column; 3] = [
    Column { title: "WHAT", width_min: None, rank: 9 },
    Column { title: "COUNT", width_min: None, rank: 5 },
    Column { title: "SIZE", width_min: None, rank: 8 },
];

fn sizes_lines(sizes: &SizesView) -> Vec<String> {
    let cell = |text: String| (text, Tone::Plain);
    let mut rows: Vec<_> = sizes
        .kinds
        .iter()
        .map(|kind| vec![cell(kind.kind.clone()), cell(kind.rows.to_string()), cell(size(kind.bytes))])
        .collect();
    rows.push(vec![cell("together".to_owned()), cell(String::new()), cell(size(sizes.bytes))]);
    table::lines(&COLUMNS, &rows, Paper::of_stdout())
}

/// Gives a size for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        0..1_048_576 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20),
    }
}
