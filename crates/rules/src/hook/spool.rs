//! A hook that found nobody at the door: a line of a file, which the daemon takes later.
//!
//! Whoever can write the file can write anything into it, so a line is read as strictly as what comes by the door, and
//! one that cannot be read is passed over. What is too long is cut, and before that secrets are taken out, because half
//! a secret is not recognised any more.

use super::read::{Posted, posted};
use crate::limits;
use crate::redact::redact_value;
use adjutant_model::hook::{HookCall, HookEvent};
use adjutant_model::id::Uuid;
use adjutant_model::{Timestamp, Value};
use serde::{Deserialize, Serialize};

/// A line is at most so long with its end, in bytes: one write puts it there whole.
pub const LINE_BYTES_MAX: usize = 60 << 10;
/// A file that is so long takes no more lines, in bytes.
pub const FILE_BYTES_MAX: u64 = 4 << 20;
/// The texts in a payload are cut to so many bytes, and to fewer when that is not enough.
const TEXT_BYTES_MAX: [usize; 3] = [4096, 512, 64];
/// What is kept of a payload that is too long all the same.
const NEEDED: [&str; 12] = [
    "hook_event_name",
    "session_id",
    "transcript_path",
    "cwd",
    "model",
    "agent_id",
    "agent_type",
    "tool_name",
    "tool_use_id",
    "turn_id",
    "notification_type",
    "error",
];

/// A hook that waits in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Spooled {
    /// By what it is known again when it came by the door as well.
    pub id: Uuid,
    /// When it was called.
    pub at: Timestamp,
    /// How large its payload was, in bytes.
    pub size_bytes: u64,
    /// The payload, which names its event.
    pub payload: Value,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: String,
    at: i64,
    size_bytes: u64,
    payload: Value,
}

/// Gives a hook as a line, its end included; nothing when it cannot be made short enough.
pub fn line(spooled: &Spooled) -> Option<String> {
    let Spooled { id, at, size_bytes, payload } = spooled;
    let payload = redact_value(payload).unwrap_or_else(|| payload.clone());
    let lined = |payload: Value| {
        let line = Line { id: id.to_string(), at: at.unix_ms(), size_bytes: *size_bytes, payload };
        let text = serde_json::to_string(&line).ok()? + "\n";
        (text.len() <= LINE_BYTES_MAX).then_some(text)
    };
    let cut = TEXT_BYTES_MAX.iter().find_map(|max| lined(limits::strings_cut(&payload, *max)));
    cut.or_else(|| lined(limits::strings_cut(&needed(&payload), TEXT_BYTES_MAX[1])))
}

/// Reads a line, and what was called by it; nothing when it is none, or is about an event that decides, which nobody
/// waits for any more.
pub fn read(line: &[u8], now: Timestamp) -> Option<(Spooled, HookCall)> {
    if line.len() > LINE_BYTES_MAX {
        return None;
    }
    let Line { id, at, size_bytes, payload } = serde_json::from_slice(line).ok()?;
    let id = id.parse().ok()?;
    let Ok(Posted::Agent(call)) = posted(payload.clone()) else { return None };
    // No hook is called in the future.
    let at = Timestamp::from_unix_ms(at).min(now);
    let decides = call.event.is_some_and(HookEvent::decides);
    (!decides).then_some((Spooled { id, at, size_bytes, payload }, call))
}

fn needed(payload: &Value) -> Value {
    let member = |key: &&'static str| {
        payload.get(key).filter(|value| value.as_str().is_some()).map(|value| (*key, value.clone()))
    };
    Value::object(NEEDED.iter().filter_map(member))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spooled(payload: serde_json::Value) -> Spooled {
        Spooled { id: Uuid::from_u128(7), at: at(5), size_bytes: 9, payload: Value::from(payload) }
    }

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_unix_ms(ms)
    }

    #[test]
    fn a_line_comes_back_as_it_went_and_is_never_too_long() {
        let (long, many) = ("x".repeat(1 << 20), vec!["y".repeat(100); 10_000]);
        for (payload, keeps) in [
            (serde_json::json!({"hook_event_name": "Stop", "n": [1, null, {"a": 1.5}]}), "\"n\":[1"),
            (serde_json::json!({"hook_event_name": "Stop", "last_assistant_message": long}), "xxxx"),
            (serde_json::json!({"hook_event_name": "Stop", "many": many, "session_id": "s"}), "\"s\""),
            (serde_json::json!({"hook_event_name": "Stop", "a": "\n\u{1b}".repeat(9000)}), "\\n"),
        ] {
            let spooled = spooled(payload);
            let line = line(&spooled).expect("it is short enough");
            assert!(line.len() <= LINE_BYTES_MAX && line.ends_with('\n') && line.contains(keeps), "{keeps}");
            assert_eq!(line.lines().count(), 1);
            let (back, call) = read(line.trim_end().as_bytes(), at(9)).expect("it is read");
            assert_eq!((back.id, back.at, back.size_bytes), (spooled.id, spooled.at, 9));
            assert_eq!(call.event, Some(HookEvent::Stop));
        }
    }

    #[test]
    fn a_secret_is_taken_out_before_anything_is_cut() {
        let text = format!("{} ghp_0123456789abcdefghijklmnopqrstuvwxyzAB", "x ".repeat(2040));
        let line = line(&spooled(serde_json::json!({"hook_event_name": "Stop", "m": text}))).expect("a line");
        assert!(!line.contains("ghp_"), "{line}");
    }

    #[test]
    fn what_is_no_line_of_a_hook_that_tells_is_passed_over() {
        let id = Uuid::from_u128(7);
        let with = |payload: &str| format!(r#"{{"id":"{id}","at":1,"size_bytes":1,"payload":{payload}}}"#);
        for wrong in [
            String::new(),
            "{".into(),
            "[]".into(),
            with("{}"),
            with(r#"{"hook_event_name":"PreToolUse","tool_name":"Bash"}"#),
            with(r#"{"hook_event_name":"PermissionRequest"}"#),
            with(r#"{"session_id":"x","event":"Stop"}"#),
            with(r#"{"hook_event_name":"Stop"}"#).replace("size_bytes", "size"),
            with(r#"{"hook_event_name":"Stop"}"#).replace(&id.to_string(), "x"),
            with(&format!(r#"{{"hook_event_name":"Stop","x":"{}"}}"#, "x".repeat(LINE_BYTES_MAX))),
        ] {
            assert_eq!(read(wrong.as_bytes(), at(9)), None, "{}", &wrong[..wrong.len().min(100)]);
        }
        let future = with(r#"{"hook_event_name":"Stop"}"#).replace("\"at\":1", "\"at\":99999");
        assert_eq!(read(future.as_bytes(), at(9)).map(|(spooled, _)| spooled.at), Some(at(9)));
    }
}
