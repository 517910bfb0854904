//! `adjutant blueprint …`: blueprints in files, and their versions in the daemon's registry.

mod export;
mod file;
mod registry;

use super::print;
use crate::exit::Failure;
use crate::launch;
use adjutant_protocol::ExitCode as Code;
use anyhow::Result;
use clap::{Args, Subcommand};
use export::{ExportArgs, ImportArgs};
use file::BlueprintFile;
pub(crate) use file::{checked, document};
use registry::PushArgs;
use std::path::{Path, PathBuf};

/// What to do with blueprints.
#[derive(Debug, Subcommand)]
pub(crate) enum BlueprintCommand {
    /// Say everything that is wrong with a blueprint.
    Lint {
        /// The file, YAML or JSON.
        file: PathBuf,
    },
    /// List blueprints, the built-in ones among them.
    Ls {
        /// Archived ones too.
        #[arg(long)]
        all: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Register a version of a blueprint, which becomes its head.
    Push(PushArgs),
    /// List the versions of a blueprint, the newest first.
    Log {
        /// The blueprint.
        id: String,
        /// At most so many.
        #[arg(long, default_value_t = 20)]
        limit: usize,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show a version of a blueprint as YAML: the head, unless another is named.
    Show {
        /// The blueprint.
        id: String,
        /// The version: its hash, a part that only one has, or its label.
        #[arg(long)]
        version: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show what changed between two versions of a blueprint.
    Diff {
        /// The blueprint.
        id: String,
        /// The one; without it the version that the other was based on.
        from: Option<String>,
        /// The other; without it the head.
        to: Option<String>,
        /// Print JSON, with the operations of RFC 6902.
        #[arg(long)]
        json: bool,
    },
    /// Archive a blueprint: it is kept, and neither runs nor changes.
    Archive(OneArgs),
    /// Take a blueprint out of the archive.
    Unarchive(OneArgs),
    /// Write heads into files, or all versions into a git repository.
    Export(ExportArgs),
    /// Register the blueprints of a file, or of all files in a folder.
    Import(ImportArgs),
}

/// Which blueprint.
#[derive(Debug, Args)]
pub(crate) struct OneArgs {
    /// The blueprint.
    id: String,
}

/// Says everything that is wrong with a file.
pub(crate) fn lint(path: &Path) -> Result<Code> {
    let file = BlueprintFile::read(path)?;
    for lint in file.lints() {
        print(&file.rendered(lint))?;
    }
    match file.errors().count() {
        0 => print(&format!("{} can run; {} warnings", path.display(), file.lints().len())),
        errors => Err(Failure::usage(format!("{} cannot run: {errors} errors", path.display())).into()),
    }
}

pub(crate) async fn run(folder: &Path, command: BlueprintCommand) -> Result<Code> {
    match command {
        BlueprintCommand::Lint { file } => lint(&file),
        // What is wrong with files is said before a daemon is started for them.
        BlueprintCommand::Push(args) => registry::push(folder, args).await,
        BlueprintCommand::Import(args) => export::import(folder, args).await,
        BlueprintCommand::Export(args) => export::export(folder, args).await,
        BlueprintCommand::Ls { all, json } => registry::list(&launch::client(folder).await?, all, json).await,
        BlueprintCommand::Log { id, limit, json } => {
            registry::log(&launch::client(folder).await?, &id, limit, json).await
        }
        BlueprintCommand::Show { id, version, json } => {
            registry::show(&launch::client(folder).await?, &id, version.as_deref(), json).await
        }
        BlueprintCommand::Diff { id, from, to, json } => {
            let client = launch::client(folder).await?;
            registry::diff(&client, &id, (from.as_deref(), to.as_deref()), json).await
        }
        BlueprintCommand::Archive(OneArgs { id }) => {
            launch::client(folder).await?.blueprint_archive(&id).await?;
            print(&format!("{id} is archived"))
        }
        BlueprintCommand::Unarchive(OneArgs { id }) => {
            launch::client(folder).await?.blueprint_unarchive(&id).await?;
            print(&format!("{id} is out of the archive"))
        }
    }
}
