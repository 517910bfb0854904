//! The data path: what an output may be called, how a context refers to it, and how long it is kept.
//!
//! A step's value may carry a reference in place of the bytes, and later steps and prompts see it as it is:
//!
//! ```json
//! {"$output": {"id": "out_…", "sha256": "…", "size_bytes": 41943040, "content_type": "application/zip"}}
//! ```
//!
//! An object whose only member is `$output` with such an id is a reference; whatever else looks like one is a value.

use adjutant_model::action::StepBinding;
use adjutant_model::data::{OutputRecord, OutputStanding, RunStanding};
use adjutant_model::run::RunRecord;
use adjutant_model::{OutputId, StepId, Timestamp, Value};

/// The member that makes an object a reference.
const MARK: &str = "$output";
/// A name is at most so long.
const NAME_BYTES_MAX: usize = 128;
/// A content type is at most so long.
const CONTENT_TYPE_BYTES_MAX: usize = 255;
/// What bytes are when nobody says.
pub const OCTETS: &str = "application/octet-stream";
/// A context refers to at most so many outputs; the rest is not looked for.
pub const REFERENCES_MAX: usize = 1000;

/// Reads an output's name.
///
/// # Errors
/// What a name is.
pub fn name_read(text: &str) -> Result<&str, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let fits = (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(plain);
    // What looks like an id is looked for as one, and `emit` is a route.
    if fits && !text.starts_with(OutputId::PREFIX) && text != "emit" {
        return Ok(text);
    }
    let shown: String = text.chars().take(80).collect();
    Err(format!(
        "`{shown}` is no name: 1 to {NAME_BYTES_MAX} letters, digits and `._-`, beginning with a letter or digit, not \
         with `{}` and not `emit`",
        OutputId::PREFIX
    ))
}

/// Reads a content type.
///
/// # Errors
/// What a content type is.
pub fn content_type_read(text: Option<&str>) -> Result<&str, String> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(OCTETS) };
    let kind = text.split(';').next().unwrap_or_default().trim();
    let token = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "!#$&^_.+-".contains(c))
    };
    let fits = text.len() <= CONTENT_TYPE_BYTES_MAX
        && text.chars().all(|c| (' '..='~').contains(&c))
        && kind.split_once('/').is_some_and(|(kind, sub)| token(kind) && token(sub));
    if fits {
        return Ok(text);
    }
    Err(format!("a content type is like `text/plain` and has at most {CONTENT_TYPE_BYTES_MAX} bytes"))
}

/// Tells whether what a producer names is the step that its token is bound to, or the run's task.
pub fn names_step(task_id: &str, run: &RunRecord, step: &StepBinding) -> bool {
    task_id == run.task_id.as_str() || task_id == StepId::of(&step.run_id, &step.path, step.attempt).as_str()
}

/// Gives the reference that stands for an output in a context.
pub fn reference(output: &OutputRecord) -> Value {
    let about = Value::object([
        ("id", Value::from(output.id.as_str())),
        ("sha256", Value::from(output.sha256.as_str())),
        ("size_bytes", Value::from(output.size_bytes)),
        ("content_type", Value::from(output.content_type.as_str())),
    ]);
    Value::object([(MARK, about)])
}

/// Gives the outputs that a value refers to, each once, in the order of the value; at most [`REFERENCES_MAX`].
pub fn references(value: &Value) -> Vec<OutputId> {
    let mut found = Vec::new();
    // The value's own depth is bounded, and nothing here is as deep as it.
    let mut left = vec![value];
    while let Some(value) = left.pop() {
        if found.len() == REFERENCES_MAX {
            break;
        }
        match (referred(value), value) {
            (Some(id), _) if !found.contains(&id) => found.push(id),
            (Some(_), _) => {}
            (None, Value::Object(object)) => {
                let members: Vec<&Value> = object.iter().map(|(_, member)| member).collect();
                left.extend(members.into_iter().rev());
            }
            (None, Value::Array(items)) => left.extend(items.as_slice().iter().rev()),
            (None, Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {}
        }
    }
    found
}

fn referred(value: &Value) -> Option<OutputId> {
    let object = value.as_object()?;
    let about = object.get(MARK).filter(|_| object.iter().count() == 1)?;
    about.get("id")?.as_str()?.parse().ok()
}

/// How long outputs are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputsKept {
    /// One that no run needs, for so long since it was put, so that there is time to refer to it; in milliseconds.
    pub unused_ms: u64,
    /// One that turns of a run may show, for so long since the run's end; in milliseconds.
    pub ended_ms: u64,
}

/// Tells whether nothing needs an output any more: no run that refers to it is open, or has turns that are kept and
/// ended lately.
pub fn collectable(output: &OutputStanding, now: Timestamp, kept: OutputsKept) -> bool {
    let is_needed = output.runs.iter().any(|run| match run {
        RunStanding::Open => true,
        RunStanding::TurnsKept { ended_at } => now.ms_since(*ended_at) < kept.ended_ms,
        RunStanding::Bare => false,
    });
    !is_needed && now.ms_since(output.created_at) >= kept.unused_ms
}

#[cfg(test)]
mod tests {
    use super::*;
    use adjutant_model::id::Uuid;

    #[test]
    fn a_name_is_plain_and_never_a_path() {
        for name in ["report", "a", "0", "Report-1.final_v2.html", "a..b", &"n".repeat(128)] {
            assert_eq!(name_read(name), Ok(name));
        }
        for wrong in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "%2e%2e",
            ".hidden",
            "-x",
            "a b",
            "ä",
            "a\n",
            "a\0",
            "emit",
            "out_0123456789abcdef0123456789abcdef",
            "out_x",
            &"n".repeat(129),
        ] {
            assert!(name_read(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_content_type_is_one() {
        assert_eq!(content_type_read(None), Ok(OCTETS));
        assert_eq!(content_type_read(Some(" ")), Ok(OCTETS));
        for good in ["text/plain", "text/html; charset=utf-8", "application/vnd.x+json"] {
            assert_eq!(content_type_read(Some(good)), Ok(good));
        }
        for wrong in
            ["text", "/", "text/", "a b/c", "text/plain\r\nx: y", "text/ä", &format!("a/{}", "b".repeat(300))]
        {
            assert!(content_type_read(Some(wrong)).is_err(), "{wrong:?}");
        }
    }

    fn id(n: u128) -> OutputId {
        OutputId::new(Uuid::from_u128(n))
    }

    #[test]
    fn references_are_found_wherever_they_stand_and_nothing_else_is_taken_for_one() {
        let to = |n: u128| Value::object([(MARK, Value::object([("id", Value::from(id(n).as_str()))]))]);
        let beside = Value::object([
            (MARK, Value::object([("id", Value::from(id(9).as_str()))])),
            ("more", Value::Null),
        ]);
        let value = Value::object([
            ("a", Value::array([to(1), Value::from("x"), Value::object([("deep", to(2))])])),
            ("b", to(1)),
            ("c", beside),
            ("d", Value::object([(MARK, Value::from(id(8).as_str()))])),
            ("e", Value::object([(MARK, Value::object([("id", Value::from("out_../x"))]))])),
        ]);
        assert_eq!(references(&value), [id(1), id(2)]);
        assert_eq!(references(&to(3)), [id(3)]);
        let many = Value::array((0..2000).map(to));
        assert_eq!(references(&many).len(), REFERENCES_MAX);
    }

    #[test]
    fn an_output_is_kept_while_an_open_run_or_a_kept_turn_needs_it() {
        use RunStanding::{Bare, Open};
        let ended = |at_ms| RunStanding::TurnsKept { ended_at: Timestamp::from_unix_ms(at_ms) };
        let kept = OutputsKept { unused_ms: 100, ended_ms: 500 };
        for (runs, age_ms, collected) in [
            (vec![], 99, false),
            (vec![], 100, true),
            (vec![Bare], 100, true),
            (vec![Bare], 99, false),
            (vec![Open], 1000, false),
            (vec![ended(600)], 1000, false),
            (vec![ended(600)], 1099, false),
            (vec![ended(600)], 1100, true),
            (vec![Bare, ended(600)], 1000, false),
            (vec![ended(100), ended(600)], 1000, false),
            (vec![ended(100), ended(200)], 1000, true),
            (vec![ended(100), Open], 1000, false),
            (vec![Bare, Bare, Open], 1000, false),
        ] {
            let standing = OutputStanding {
                id: id(1),
                number: 1,
                file: None,
                created_at: Timestamp::from_unix_ms(0),
                runs: runs.clone(),
            };
            let now = Timestamp::from_unix_ms(age_ms);
            assert_eq!(collectable(&standing, now, kept), collected, "{runs:?} {age_ms}");
        }
    }
}
