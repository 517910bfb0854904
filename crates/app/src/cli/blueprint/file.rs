//! A blueprint's file, with the texts and agents in other files that it refers to, and what is wrong with it.

use crate::exit::Failure;
use adjutant_engine::tasks::read_blueprint;
use adjutant_protocol::ExitCode as Code;
use adjutant_rules::blueprint::authoring;
use adjutant_rules::document::LintLevel;
use adjutant_rules::source::{self, PlacedLint};
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use anyhow::Result;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A file that a blueprint refers to has at most so many bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A file that was read.
pub(super) struct BlueprintFile {
    path: PathBuf,
    text: String,
    /// What it says with everything in its place; `None` when that cannot be told.
    document: Option<adjutant_model::Value>,
    lints: Vec<PlacedLint>,
}

/// Reads a blueprint that can run.
pub(crate) fn checked(path: &Path) -> Result<serde_json::Value> {
    let file = BlueprintFile::read(path)?;
    let errors: Vec<String> = file.errors().map(|lint| file.rendered(lint)).collect();
    match file.document {
        Some(document) if errors.is_empty() => Ok((&document).into()),
        Some(_) | None => {
            let (path, count) = (path.display(), errors.len());
            Err(Failure::usage(format!("{path} cannot run: {count} errors\n{}", errors.join("\n"))).into())
        }
    }
}

/// Reads a document, whatever it is.
pub(crate) fn document(path: &Path) -> Result<serde_json::Value> {
    let text = text(path)?;
    match source::read(&text) {
        Ok(source) => Ok(source.value().into()),
        Err(lints) => {
            let file = BlueprintFile { path: path.to_owned(), text, document: None, lints };
            let shown: Vec<String> = file.lints.iter().map(|lint| file.rendered(lint)).collect();
            Err(Failure::usage(format!("{} cannot be read\n{}", path.display(), shown.join("\n"))).into())
        }
    }
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| {
        let code = if error.kind() == io::ErrorKind::NotFound { Code::NotFound } else { Code::Usage };
        Failure::new(code, format!("{} cannot be read: {error}", path.display())).into()
    })
}

impl BlueprintFile {
    /// Reads a file and everything that it refers to.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = text(path)?;
        let (document, lints) = whole(path, &text);
        Ok(BlueprintFile { path: path.to_owned(), text, document, lints })
    }

    /// Gives all that is wrong with it, and what is probably not meant.
    pub(super) fn lints(&self) -> &[PlacedLint] {
        &self.lints
    }

    /// Gives what keeps it from running.
    pub(super) fn errors(&self) -> impl Iterator<Item = &PlacedLint> {
        self.lints.iter().filter(|placed| placed.lint.is_error())
    }

    /// Shows a lint at its line and column.
    pub(super) fn rendered(&self, placed: &PlacedLint) -> String {
        let (text, lint) = (self.text.as_str(), &placed.lint);
        let level = match lint.level {
            LintLevel::Error => Level::ERROR,
            LintLevel::Warning => Level::WARNING,
        };
        let path = self.path.to_string_lossy();
        let span = placed.span.bytes.start.min(text.len())..placed.span.bytes.end.min(text.len());
        let annotation = AnnotationKind::Primary.span(span);
        let snippet = Snippet::source(text).path(path.as_ref()).fold(true).annotation(annotation);
        let group = level.primary_title(lint.message.as_str()).id(lint.name).element(snippet);
        let group = match &lint.hint {
            Some(hint) => group.element(Level::HELP.message(hint.as_str())),
            None => group,
        };
        Renderer::plain().render(&[group])
    }
}

fn whole(path: &Path, text: &str) -> (Option<adjutant_model::Value>, Vec<PlacedLint>) {
    let source = match source::read(text) {
        Ok(source) => source,
        Err(lints) => return (None, lints),
    };
    let place = |lints: Vec<_>| lints.into_iter().map(|lint| source.place(lint)).collect();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match authoring::resolved(source.value(), &mut |named| referred(folder, named)) {
        Ok(document) => {
            let lints = match read_blueprint(&document) {
                Ok((_, warnings)) => warnings,
                Err(lints) => lints,
            };
            (Some(document), place(lints))
        }
        Err(lints) => (None, place(lints)),
    }
}

/// Reads a file below the blueprint's folder; a link that leads out of it is refused.
fn referred(folder: &Path, named: &str) -> Result<String, String> {
    let folder = folder.canonicalize().map_err(|error| error.to_string())?;
    let path = folder.join(named).canonicalize().map_err(|error| error.to_string())?;
    if !path.starts_with(&folder) {
        return Err("a link leads out of the blueprint's folder".to_owned());
    }
    let about = fs::metadata(&path).map_err(|error| error.to_string())?;
    if !about.is_file() {
        return Err("it is no file".to_owned());
    }
    if about.len() > FILE_BYTES_MAX {
        return Err(format!("it has more than {FILE_BYTES_MAX} bytes"));
    }
    fs::read_to_string(&path).map_err(|error| error.to_string())
}
