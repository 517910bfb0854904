//! The registry from the command line: pushed, listed, shown, compared.

use super::checked;
use crate::cli::print;
use crate::exit::Failure;
use crate::launch;
use crate::progress::{visible, visible_line, visible_lines};
use adjutant_protocol::http::{
    BlueprintDocumentView, BlueprintEntryView, BlueprintVersionView, BlueprintWrittenView,
};
use adjutant_protocol::{Archived, BlueprintSaid, Client, ClientError, ExitCode as Code};
use adjutant_rules::source::to_yaml;
use anyhow::Result;
use clap::Args;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The daemon gives at most so many entries at once.
pub(super) const PAGE: usize = 1000;
/// A version's hash is so long.
const VERSION_LEN: usize = 64;

/// What to register, and on what.
#[derive(Debug, Args)]
pub(crate) struct PushArgs {
    /// The file, YAML or JSON.
    file: PathBuf,
    /// The version that the file is a change of; without one there must be no blueprint of its id.
    #[arg(long, value_name = "VERSION", conflicts_with = "based_on_head")]
    base: Option<String>,
    /// Take the head as it is now for the base, whatever it says.
    #[arg(long)]
    based_on_head: bool,
    /// Why, for people.
    #[arg(long, value_name = "TEXT")]
    rationale: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn push(folder: &Path, args: PushArgs) -> Result<Code> {
    let document = checked(&args.file)?;
    let id = id_of(&document)?;
    let client = launch::client(folder).await?;
    let base = match (&args.base, args.based_on_head) {
        (Some(base), _) => Some(version(&client, &id, base).await?),
        (None, true) => head_if_any(&client, &id).await?,
        (None, false) => None,
    };
    let said = BlueprintSaid { base, rationale: args.rationale, label: None };
    let written = client.blueprint_write(&id, &document, &said).await?;
    if args.json {
        return print(&serde_json::to_string(&written)?);
    }
    for line in told(&written) {
        print(&line)?;
    }
    Ok(Code::Ok)
}

/// Gives the id that a document says; one that has been checked has one.
pub(super) fn id_of(document: &Value) -> Result<String> {
    let id = document["id"].as_str().ok_or_else(|| Failure::usage("the blueprint has no id"))?;
    Ok(id.to_owned())
}

/// Gives the head of a blueprint, when there is one.
pub(super) async fn head_if_any(client: &Client, id: &str) -> Result<Option<String>> {
    match client.blueprint_head(id).await {
        Ok(head) => Ok(Some(head.version)),
        Err(ClientError::Api { status: 404, .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Says what became of a write.
pub(super) fn told(written: &BlueprintWrittenView) -> Vec<String> {
    let warned = |lint: &adjutant_protocol::http::LintView| {
        format!("warning: {} at {} [{}]", visible(&lint.message), visible(&lint.pointer), lint.name)
    };
    let BlueprintWrittenView { id, version, seeded, diagnostics } = written;
    let line = match seeded {
        true => format!("{id} is at {version}"),
        false => format!("{id} was at {version} already"),
    };
    diagnostics.iter().map(warned).chain([line]).collect()
}

/// Finds the version that is meant: by its hash, by a part at its beginning that only one has, or by its label.
async fn version(client: &Client, id: &str, given: &str) -> Result<String> {
    if given.len() == VERSION_LEN {
        return Ok(given.to_owned());
    }
    let mut known: Vec<BlueprintVersionView> = client.blueprint_history(id, None, PAGE).await?.entries;
    let head = client.blueprint_head(id).await?;
    if head.entry.is_none() {
        return if !given.is_empty() && head.version.starts_with(given) {
            Ok(head.version)
        } else {
            Err(no_version(id, given))
        };
    }
    if let Some(labelled) = known.iter().find(|entry| entry.version_label.as_deref() == Some(given)) {
        return Ok(labelled.version.clone());
    }
    known.retain(|entry| !given.is_empty() && entry.version.starts_with(given));
    let Some(first) = known.first() else { return Err(no_version(id, given)) };
    // A document that stood twice is one version.
    match known.iter().find(|entry| entry.version != first.version) {
        None => Ok(first.version.clone()),
        Some(second) => {
            let message = format!("`{given}` may be {} or {}", first.version, second.version);
            Err(Failure::usage(message).hinted("give more of the version").into())
        }
    }
}

fn no_version(id: &str, given: &str) -> anyhow::Error {
    Failure::new(Code::NotFound, format!("there is no version `{given}` of the blueprint {id}"))
        .hinted(format!("`adjutant blueprint log {id}` lists them"))
        .into()
}

/// Gives all blueprints.
pub(super) async fn all(client: &Client, archived: Archived) -> Result<Vec<BlueprintEntryView>> {
    let mut found: Vec<BlueprintEntryView> = Vec::new();
    loop {
        let after = found.last().map(|entry| entry.id.clone());
        let page = client.blueprints(after.as_deref(), archived).await?.blueprints;
        let is_last = page.len() < PAGE;
        found.extend(page);
        if is_last {
            return Ok(found);
        }
    }
}

pub(super) async fn list(client: &Client, with_archived: bool, json: bool) -> Result<Code> {
    let archived = if with_archived { Archived::Shown } else { Archived::Hidden };
    let found = all(client, archived).await?;
    if json {
        return print(&serde_json::to_string(&found)?);
    }
    for entry in &found {
        print(&entry_line(entry))?;
    }
    Ok(Code::Ok)
}

fn entry_line(entry: &BlueprintEntryView) -> String {
    let state = match (entry.built_in, &entry.archived_at) {
        (_, Some(_)) => "archived",
        (true, None) => "built in",
        (false, None) => "",
    };
    let label = entry.version_label.as_deref().unwrap_or("-");
    let about = entry.description.as_deref().unwrap_or("");
    let line = format!(
        "{:<24} {}  {label:<10} {state:<8}  {}",
        entry.id,
        short(&entry.version),
        visible_line(about)
    );
    line.trim_end().to_owned()
}

fn short(version: &str) -> &str {
    version.get(..12).unwrap_or(version)
}

pub(super) async fn log(client: &Client, id: &str, limit: usize, json: bool) -> Result<Code> {
    let mut found = client.blueprint_history(id, None, limit.min(PAGE)).await?;
    while found.entries.len() < limit
        && let Some(last) = found.entries.last()
    {
        let left = (limit - found.entries.len()).min(PAGE);
        let page = client.blueprint_history(id, Some(last.number), left).await?;
        if page.entries.is_empty() {
            break;
        }
        found.entries.extend(page.entries);
        found.count = found.entries.len();
    }
    if json {
        return print(&serde_json::to_string(&found)?);
    }
    if found.entries.is_empty() {
        return print(&format!("{id} is built in; nothing is registered"));
    }
    for entry in &found.entries {
        print(&version_line(entry))?;
    }
    Ok(Code::Ok)
}

fn version_line(entry: &BlueprintVersionView) -> String {
    let label = entry.version_label.as_deref().unwrap_or("-");
    let line = format!(
        "{:>4}  {}  {label:<10} {}  {:<12}  {}",
        entry.number,
        short(&entry.version),
        entry.created_at,
        visible(&entry.author),
        visible_line(&entry.rationale)
    );
    line.trim_end().to_owned()
}

pub(super) async fn show(client: &Client, id: &str, named: Option<&str>, json: bool) -> Result<Code> {
    let found = match named {
        Some(named) => client.blueprint_version(id, &version(client, id, named).await?).await?,
        None => client.blueprint_head(id).await?,
    };
    if json {
        return print(&serde_json::to_string(&found)?);
    }
    for line in head_lines(&found) {
        print(&line)?;
    }
    print(to_yaml(&found.blueprint.into()).trim_end())
}

/// Says what a version is, as comments of the YAML that follows.
fn head_lines(found: &BlueprintDocumentView) -> Vec<String> {
    let mut lines = vec![format!("# {} at {}", found.id, found.version)];
    match &found.entry {
        Some(entry) => {
            lines.push(format!("# by {} at {}", visible(&entry.author), entry.created_at));
            if !entry.rationale.is_empty() {
                lines.push(format!("# {}", visible(&entry.rationale)));
            }
        }
        None => lines.push("# built in".to_owned()),
    }
    lines.extend(found.archived_at.as_ref().map(|at| format!("# archived at {at}")));
    lines
}

pub(super) async fn diff(
    client: &Client,
    id: &str,
    (from, to): (Option<&str>, Option<&str>),
    json: bool,
) -> Result<Code> {
    let from = match from {
        Some(from) => Some(version(client, id, from).await?),
        None => None,
    };
    let to = match to {
        Some(to) => Some(version(client, id, to).await?),
        None => None,
    };
    let found = client.blueprint_diff(id, from.as_deref(), to.as_deref()).await?;
    if json {
        return print(&serde_json::to_string(&found)?);
    }
    match found.text.trim_end() {
        "" => print("nothing changed"),
        text => print(&visible_lines(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_strangers_stay_on_their_line() {
        let entry = BlueprintVersionView {
            number: 3,
            version: "0123456789abcdef".to_owned(),
            hash: "0123456789abcdef".to_owned(),
            version_label: None,
            rationale: "tidy\n\u{1b}[2Jup".to_owned(),
            author: "host".to_owned(),
            parent: None,
            created_at: "2026-01-01T00:00:00Z".to_owned(),
        };
        let expected = "   3  0123456789ab  -          2026-01-01T00:00:00Z  host          tidy ␛[2Jup";
        assert_eq!(version_line(&entry), expected);
    }
}
