//! Every field that a blueprint may have, and what becomes of it: it is enforced, or kept and shown, or refused with
//! what to do instead. No field is taken that would change nothing.
//!
//! | field | what becomes of it |
//! | --- | --- |
//! | `schema_version` | enforced: 0.x can be read |
//! | `id` | enforced: never changes, never a path |
//! | `flow`, `agents`, `templates` (also `subprocesses`) | enforced |
//! | `default_init_ctx` | enforced: lies under a task's `init_ctx` |
//! | `strategy` | `strict_refs: true`, `strict_kind: true`, `strict_binding: false` are what holds; other values refused |
//! | `metadata.description`, `tags` | kept, shown in lists |
//! | `metadata.origin` | checked, kept, shown |
//! | `metadata.version_label` | enforced: what `semver_req` selects by |
//! | `metadata.default_run_ttl_secs` | enforced |
//! | `metadata.lints`, agent `lints` | enforced: `allow`, `warn`, `deny` for warnings, see `levels.rs` |
//! | `metadata.project_name_alias`, `strict_verdict_handling` | refused |
//! | `metas`, `hints`, `default_agent_ctx`, `default_context_policy`, `$step_meta` | refused: an agent gets its step's input and no more |
//! | `projection_placement`, `audits`, `degradation_policy`, `check_policy`, `blueprint_ref_includes` | refused |
//! | `operators` (`name`, `display_name`, `kind`) | enforced: the seats of a run; `spec`, `profile` and `meta` refused |
//! | `spawner_hints.layers`, `default_operator_kind` | enforced: who stands around which steps |
//! | `default_agent_kind` | enforced: the kind of agents that say none |
//! | `runners`, `default_runner`, agent `runner`, `runner_ref` | enforced: what an operator is told to start; other backends refused |
//! | agent `verdict` | enforced: compared with conditions, and with results before they are kept |
//! | agent `name`, `kind`, `spec`, `description` | enforced; the description is shown |
//! | agent `max_concurrency` | enforced over all runs of the daemon |
//! | agent `profile.system_prompt`, `model`, `tools` | enforced: they fill placeholders; a session is told the prompt first, and takes no `tools` |
//! | agent `profile.description` | kept, shown |
//! | agent `profile.effort`, `extras`, `version_hash`, `worker_binding` | refused |
//! | agent `meta.description`, `version`, `tags` | kept, shown |
//! | agent `meta.ctx`, `context_policy`, `meta_ref`, `projection_name` | refused |
//! | command and template `stream_mode` | refused: `output.format` says how output is read |
//! | `$file`, `$agent_md` | resolved by the command line; refused in a document |

use super::fields::fields;
use crate::document::{Cursor, Lints};
use adjutant_model::Value;

/// A field that means something elsewhere and nothing here, and what to do instead.
pub(super) type Unsupported = (&'static str, &'static str);

const INPUT_ONLY: &str =
    "an agent gets its step's input and no more; write what it needs into the step's `in`";

/// Fields of the document itself.
pub(super) const BLUEPRINT: &[Unsupported] = &[
    ("metas", INPUT_ONLY),
    ("hints", INPUT_ONLY),
    ("default_agent_ctx", "put it into `default_init_ctx`, and hand it over in a step's `in`"),
    ("default_context_policy", INPUT_ONLY),
    ("projection_placement", "results stay in the context and in turns; write files in a step"),
    ("audits", "make the audit a step of the flow; a `fanout` runs it beside others"),
    ("degradation_policy", "catch what may fail with `try`"),
    ("check_policy", "a check that cannot be made fails its step; catch that with `try`"),
    ("blueprint_ref_includes", "`$file` and `$agent_md` are relative to the blueprint's own folder"),
];

/// Fields of `metadata`.
pub(super) const METADATA: &[Unsupported] = &[
    ("project_name_alias", "name the project in the task's `task_metadata`"),
    ("strict_verdict_handling", "warnings become errors by `metadata.lints`, such as `{all: deny}`"),
];

/// Fields of an entry of `operators`.
pub(super) const OPERATOR: &[Unsupported] = &[
    ("spec", "who does the steps says so when it joins"),
    ("profile", "say it in the `profile` of the agents that the operator does"),
    ("meta", "say it in `display_name`"),
];

/// Fields of an agent's `profile`.
pub(super) const PROFILE: &[Unsupported] = &[
    ("effort", "hand the program its own option in `args`"),
    ("extras", "write it into the `system_prompt`, or into the step's `in`"),
    ("version_hash", "the blueprint's version covers its prompts"),
    ("worker_binding", "an agent says by its `kind` and `spec` who does its steps"),
];

/// Fields of an agent's `meta`.
const META: &[Unsupported] = &[
    ("ctx", INPUT_ONLY),
    ("context_policy", INPUT_ONLY),
    ("meta_ref", INPUT_ONLY),
    ("projection_name", "a step's result goes where its `out` says"),
];

/// Fields of commands and templates.
pub(super) const COMMAND: &[Unsupported] =
    &[("stream_mode", "say how output is read by `output.format`, such as `stream_json`")];

/// What a document says by keys that only the command line resolves, or that mean something else elsewhere.
const KEYS: &[(&str, &str, &str)] = &[
    (
        "$file",
        "unresolved-reference",
        "`adjutant blueprint push` and `adjutant run` put the file's text here",
    ),
    ("$agent_md", "unresolved-reference", "`adjutant blueprint push` and `adjutant run` put the agent here"),
    ("$step_meta", "unsupported-field", INPUT_ONLY),
];

/// Refuses such keys wherever they stand.
pub(super) fn refuse_keys(at: &Cursor<'_>, lints: &mut Lints) {
    match at.value() {
        Value::Object(_) => {
            for (key, member) in at.entries(lints) {
                if let Some((key, lint, hint)) = KEYS.iter().find(|(known, ..)| *known == key) {
                    lints.error_with_hint(
                        &member,
                        lint,
                        format!("`{key}` means nothing in a document"),
                        *hint,
                    );
                }
                refuse_keys(&member, lints);
            }
        }
        Value::Array(_) => at.elements(lints).iter().for_each(|item| refuse_keys(item, lints)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Checks `strategy`, whose values say what holds anyway.
pub(super) fn strategy(at: &Cursor<'_>, lints: &mut Lints) {
    const HOLDS: [(&str, bool, &str); 3] = [
        ("strict_refs", true, "every step's agent must be in the blueprint"),
        ("strict_kind", true, "every agent's kind must be known"),
        ("strict_binding", false, "nothing attests who does an agent's steps"),
    ];
    if fields(at, &HOLDS.map(|(key, ..)| key), &[], lints).is_none() {
        return;
    }
    for (key, holds, why) in HOLDS {
        let Some(member) = super::fields::optional(at, key) else { continue };
        if member.boolean(lints).is_some_and(|said| said != holds) {
            lints.error_with_hint(&member, "unsupported-value", format!("`{key}` is always {holds}"), why);
        }
    }
}

/// Checks `metadata.origin`: where the document came from, for people.
pub(super) fn origin(at: &Cursor<'_>, lints: &mut Lints) {
    if fields(at, &["kind", "path", "session_id"], &[], lints).is_none() {
        return;
    }
    let Some(kind_at) = at.required("kind", lints) else { return };
    match kind_at.string(lints) {
        Some("inline") | None => {}
        Some("file") => drop(at.required("path", lints).and_then(|path| path.string(lints))),
        Some("algo") => drop(at.required("session_id", lints).and_then(|id| id.string(lints))),
        Some(other) => {
            let message = format!("unknown origin `{other}`");
            lints.error_with_hint(&kind_at, "unknown-kind", message, "kinds: inline, file, algo");
        }
    }
}

/// Checks an agent's `meta`, which is for people.
pub(super) fn agent_meta(at: &Cursor<'_>, lints: &mut Lints) {
    if fields(at, &["description", "version", "tags"], META, lints).is_some() {
        let _description = super::fields::text(at, "description", lints);
        let _version = super::fields::text(at, "version", lints);
        let _tags = super::fields::texts(at, "tags", lints);
    }
}
