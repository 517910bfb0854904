//! Blueprints in files and out of files: heads as YAML, versions as commits.

use super::checked;
use super::registry::{PAGE, all, head_if_any, id_of, told};
use crate::cli::print;
use crate::exit::Failure;
use crate::{config, launch};
use adjutant_protocol::http::BlueprintVersionView;
use adjutant_protocol::{Archived, BlueprintSaid, Client, ClientError, ExitCode as Code};
use adjutant_rules::source::to_yaml;
use adjutant_sessions::{Git, HistoryEntry, history_write};
use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// What to write, and where.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The blueprint, unless all are meant; and the folder.
    #[arg(value_names = ["ID", "DIR"], num_args = 1..=2, required = true)]
    what: Vec<String>,
    /// Every blueprint that is registered, archived ones too.
    #[arg(long)]
    all: bool,
    /// Make a git repository in the folder, which must be empty, with a commit for each version.
    #[arg(long)]
    git: bool,
    /// Replace files that say something else.
    #[arg(long)]
    force: bool,
}

pub(super) async fn export(folder: &Path, args: ExportArgs) -> Result<Code> {
    let (id, dir) = match (args.what.as_slice(), args.all, args.git) {
        ([dir], true, _) | ([dir], false, true) => (None, PathBuf::from(dir)),
        ([id, dir], false, _) => (Some(id.as_str()), PathBuf::from(dir)),
        ([_, _, ..], true, _) => return Err(Failure::usage("either an id or `--all`").into()),
        _ => return Err(Failure::usage("say which blueprint, or `--all`, and the folder").into()),
    };
    let client = launch::client(folder).await?;
    let ids = match id {
        Some(id) => vec![id.to_owned()],
        None => {
            let registered = all(&client, Archived::Shown).await?.into_iter().filter(|entry| !entry.built_in);
            registered.map(|entry| entry.id).collect()
        }
    };
    if args.git {
        export_versions(&client, &ids, &dir).await
    } else {
        export_heads(&client, &ids, &dir, args.force).await
    }
}

async fn export_heads(client: &Client, ids: &[String], dir: &Path, force: bool) -> Result<Code> {
    let mut heads = Vec::new();
    for id in ids {
        heads.push(client.blueprint_head(id).await?);
    }
    make_folder(dir)?;
    for head in heads {
        // The daemon's ids are words, and never paths.
        let path = dir.join(format!("{}.yaml", head.id));
        put(&path, &to_yaml(&head.blueprint.into()), force)?;
        print(&format!("{} is in {}", head.id, path.display()))?;
    }
    Ok(Code::Ok)
}

fn make_folder(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).map_err(|error| {
        Failure::new(Code::Failed, format!("the folder {} cannot be made: {error}", dir.display())).into()
    })
}

/// Writes a file as a whole; one that says something else stays, unless it is to be replaced.
fn put(path: &Path, text: &str, force: bool) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(dir).context("the folder cannot be written")?;
    file.write_all(text.as_bytes()).with_context(|| format!("{} cannot be written", path.display()))?;
    let kept = if force { file.persist(path) } else { file.persist_noclobber(path) };
    kept.map(drop).map_err(|error| {
        let message = format!("{} cannot be written: {}", path.display(), error.error);
        Failure::new(Code::Failed, message).hinted("`--force` replaces what is there").into()
    })
}

async fn export_versions(client: &Client, ids: &[String], dir: &Path) -> Result<Code> {
    let mut commits = Vec::new();
    for id in ids {
        for version in versions(client, id).await? {
            let document = client.blueprint_version(id, &version.version).await?.blueprint;
            commits.push((version.created_at.clone(), entry(id, &version, document)?));
        }
    }
    // Each blueprint's own versions are in order already, and stay so.
    commits.sort_by(|(a, _), (b, _)| a.cmp(b));
    make_folder(dir)?;
    let mut there = fs::read_dir(dir).with_context(|| format!("{} cannot be read", dir.display()))?;
    if there.next().is_some() {
        let failure = Failure::new(Code::Failed, format!("the folder {} is not empty", dir.display()));
        return Err(failure.hinted("name a new one; the repository is made anew each time").into());
    }
    let entries: Vec<HistoryEntry> = commits.into_iter().map(|(_, entry)| entry).collect();
    history_write(&Git::new(&config::environment()), dir, &entries).await.map_err(|error| {
        let failure = Failure::new(Code::Failed, error.to_string());
        error.hint().into_iter().fold(failure, Failure::hinted)
    })?;
    print(&format!("{} versions are commits in {}", entries.len(), dir.display()))
}

/// Gives all versions of a blueprint, the oldest first.
async fn versions(client: &Client, id: &str) -> Result<Vec<BlueprintVersionView>> {
    let mut found: Vec<BlueprintVersionView> = Vec::new();
    loop {
        let before = found.last().map(|version| version.number);
        let page = client.blueprint_history(id, before, PAGE).await?.entries;
        let is_last = page.len() < PAGE;
        found.extend(page);
        if is_last {
            found.reverse();
            return Ok(found);
        }
    }
}

/// Makes a commit of a version. What people said of it is the body, and nothing is ever read back out of it.
fn entry(id: &str, version: &BlueprintVersionView, document: Value) -> Result<HistoryEntry> {
    let name = version.version_label.clone().unwrap_or_else(|| format!("#{}", version.number));
    let mut trailers = vec![format!("Blueprint: {id}"), format!("Version: {}", version.version)];
    trailers.extend(version.parent.iter().map(|parent| format!("Parent: {parent}")));
    let parts = [format!("{id} {name}"), version.rationale.trim().to_owned(), trailers.join("\n")];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let at = adjutant_model::Timestamp::parse(&version.created_at).context("the daemon's instant")?;
    Ok(HistoryEntry {
        file: format!("{id}.yaml"),
        content: to_yaml(&document.into()),
        author: version.author.clone(),
        at_secs: at.unix_ms().div_euclid(1000),
        message: parts.join("\n\n") + "\n",
    })
}

/// What to register.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// A file, or a folder whose YAML and JSON files are all taken.
    from: PathBuf,
    /// Take each head as it is now for the base, whatever it says.
    #[arg(long)]
    based_on_head: bool,
    /// Why, for people.
    #[arg(long, value_name = "TEXT")]
    rationale: Option<String>,
}

pub(super) async fn import(folder: &Path, args: ImportArgs) -> Result<Code> {
    let files = files(&args.from)?;
    let mut documents = Vec::new();
    for file in files {
        let document = checked(&file)?;
        documents.push((file, id_of(&document)?, document));
    }
    let client = launch::client(folder).await?;
    let mut refused = 0;
    for (file, id, document) in documents {
        let base = if args.based_on_head { head_if_any(&client, &id).await? } else { None };
        let said = BlueprintSaid { base, rationale: args.rationale.clone(), label: None };
        match client.blueprint_write(&id, &document, &said).await {
            Ok(written) => {
                for line in told(&written) {
                    print(&line)?;
                }
            }
            Err(ClientError::Api { error, status: 409 }) => {
                refused += 1;
                print(&format!("{} is refused: {error}", file.display()))?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    match refused {
        0 => Ok(Code::Ok),
        refused => Err(Failure::new(Code::Failed, format!("{refused} blueprints were refused"))
            .hinted("`--based-on-head` goes over the heads as they are now")
            .into()),
    }
}

/// Gives the files that are meant, in the order of their names.
fn files(from: &Path) -> Result<Vec<PathBuf>> {
    if !from.is_dir() {
        return Ok(vec![from.to_owned()]);
    }
    let entries = fs::read_dir(from).with_context(|| format!("{} cannot be read", from.display()))?;
    let is_document = |path: &PathBuf| {
        path.is_file()
            && path.extension().is_some_and(|ext| ["yaml", "yml", "json"].iter().any(|known| ext == *known))
    };
    let mut found = Vec::new();
    for entry in entries {
        found.extend(Some(entry?.path()).filter(is_document));
    }
    found.sort();
    if found.is_empty() {
        let message = format!("no blueprint is in {}", from.display());
        return Err(Failure::new(Code::NotFound, message)
            .hinted("their names end in .yaml, .yml or .json")
            .into());
    }
    Ok(found)
}
