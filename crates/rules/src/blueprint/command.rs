//! Programs: commands of agents, and the templates that they share.

use super::agent::Unknown;
use super::fields::{argument, fields, optional, text};
use super::fill::{WORDS, unknown_words};
use super::support;
use crate::document::{Cursor, Lints};
use adjutant_model::Value;
use adjutant_model::blueprint::{CommandSpec, OkFrom, OutputFormat, OutputSpec, StatsSpec};
use std::collections::{BTreeMap, BTreeSet};

/// A command may take seven days, which is also the longest time to live of a run.
const TIMEOUT_MS_MAX: u64 = 604_800_000;

const FIELDS: [&str; 9] =
    ["program", "args", "argv", "use_stdin", "stdin", "env", "cwd", "timeout_ms", "output"];

/// The templates of a document.
pub(super) struct Templates {
    /// Those that could be read.
    pub(super) read: BTreeMap<String, CommandSpec>,
    /// The names of all, so that a mistake inside one is not reported as its absence too.
    pub(super) names: BTreeSet<String>,
}

/// Reads `templates`, or `subprocesses` as it is also written.
pub(super) fn templates(at: &Cursor<'_>, lints: &mut Lints) -> Templates {
    let mut templates = Templates { read: BTreeMap::new(), names: BTreeSet::new() };
    if let (Some(_), Some(other)) = (optional(at, "templates"), optional(at, "subprocesses")) {
        lints.error(&other, "two-names", "`templates` and `subprocesses` are one field; write one of them");
    }
    for key in ["templates", "subprocesses"] {
        let Some(list) = optional(at, key) else { continue };
        for entry in list.elements(lints) {
            let spec = template(&entry, lints);
            let Some(name_at) = entry.required("name", lints) else { continue };
            let Some(name) = name_at.string(lints) else { continue };
            if name.trim().is_empty() {
                lints.error(&name_at, "empty", "a template needs a name");
            } else if !templates.names.insert(name.to_owned()) {
                lints.error(
                    &name_at,
                    "duplicate-template-name",
                    format!("a second template is called `{name}`"),
                );
            } else if let Some(spec) = spec {
                templates.read.insert(name.to_owned(), spec);
            }
        }
    }
    templates
}

fn template(at: &Cursor<'_>, lints: &mut Lints) -> Option<CommandSpec> {
    let known: Vec<&str> = FIELDS.into_iter().chain(["name"]).collect();
    fields(at, &known, support::COMMAND, lints)?;
    let spec = command(at, lints);
    if spec.argv.is_empty() && !has_argv(at) {
        lints.error(at, "missing-field", "a template needs `argv`, or `program` and `args`");
    }
    refuse_unknown_words(at, lints);
    Some(spec)
}

/// Reads an agent's own command.
pub(super) fn agent_command(at: &Cursor<'_>, templates: &[&str], lints: &mut Lints) -> Option<CommandSpec> {
    let known: Vec<&str> = FIELDS.into_iter().chain(["template"]).collect();
    fields(at, &known, support::COMMAND, lints)?;
    let mut spec = command(at, lints);
    if let Some(template_at) = optional(at, "template") {
        spec.template = template_at.string(lints).map(str::to_owned);
        if let Some(name) = spec.template.as_deref().filter(|name| !templates.contains(name)) {
            Unknown { lint: "unknown-template", what: "template", name, known: templates }
                .refuse(&template_at, lints);
        }
    } else if spec.argv.is_empty() && !has_argv(at) {
        lints.error(at, "missing-field", "a command needs `program`, `argv` or `template`");
    }
    Some(spec)
}

fn has_argv(at: &Cursor<'_>) -> bool {
    ["argv", "program", "args"].iter().any(|key| optional(at, key).is_some())
}

fn command(at: &Cursor<'_>, lints: &mut Lints) -> CommandSpec {
    let use_stdin = optional(at, "use_stdin").and_then(|flag| flag.boolean(lints));
    if let (Some(true), Some(stdin)) = (use_stdin, optional(at, "stdin")) {
        lints.error(
            &stdin,
            "two-sources",
            "with `use_stdin` the step's input is on standard input, so `stdin` cannot be",
        );
    }
    CommandSpec {
        template: None,
        argv: argv(at, lints),
        use_stdin,
        stdin: text(at, "stdin", lints),
        env: env(at, lints),
        cwd: optional(at, "cwd").and_then(|cwd| folder(&cwd, lints)),
        timeout_ms: optional(at, "timeout_ms").and_then(|ms| ms.whole(1, TIMEOUT_MS_MAX, lints)),
        output: optional(at, "output").map(|output| output_spec(&output, lints)),
    }
}

fn argv(at: &Cursor<'_>, lints: &mut Lints) -> Vec<String> {
    match (optional(at, "argv"), optional(at, "program"), optional(at, "args")) {
        (Some(argv), None, None) => arguments(&argv, lints),
        (None, Some(program), args) => {
            let mut argv: Vec<String> = argument(&program, lints).into_iter().collect();
            if argv.first().is_some_and(|program| program.trim().is_empty()) {
                lints.error(&program, "empty", "no program is named");
            }
            if let Some(args) = args {
                argv.extend(args.elements(lints).iter().filter_map(|item| argument(item, lints)));
            }
            argv
        }
        (None, None, Some(args)) => {
            lints.error(&args, "missing-program", "`args` need a `program`");
            Vec::new()
        }
        (Some(argv), Some(_), _) | (Some(argv), None, Some(_)) => {
            lints.error(&argv, "two-names", "write either `argv` or `program` and `args`");
            Vec::new()
        }
        (None, None, None) => Vec::new(),
    }
}

/// Takes program and arguments as one list.
pub(super) fn arguments(at: &Cursor<'_>, lints: &mut Lints) -> Vec<String> {
    let items = at.elements(lints);
    let argv: Vec<String> = items.iter().filter_map(|item| argument(item, lints)).collect();
    if at.value().as_array().is_some() && argv.first().is_none_or(|program| program.trim().is_empty()) {
        lints.error(at, "empty", "no program is named");
    }
    argv
}

fn env(at: &Cursor<'_>, lints: &mut Lints) -> BTreeMap<String, String> {
    let Some(env) = optional(at, "env") else { return BTreeMap::new() };
    let mut variables = BTreeMap::new();
    for (name, value_at) in env.entries(lints) {
        if name.is_empty() || name.contains(['=', '\0']) {
            lints.error(&value_at, "invalid-variable", "a variable's name is not empty and has no `=`");
        } else if let Some(value) = argument(&value_at, lints) {
            variables.insert(name.to_owned(), value);
        }
    }
    variables
}

/// Takes a folder below the workspace; `{work_dir}` at its beginning says the same and is dropped.
fn folder(at: &Cursor<'_>, lints: &mut Lints) -> Option<String> {
    let given = argument(at, lints)?;
    let path = match given.strip_prefix("{work_dir}") {
        Some("") => ".",
        Some(rest) => rest.strip_prefix('/').unwrap_or(&given),
        None => &given,
    };
    let leaves = path.starts_with('/') || path.split('/').any(|part| part == "..");
    if path.is_empty() || leaves {
        let hint = "a relative path without `..`";
        lints.error_with_hint(at, "cwd-outside", "the folder must be below the workspace", hint);
        return None;
    }
    if WORDS.iter().any(|word| path.contains(&format!("{{{word}}}"))) {
        lints.error(at, "cwd-placeholder", "a folder has no placeholders but `{work_dir}` at its beginning");
        return None;
    }
    Some(path.to_owned())
}

fn output_spec(at: &Cursor<'_>, lints: &mut Lints) -> OutputSpec {
    if fields(at, &["format", "result_ptr", "ok_from", "stats"], &[], lints).is_none() {
        return OutputSpec::default();
    }
    let format = optional(at, "format").and_then(|format| output_format(&format, lints)).unwrap_or_default();
    let ok_from = match optional(at, "ok_from") {
        Some(at) if at.value().as_str() == Some("exit_code") => OkFrom::ExitCode,
        Some(at) => {
            pointer(&at, "`exit_code` or a JSON pointer", lints).map(OkFrom::Pointer).unwrap_or_default()
        }
        None => OkFrom::ExitCode,
    };
    let result_ptr = optional(at, "result_ptr").and_then(|at| pointer(&at, "a JSON pointer", lints));
    let spec = OutputSpec { format, result_ptr, ok_from, stats: stats_spec(at, lints) };
    let points =
        spec.result_ptr.is_some() || spec.ok_from != OkFrom::ExitCode || spec.stats != StatsSpec::default();
    if spec.format == OutputFormat::Text && points {
        lints.error(at, "pointer-into-text", "text has no places that a pointer could point at");
    }
    spec
}

fn stats_spec(at: &Cursor<'_>, lints: &mut Lints) -> StatsSpec {
    let Some(at) = optional(at, "stats") else { return StatsSpec::default() };
    if fields(&at, &["usage_ptr", "model_ptr", "num_turns_ptr"], &[], lints).is_none() {
        return StatsSpec::default();
    }
    let mut read = |key| optional(&at, key).and_then(|at| pointer(&at, "a JSON pointer", lints));
    StatsSpec {
        usage_ptr: read("usage_ptr"),
        model_ptr: read("model_ptr"),
        num_turns_ptr: read("num_turns_ptr"),
    }
}

fn output_format(at: &Cursor<'_>, lints: &mut Lints) -> Option<OutputFormat> {
    match at.string(lints)? {
        "auto" => Some(OutputFormat::Auto),
        "json" => Some(OutputFormat::Json),
        "text" => Some(OutputFormat::Text),
        "stream_json" => Some(OutputFormat::StreamJson),
        "codex_json" => Some(OutputFormat::CodexJson),
        other => {
            let hint = "formats: auto, json, text, stream_json, codex_json";
            lints.error_with_hint(at, "unknown-format", format!("unknown format `{other}`"), hint);
            None
        }
    }
}

/// Takes an RFC 6901 pointer: empty, or a slash before each token, and `~` only as `~0` or `~1`.
fn pointer(at: &Cursor<'_>, expected: &str, lints: &mut Lints) -> Option<String> {
    let text = at.string(lints)?;
    let escapes_fit = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    if !escapes_fit || !(text.is_empty() || text.starts_with('/')) {
        lints.error_with_hint(at, "invalid-pointer", format!("expected {expected}"), "for example `/result`");
        return None;
    }
    Some(text.to_owned())
}

/// Refuses words in braces that nothing fills, wherever a template has text.
fn refuse_unknown_words(at: &Cursor<'_>, lints: &mut Lints) {
    for key in ["program", "args", "argv", "stdin", "env"] {
        if let Some(member) = optional(at, key) {
            refuse_unknown_words_in(&member, lints);
        }
    }
}

fn refuse_unknown_words_in(at: &Cursor<'_>, lints: &mut Lints) {
    match at.value() {
        Value::String(text) => {
            for word in unknown_words(text) {
                let hint = format!("placeholders: {}", WORDS.join(", "));
                lints.error_with_hint(at, "unknown-placeholder", format!("nothing fills {{{word}}}"), hint);
            }
        }
        Value::Array(_) => at.elements(lints).iter().for_each(|item| refuse_unknown_words_in(item, lints)),
        Value::Object(_) => {
            at.entries(lints).iter().for_each(|(_, item)| refuse_unknown_words_in(item, lints))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
