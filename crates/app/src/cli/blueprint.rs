//! `adjutant blueprint …`: what is wrong with a document, at line and column.

use super::print;
use crate::exit::Failure;
use adjutant_engine::tasks::read_blueprint;
use adjutant_protocol::ExitCode as Code;
use adjutant_rules::document::LintLevel;
use adjutant_rules::source::{self, PlacedLint};
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use anyhow::Result;
use clap::Subcommand;
use std::path::{Path, PathBuf};

/// What to do with blueprints.
#[derive(Debug, Subcommand)]
pub(crate) enum BlueprintCommand {
    /// Say everything that is wrong with a blueprint.
    Lint {
        /// The file, YAML or JSON.
        file: PathBuf,
    },
}

pub(crate) fn run(command: BlueprintCommand) -> Result<Code> {
    match command {
        BlueprintCommand::Lint { file } => {
            let text = text(&file)?;
            let lints = lints(&text);
            for lint in &lints {
                print(&rendered(&file, &text, lint))?;
            }
            match lints.iter().filter(|lint| lint.lint.level == LintLevel::Error).count() {
                0 => print(&format!("{} can run; {} warnings", file.display(), lints.len())),
                errors => {
                    Err(Failure::usage(format!("{} cannot run: {errors} errors", file.display())).into())
                }
            }
        }
    }
}

/// Reads a blueprint that can run.
pub(crate) fn checked(file: &Path) -> Result<serde_json::Value> {
    let text = text(file)?;
    let lints = lints(&text);
    let errors: Vec<_> = lints.iter().filter(|lint| lint.lint.level == LintLevel::Error).collect();
    if !errors.is_empty() {
        let shown: Vec<String> = errors.iter().map(|lint| rendered(file, &text, lint)).collect();
        let message = format!("{} cannot run: {} errors\n{}", file.display(), errors.len(), shown.join("\n"));
        return Err(Failure::usage(message).into());
    }
    let source = source::read(&text).map_err(|_| Failure::usage("the blueprint cannot be read"))?;
    Ok(source.value().into())
}

/// Reads a document, whatever it is.
pub(crate) fn document(file: &Path) -> Result<serde_json::Value> {
    let text = text(file)?;
    let source = source::read(&text).map_err(|lints| {
        let shown: Vec<String> = lints.iter().map(|lint| rendered(file, &text, lint)).collect();
        Failure::usage(format!("{} cannot be read\n{}", file.display(), shown.join("\n")))
    })?;
    Ok(source.value().into())
}

fn text(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).map_err(|error| {
        let code = if error.kind() == std::io::ErrorKind::NotFound { Code::NotFound } else { Code::Usage };
        Failure::new(code, format!("{} cannot be read: {error}", file.display())).into()
    })
}

fn lints(text: &str) -> Vec<PlacedLint> {
    let source = match source::read(text) {
        Ok(source) => source,
        Err(lints) => return lints,
    };
    let lints = match read_blueprint(source.value()) {
        Ok((_, warnings)) => warnings,
        Err(lints) => lints,
    };
    lints.into_iter().map(|lint| source.place(lint)).collect()
}

fn rendered(file: &Path, text: &str, lint: &PlacedLint) -> String {
    let level = match lint.lint.level {
        LintLevel::Error => Level::ERROR,
        LintLevel::Warning => Level::WARNING,
    };
    let path = file.to_string_lossy();
    let span = lint.span.bytes.start.min(text.len())..lint.span.bytes.end.min(text.len());
    let snippet =
        Snippet::source(text).path(path.as_ref()).fold(true).annotation(AnnotationKind::Primary.span(span));
    let group = level.primary_title(lint.lint.message.as_str()).id(lint.lint.name).element(snippet);
    let group = match &lint.lint.hint {
        Some(hint) => group.element(Level::HELP.message(hint.as_str())),
        None => group,
    };
    Renderer::plain().render(&[group])
}
