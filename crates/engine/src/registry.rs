//! Blueprints as versioned data: registering, finding, comparing and archiving them.
//!
//! A version is a document, named by the hash of its canonical text. A write names the head that it was based on, and
//! the store moves the head only from there; so nothing is lost when many write at once. What is built in goes by the
//! same ids and is the head where nothing is registered. An id names rows, never a path.

use crate::blueprints::{self, Callees, Ready};
use crate::clock;
use crate::enhance;
use crate::error::EngineError;
use crate::plane::Core;
use crate::record;
use adjutant_model::event::Event;
use adjutant_model::registry::{BlueprintAbout, BlueprintHead, BlueprintVersion};
pub use adjutant_model::registry::{BlueprintBase, VersionSelector};
use adjutant_model::{Timestamp, Value};
use adjutant_rules::blueprint::registry::{Admitted, Standing, WriteRefusal, admit, highest, is_version};
use adjutant_rules::blueprint::{self, changed_lines, hash, is_id, is_semver};
use adjutant_rules::document::{Lint, LintLevel};
use adjutant_rules::source::to_yaml;
use adjutant_store::{Draft, HeadFilter, Write, WriteError};
use std::sync::Arc;

/// A blueprint's canonical text has at most so many bytes.
const DOCUMENT_BYTES_MAX: usize = 2 << 20;
/// A rationale has at most so many bytes.
const RATIONALE_BYTES_MAX: usize = 4096;
/// A requirement is held against so many of the newest labels.
const LABELS_MAX: usize = 10_000;

/// A version to be.
#[derive(Debug, Clone, PartialEq)]
pub struct BlueprintWrite {
    /// The blueprint; the document must have the same id.
    pub id: String,
    /// What it says.
    pub document: Value,
    /// What it was based on.
    pub base: BlueprintBase,
    /// Why it is written, for people.
    pub rationale: String,
    /// Its label, when the document's own `version_label` does not say it.
    pub label: Option<String>,
}

/// A version that is the head now.
#[derive(Debug, Clone, PartialEq)]
pub struct BlueprintWritten {
    /// SHA-256 of its canonical JSON, as 64 hex digits.
    pub version: String,
    /// Whether it is new; not when the head held the same document already.
    pub created: bool,
    /// What is probably not meant in it.
    pub warnings: Vec<Lint>,
}

/// A version with its document.
#[derive(Debug, Clone, PartialEq)]
pub struct BlueprintDocument {
    /// The blueprint.
    pub id: String,
    /// SHA-256 of its canonical JSON, as 64 hex digits.
    pub version: String,
    /// What it says.
    pub document: Value,
    /// Who wrote it, when and why; `None` when it is built in.
    pub entry: Option<BlueprintVersion>,
    /// When the blueprint was archived.
    pub archived_at: Option<Timestamp>,
}

/// A blueprint as lists show it.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedBlueprint {
    /// Its id.
    pub id: String,
    /// Its head.
    pub version: String,
    /// The head's label.
    pub label: Option<String>,
    /// What its document says of it.
    pub about: BlueprintAbout,
    /// Who wrote the head, when and why; `None` when it is built in.
    pub entry: Option<BlueprintVersion>,
    /// When it was archived.
    pub archived_at: Option<Timestamp>,
}

/// Which blueprints to list; see [`HeadFilter`].
pub type BlueprintFilter = HeadFilter;

/// What changed from one version to another.
#[derive(Debug, Clone, PartialEq)]
pub struct BlueprintDiff {
    /// The one.
    pub from: String,
    /// The other.
    pub to: String,
    /// The operations that make the other of the one, by RFC 6902.
    pub patch: Value,
    /// The lines that changed, for people.
    pub text: String,
}

/// Writes a version by an author's name; `extra` is committed with it, and alone when the head held the document
/// already.
///
/// # Errors
/// [`EngineError::Blueprint`] when it cannot run, [`EngineError::BlueprintConflict`] when the head is not the one that
/// was named, [`EngineError::BlueprintArchived`]; nothing was kept then, of `extra` neither.
pub(crate) async fn write(
    core: &Core,
    author: &str,
    write: BlueprintWrite,
    extra: Option<Write>,
) -> Result<BlueprintWritten, EngineError> {
    let base = write.base.clone();
    let candidate = Candidate::checked(core, author, write)?;
    // What it calls must be there and come to an end as things stand; each run looks again.
    blueprints::link(core, candidate.ready.clone(), Callees::With(&candidate.ready)).await?;
    let written = |created| BlueprintWritten {
        version: candidate.version.clone(),
        created,
        warnings: candidate.warnings.clone(),
    };
    let mut head = core.store.blueprint_head(&candidate.id).await?;
    loop {
        let known = Known::of(core, &candidate.id, head.as_ref());
        let standing = known.as_ref().map(Known::standing);
        let admitted = admit(standing, &base, &candidate.version)
            .map_err(|refusal| refused(&candidate.id, &base, known.as_ref(), refusal))?;
        if admitted == Admitted::Same {
            if let Some(extra) = extra {
                core.store.write(extra).await?;
            }
            return Ok(written(false));
        }
        let mut all = extra.clone().unwrap_or_default();
        all.append(candidate.put(known.as_ref(), clock::now()));
        match core.store.write(all).await {
            Ok(_) => {
                // An issue may have waited for it.
                core.jobs.nudge(enhance::JOB);
                return Ok(written(true));
            }
            Err(error @ WriteError::RowsUnexpected { .. }) => {
                let now = core.store.blueprint_head(&candidate.id).await?;
                // Where the head stands as it stood, it was not the head that refused the write.
                if now == head {
                    return Err(error.into());
                }
                head = now;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// A version that may become the head.
struct Candidate {
    id: String,
    version: String,
    canonical: String,
    author: String,
    rationale: String,
    label: Option<String>,
    about: BlueprintAbout,
    warnings: Vec<Lint>,
    ready: Arc<Ready>,
}

impl Candidate {
    fn checked(core: &Core, author: &str, write: BlueprintWrite) -> Result<Self, EngineError> {
        let BlueprintWrite { id, document, base, rationale, label } = write;
        check_id(&id)?;
        if let BlueprintBase::Version(version) = &base {
            check_version(version)?;
        }
        if rationale.len() > RATIONALE_BYTES_MAX {
            let message = format!(
                "a rationale has at most {RATIONALE_BYTES_MAX} bytes, this one has {}",
                rationale.len()
            );
            return Err(EngineError::invalid(message));
        }
        check_same_id(&id, &document)?;
        let ready = core.blueprints.ready(&document).map_err(|lints| EngineError::Blueprint { lints })?;
        if ready.canonical.len() > DOCUMENT_BYTES_MAX {
            return Err(EngineError::invalid(format!("a blueprint has at most {DOCUMENT_BYTES_MAX} bytes")));
        }
        let metadata = &ready.blueprint.metadata;
        Ok(Candidate {
            id,
            version: ready.version.clone(),
            canonical: ready.canonical.clone(),
            author: author.to_owned(),
            rationale: record::text(&rationale),
            label: chosen_label(label, metadata.version_label.as_deref())?,
            about: BlueprintAbout {
                description: metadata.description.as_deref().map(record::text),
                tags: metadata.tags.clone(),
            },
            warnings: ready.warnings.clone(),
            ready,
        })
    }

    /// Makes it the head behind what is known.
    fn put(&self, known: Option<&Known<'_>>, now: Timestamp) -> Write {
        let version = BlueprintVersion {
            id: self.id.clone(),
            number: known.map_or(0, Known::number) + 1,
            version: self.version.clone(),
            parent: known.map(|known| known.version.clone()),
            author: self.author.clone(),
            rationale: self.rationale.clone(),
            label: self.label.clone(),
            created_at: now,
        };
        let mut write = Write::default();
        if let Some(built_in) = known.and_then(|known| known.built_in) {
            // The parent stays readable when another release builds in something else.
            write.blueprint_put(&hash(built_in), &self.id, &blueprint::canonical(built_in));
        }
        write.blueprint_put(&self.version, &self.id, &self.canonical);
        write.blueprint_version_put(&version, &self.about);
        write.journal(Draft {
            at: now,
            actor: self.author.clone().into(),
            subject: subject(&self.id),
            event: Event::BlueprintWritten {
                version: version.version,
                number: version.number,
                parent: version.parent,
                label: version.label,
            },
        });
        write
    }
}

/// What an id names: the registered blueprint, else the built-in one.
struct Known<'k> {
    version: String,
    registered: Option<&'k BlueprintHead>,
    built_in: Option<&'k Value>,
}

impl<'k> Known<'k> {
    fn of(core: &'k Core, id: &str, head: Option<&'k BlueprintHead>) -> Option<Self> {
        let built_in = core.settings.blueprints.get(id);
        match (head, built_in) {
            (Some(head), _) => {
                Some(Known { version: head.newest.version.clone(), registered: Some(head), built_in: None })
            }
            (None, Some(document)) => {
                Some(Known { version: hash(document), registered: None, built_in: Some(document) })
            }
            (None, None) => None,
        }
    }

    fn standing(&self) -> Standing<'_> {
        let archived = self.registered.is_some_and(|head| head.archived_at.is_some());
        Standing { version: &self.version, archived }
    }

    /// Gives the number of the head; a built-in blueprint counts for none.
    fn number(&self) -> u64 {
        self.registered.map_or(0, |head| head.newest.number)
    }
}

fn refused(id: &str, base: &BlueprintBase, known: Option<&Known<'_>>, refusal: WriteRefusal) -> EngineError {
    let head = known.map(|known| known.version.clone());
    let (shown_head, named) = (
        head.as_deref().unwrap_or("none"),
        match base {
            BlueprintBase::CreateOnly => "none",
            BlueprintBase::Version(version) => version,
        },
    );
    let (message, hint) = match refusal {
        WriteRefusal::Archived => return EngineError::BlueprintArchived(id.to_owned()),
        WriteRefusal::Exists => (
            format!("the blueprint {id} is there already; its head is {shown_head}"),
            "name the head that your change is based on, by `?base=`, `If-Match`, or `--base` of `adjutant blueprint push`".to_owned(),
        ),
        WriteRefusal::Moved => (
            format!("the blueprint {id} has moved on: its head is {shown_head}, not {named}"),
            format!(
                "see `adjutant blueprint diff {id} {named} {shown_head}`, and base your change on the head"
            ),
        ),
        WriteRefusal::Missing => (
            format!("there is no blueprint {id} that a change could be based on"),
            "leave the base out to register the first version".to_owned(),
        ),
    };
    EngineError::BlueprintConflict { id: id.to_owned(), head, message, hint }
}

fn chosen_label(said: Option<String>, documents: Option<&str>) -> Result<Option<String>, EngineError> {
    match (said, documents) {
        (Some(said), Some(documents)) if said != documents => Err(EngineError::invalid(format!(
            "the label `{said}` is not the document's own `version_label`, which is `{documents}`"
        ))),
        (Some(said), _) if !is_semver(&said) => {
            Err(EngineError::invalid(format!("the label `{said}` is no semantic version such as 0.1.0")))
        }
        (said, documents) => Ok(said.or_else(|| documents.map(str::to_owned))),
    }
}

/// Refuses a document that calls itself something else.
fn check_same_id(id: &str, document: &Value) -> Result<(), EngineError> {
    match document.get("id").and_then(Value::as_str) {
        Some(own) if own != id => {
            let own: String = own.chars().take(80).collect();
            let lint = Lint {
                level: LintLevel::Error,
                name: "id-mismatch",
                pointer: "/id".to_owned(),
                message: format!("the document calls itself `{own}` and is written as `{id}`"),
                hint: Some("an id never changes; register the document under its own".to_owned()),
            };
            Err(EngineError::Blueprint { lints: vec![lint] })
        }
        // Without an id the reader says what is missing.
        Some(_) | None => Ok(()),
    }
}

fn check_id(id: &str) -> Result<(), EngineError> {
    if is_id(id) {
        return Ok(());
    }
    let shown: String = id.chars().take(80).collect();
    Err(EngineError::Invalid {
        message: format!("`{shown}` is no blueprint's id"),
        hint: Some("1 to 64 of a-z, 0-9, `.`, `_`, `-`, beginning with a letter or digit".to_owned()),
    })
}

fn check_version(version: &str) -> Result<(), EngineError> {
    if is_version(version) {
        return Ok(());
    }
    let shown: String = version.chars().take(80).collect();
    Err(EngineError::Invalid {
        message: format!("`{shown}` is no version of a blueprint"),
        hint: Some("64 hex digits, as the head and the history give them".to_owned()),
    })
}

fn subject(id: &str) -> Arc<str> {
    format!("blueprint:{id}").into()
}

/// Gives a blueprint's head with its document; an archived one too, which says so.
pub(crate) async fn head(core: &Core, id: &str) -> Result<BlueprintDocument, EngineError> {
    check_id(id)?;
    match core.store.blueprint_head(id).await? {
        Some(head) => registered(core, head.newest, head.archived_at).await,
        None => built_in(core, id),
    }
}

/// Gives a version with its document.
pub(crate) async fn version(core: &Core, id: &str, version: &str) -> Result<BlueprintDocument, EngineError> {
    check_id(id)?;
    check_version(version)?;
    let found = core.store.blueprint_version(id, version).await?;
    let head = core.store.blueprint_head(id).await?;
    let archived_at = head.as_ref().and_then(|head| head.archived_at);
    if let Some(found) = found {
        return registered(core, found, archived_at).await;
    }
    let built_in = built_in(core, id).ok().filter(|built_in| built_in.version == version);
    match built_in {
        Some(built_in) => Ok(BlueprintDocument { archived_at, ..built_in }),
        None => Err(EngineError::not_found("version", format!("{version} of the blueprint {id}"))),
    }
}

async fn registered(
    core: &Core,
    entry: BlueprintVersion,
    archived_at: Option<Timestamp>,
) -> Result<BlueprintDocument, EngineError> {
    let document = crate::tasks::document_kept(core, &entry.version).await?;
    Ok(BlueprintDocument {
        id: entry.id.clone(),
        version: entry.version.clone(),
        document,
        entry: Some(entry),
        archived_at,
    })
}

fn built_in(core: &Core, id: &str) -> Result<BlueprintDocument, EngineError> {
    let document = core.settings.blueprints.get(id).ok_or_else(|| EngineError::not_found("blueprint", id))?;
    Ok(BlueprintDocument {
        id: id.to_owned(),
        version: hash(document),
        document: document.clone(),
        entry: None,
        archived_at: None,
    })
}

/// Gives the version that a selector means, and its document.
///
/// # Errors
/// [`EngineError::NotFound`], [`EngineError::BlueprintArchived`], [`EngineError::Invalid`] for a requirement that is
/// none.
pub(crate) async fn resolve(
    core: &Core,
    id: &str,
    selector: &VersionSelector,
) -> Result<(String, Value), EngineError> {
    let found = match selector {
        VersionSelector::Latest => head(core, id).await?,
        VersionSelector::Fixed(wanted) => version(core, id, wanted).await?,
        VersionSelector::SemverReq(requirement) => {
            let head = head(core, id).await?;
            refuse_archived(&head)?;
            let wanted = labelled(core, &head, requirement).await?;
            if wanted == head.version { head } else { version(core, id, &wanted).await? }
        }
    };
    refuse_archived(&found)?;
    Ok((found.version, found.document))
}

fn refuse_archived(found: &BlueprintDocument) -> Result<(), EngineError> {
    match found.archived_at {
        Some(_) => Err(EngineError::BlueprintArchived(found.id.clone())),
        None => Ok(()),
    }
}

/// Finds the version with the highest label that a requirement lets through.
async fn labelled(core: &Core, head: &BlueprintDocument, requirement: &str) -> Result<String, EngineError> {
    let mut labels = core.store.blueprint_labels(&head.id, LABELS_MAX).await?;
    if head.entry.is_none() {
        let label = head.document.pointer("/metadata/version_label").and_then(Value::as_str);
        labels.extend(label.map(|label| (label.to_owned(), head.version.clone())));
    }
    let pairs = labels.iter().map(|(label, version)| (label.as_str(), version));
    match highest(requirement, pairs) {
        Ok(Some(version)) => Ok(version.clone()),
        Ok(None) => {
            let requirement: String = requirement.chars().take(80).collect();
            Err(EngineError::not_found(
                "version",
                format!("of the blueprint {} with a label that {requirement} lets through", head.id),
            ))
        }
        Err(error) => Err(EngineError::Invalid {
            message: error.to_string(),
            hint: Some("for example `^1.2`, `~1.2.3` or `>=1.0.0, <2.0.0`".to_owned()),
        }),
    }
}

/// Gives versions, those before a number or all, the newest first; of what is only built in there is none.
pub(crate) async fn history(
    core: &Core,
    id: &str,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<BlueprintVersion>, EngineError> {
    check_id(id)?;
    let found = core.store.blueprint_versions(id, before, limit).await?;
    if found.is_empty() {
        head_known(core, id).await?;
    }
    Ok(found)
}

async fn head_known(core: &Core, id: &str) -> Result<(), EngineError> {
    let is_known =
        core.settings.blueprints.contains_key(id) || core.store.blueprint_head(id).await?.is_some();
    if is_known { Ok(()) } else { Err(EngineError::not_found("blueprint", id)) }
}

/// Says what changed; without `to` up to the head, without `from` since the version that `to` was based on.
pub(crate) async fn diff(
    core: &Core,
    id: &str,
    from: Option<&str>,
    to: Option<&str>,
) -> Result<BlueprintDiff, EngineError> {
    let to = match to {
        Some(to) => version(core, id, to).await?,
        None => head(core, id).await?,
    };
    let parent = to.entry.as_ref().and_then(|entry| entry.parent.as_deref());
    let Some(from) = from.or(parent) else {
        let message =
            format!("{} is the first version of the blueprint {id}; say what to compare it with", to.version);
        return Err(EngineError::Invalid { message, hint: Some("`from` takes a version".to_owned()) });
    };
    let from = match version(core, id, from).await {
        // The first version of all may be based on what another release had built in.
        Err(EngineError::NotFound { .. }) if parent == Some(from) => kept_parent(core, id, from).await?,
        found => found?,
    };
    Ok(BlueprintDiff {
        patch: blueprint::patch(&from.document, &to.document),
        text: changed_lines(&to_yaml(&from.document), &to_yaml(&to.document)),
        from: from.version,
        to: to.version,
    })
}

async fn kept_parent(core: &Core, id: &str, version: &str) -> Result<BlueprintDocument, EngineError> {
    let document = crate::tasks::document_kept(core, version).await?;
    Ok(BlueprintDocument {
        id: id.to_owned(),
        version: version.to_owned(),
        document,
        entry: None,
        archived_at: None,
    })
}

/// Lists blueprints in the order of their ids, built-in ones among them.
pub(crate) async fn list(core: &Core, filter: BlueprintFilter) -> Result<Vec<ListedBlueprint>, EngineError> {
    let (limit, after) = (filter.limit, filter.after.clone());
    let heads = core.store.blueprint_heads(filter).await?;
    let mut listed: Vec<ListedBlueprint> = heads.into_iter().map(listed_head).collect();
    for (id, document) in &core.settings.blueprints {
        let is_behind = after.as_ref().is_none_or(|after| id > after);
        // An archived one hides what is built in.
        if is_behind && core.store.blueprint_head(id).await?.is_none() {
            listed.push(listed_built_in(id, document));
        }
    }
    listed.sort_by(|a, b| a.id.cmp(&b.id));
    listed.truncate(limit);
    Ok(listed)
}

fn listed_head(head: BlueprintHead) -> ListedBlueprint {
    let BlueprintHead { newest, about, archived_at } = head;
    ListedBlueprint {
        id: newest.id.clone(),
        version: newest.version.clone(),
        label: newest.label.clone(),
        about,
        entry: Some(newest),
        archived_at,
    }
}

fn listed_built_in(id: &str, document: &Value) -> ListedBlueprint {
    let text = |key: &str| document.pointer(key).and_then(Value::as_str).map(str::to_owned);
    let tags = document.pointer("/metadata/tags").and_then(Value::as_array).unwrap_or_default();
    let about = BlueprintAbout {
        description: text("/metadata/description"),
        tags: tags.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
    };
    ListedBlueprint {
        id: id.to_owned(),
        version: hash(document),
        label: text("/metadata/version_label"),
        about,
        entry: None,
        archived_at: None,
    }
}

/// Archives a blueprint, or takes it out of the archive; what is so already stays.
pub(crate) async fn archive(
    core: &Core,
    author: &str,
    id: &str,
    archived: Archived,
) -> Result<(), EngineError> {
    check_id(id)?;
    loop {
        let Some(head) = core.store.blueprint_head(id).await? else {
            return archive_built_in(core, id, archived);
        };
        if head.archived_at.is_some() == (archived == Archived::Yes) {
            return Ok(());
        }
        let now = clock::now();
        let mut write = Write::default();
        let (at, event) = match archived {
            Archived::Yes => (Some(now), Event::BlueprintArchived {}),
            Archived::No => (None, Event::BlueprintUnarchived {}),
        };
        write.blueprint_archive(id, at);
        write.journal(Draft { at: now, actor: author.to_owned().into(), subject: subject(id), event });
        match core.store.write(write).await {
            // Somebody else was faster; what they left is looked at.
            Err(WriteError::RowsUnexpected { .. }) => {}
            written => {
                written?;
                core.jobs.nudge(enhance::JOB);
                return Ok(());
            }
        }
    }
}

/// Whether a blueprint is archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Archived {
    Yes,
    No,
}

fn archive_built_in(core: &Core, id: &str, archived: Archived) -> Result<(), EngineError> {
    match (core.settings.blueprints.contains_key(id), archived) {
        (false, _) => Err(EngineError::not_found("blueprint", id)),
        (true, Archived::No) => Ok(()),
        (true, Archived::Yes) => Err(EngineError::Conflict {
            message: format!("the blueprint {id} is built in and cannot be archived"),
            hint: Some("register one of the same id, which goes before it, and archive that".to_owned()),
        }),
    }
}
