//! What an agent used, read from the transcript that it writes: Claude Code's messages, Codex' rollout.
//!
//! The path comes from the agent's hooks, so it is not trusted: only a regular file of this user is read, a bounded part
//! at a time, and nothing but numbers is taken from it. A transcript grows at its end; a [`Mark`] says where reading
//! stands and can be kept.

use crate::driver::heard::{count_at, minus, text_at};
use adjutant_model::Timestamp;
use adjutant_model::session::SessionUsage;
use rustix::fs::OFlags;
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// So much is read at once; the rest is for the next time. A longer line is passed over.
const READ_BYTES_MAX: u64 = 8 << 20;

/// So much of its end is read to know whether a turn goes on.
const END_BYTES: u64 = 1 << 20;

/// So many of the last messages are known, so that one that is written in several pieces counts once.
const MESSAGES_MAX: usize = 64;

/// Whose transcript it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TranscriptFlavour {
    /// Claude Code's: one message or a piece of one a line, each with its usage.
    Claude,
    /// Codex' rollout: events, of which `token_count` tells totals.
    Codex,
}

/// Where the reading of a transcript stands; the default is its beginning.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// How many bytes were read.
    pub offset: u64,
    /// The ids of the last messages.
    pub messages: Vec<String>,
    /// What was told, of a transcript that tells totals.
    pub told: SessionUsage,
}

/// Why a transcript was not read.
#[derive(Debug, thiserror::Error)]
pub enum TranscriptError {
    /// It is no file that an agent of this user would have written.
    #[error("{} is no regular file of this user", .0.display())]
    NotOurs(PathBuf),
    /// The system would not.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Reads what a transcript has grown by, and gives what was used by that and where reading stands then.
///
/// It reads at most 8 MiB; [`Mark::offset`] is smaller than the file as long as there is more. It blocks.
///
/// # Errors
/// [`TranscriptError`] when the file is not there, not regular or not this user's.
pub fn read_more(
    path: &Path,
    flavour: TranscriptFlavour,
    mark: &Mark,
) -> Result<(Mark, SessionUsage), TranscriptError> {
    let bytes = tail(path, mark.offset)?;
    let mut next = mark.clone();
    let whole = match bytes.iter().rposition(|byte| *byte == b'\n') {
        Some(end) => end + 1,
        // The line is longer than what is read at once; what is left of it is no message.
        None if bytes.len() as u64 == READ_BYTES_MAX => bytes.len(),
        None => 0,
    };
    next.offset += whole as u64;
    let mut used = SessionUsage::default();
    for line in bytes[..whole].split(|byte| *byte == b'\n') {
        let Ok(entry) = serde_json::from_slice::<Value>(line) else { continue };
        let more = match flavour {
            TranscriptFlavour::Claude => claude(&entry, &mut next),
            TranscriptFlavour::Codex => codex(&entry, &mut next),
        };
        used = more.map_or(used.clone(), |more| used.plus(&more));
    }
    Ok((next, used))
}

/// Reads on where the last reading stood, which a file in a session's folder keeps; gives what was used since, when
/// anything was. The mark is written before what was used is given, so nothing is told twice. It blocks.
///
/// # Errors
/// [`TranscriptError`]
pub fn read_on(
    folder: &Path,
    path: &Path,
    flavour: TranscriptFlavour,
) -> Result<Option<SessionUsage>, TranscriptError> {
    let kept = folder.join("transcript.json");
    let about = |source| TranscriptError::Io { path: kept.clone(), source };
    let known: Kept = match std::fs::read(&kept) {
        Ok(text) => serde_json::from_slice(&text).unwrap_or_default(),
        Err(_) => Kept::default(),
    };
    // Another transcript is read from its beginning.
    let mark = if known.path == path { known.mark } else { Mark::default() };
    let (next, used) = read_more(path, flavour, &mark)?;
    if next == mark {
        return Ok(None);
    }
    let text = serde_json::to_vec(&Kept { path: path.to_owned(), mark: next })
        .map_err(|error| about(error.into()))?;
    let beside = kept.with_extension("json.new");
    std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, &kept)).map_err(about)?;
    Ok((used != SessionUsage::default()).then_some(used))
}

/// Gives when the last turn of a transcript ended; nothing while one goes on, and when its end does not say. It blocks.
///
/// # Errors
/// [`TranscriptError`]
pub fn turn_ended(path: &Path, flavour: TranscriptFlavour) -> Result<Option<Timestamp>, TranscriptError> {
    let length = std::fs::metadata(path)
        .map_err(|source| TranscriptError::Io { path: path.to_owned(), source })?
        .len();
    let bytes = tail(path, length.saturating_sub(END_BYTES))?;
    let entries = bytes.split(|byte| *byte == b'\n').rev();
    let entries = entries.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let said = entries.filter_map(|entry| {
        let ended = match flavour {
            TranscriptFlavour::Claude => claude_ended(&entry),
            TranscriptFlavour::Codex => codex_ended(&entry),
        };
        ended.map(|ended| (ended, text_at(&entry, "/timestamp").and_then(|at| Timestamp::parse(at).ok())))
    });
    Ok(said.into_iter().next().and_then(|(ended, at)| at.filter(|_| ended)))
}

/// Tells whether a turn has ended by an entry, or goes on; nothing when the entry says neither.
fn claude_ended(entry: &Value) -> Option<bool> {
    if entry.get("isSidechain") == Some(&Value::Bool(true)) {
        return None;
    }
    match text_at(entry, "/type")? {
        // Pieces of a message that goes on have no reason.
        "assistant" => {
            Some(matches!(text_at(entry, "/message/stop_reason"), Some("end_turn" | "stop_sequence")))
        }
        "user" => {
            let content = entry.pointer("/message/content");
            let text = content.and_then(|it| it.as_str().or_else(|| text_at(it, "/0/text")));
            Some(text.is_some_and(|text| text.starts_with("[Request interrupted by user")))
        }
        "system" => {
            matches!(text_at(entry, "/subtype"), Some("turn_duration" | "stop_hook_summary")).then_some(true)
        }
        _ => None,
    }
}

fn codex_ended(entry: &Value) -> Option<bool> {
    match (text_at(entry, "/type")?, text_at(entry, "/payload/type")?) {
        ("event_msg", "task_complete" | "turn_complete" | "turn_aborted") => Some(true),
        ("event_msg", "task_started" | "turn_started" | "user_message") => Some(false),
        _ => None,
    }
}

/// What is kept of the reading of a session's transcript.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    path: PathBuf,
    mark: Mark,
}

fn tail(path: &Path, offset: u64) -> Result<Vec<u8>, TranscriptError> {
    let failed = |source| TranscriptError::Io { path: path.to_owned(), source };
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if !path.is_absolute() || !about.is_file() || about.uid() != geteuid().as_raw() {
        return Err(TranscriptError::NotOurs(path.to_owned()));
    }
    file.seek(SeekFrom::Start(offset)).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(READ_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn claude(entry: &Value, mark: &mut Mark) -> Option<SessionUsage> {
    let usage = entry.pointer("/message/usage").filter(|_| text_at(entry, "/type") == Some("assistant"))?;
    let id = text_at(entry, "/message/id")?;
    if mark.messages.iter().any(|known| known == id) {
        return None;
    }
    if mark.messages.len() == MESSAGES_MAX {
        mark.messages.remove(0);
    }
    mark.messages.push(id.to_owned());
    let mut more = SessionUsage {
        input_tokens: count_at(usage, "/input_tokens"),
        output_tokens: count_at(usage, "/output_tokens"),
        cache_read_tokens: count_at(usage, "/cache_read_input_tokens"),
        cache_write_tokens: count_at(usage, "/cache_creation_input_tokens"),
        ..SessionUsage::default()
    };
    let held = more.tokens().saturating_add(more.cache_read_tokens);
    let is_main = entry.get("isSidechain") != Some(&Value::Bool(true));
    more.context_used = Some(held).filter(|held| is_main && *held > 0);
    Some(more)
}

fn codex(entry: &Value, mark: &mut Mark) -> Option<SessionUsage> {
    let info = entry
        .pointer("/payload/info")
        .filter(|info| text_at(entry, "/payload/type") == Some("token_count") && info.is_object())?;
    let input = count_at(info, "/total_token_usage/input_tokens");
    let cached = count_at(info, "/total_token_usage/cached_input_tokens");
    let written = count_at(info, "/total_token_usage/cache_write_input_tokens");
    let total = SessionUsage {
        // What came from the cache and went into it is counted in what the model read.
        input_tokens: input.saturating_sub(cached).saturating_sub(written),
        output_tokens: count_at(info, "/total_token_usage/output_tokens"),
        cache_read_tokens: cached,
        cache_write_tokens: written,
        ..SessionUsage::default()
    };
    let more = SessionUsage {
        context_used: Some(count_at(info, "/last_token_usage/total_tokens")).filter(|used| *used > 0),
        context_window: Some(count_at(info, "/model_context_window")).filter(|window| *window > 0),
        ..minus(&total, &mark.told)
    };
    mark.told = total;
    Some(more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn message(id: &str, side: bool) -> String {
        format!(
            r#"{{"type":"assistant","isSidechain":{side},"message":{{"id":"{id}","usage":{{"input_tokens":10,"output_tokens":2,"cache_read_input_tokens":5,"cache_creation_input_tokens":1}}}}}}"#
        )
    }

    fn tokens(used: &SessionUsage) -> [u64; 4] {
        [used.input_tokens, used.output_tokens, used.cache_read_tokens, used.cache_write_tokens]
    }

    #[test]
    fn each_message_of_claude_code_counts_once_however_the_file_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.jsonl");
        let (one, two) = (message("m1", false), message("m2", true));
        let first = format!("{{\"type\":\"user\"}}\nnot json\n{one}\n{one}\n{}", &two[..20]);
        fs::write(&path, &first).unwrap();
        let read = |mark: &Mark| read_more(&path, TranscriptFlavour::Claude, mark).unwrap();
        let (mark, used) = read(&Mark::default());
        assert_eq!((tokens(&used), used.context_used), ([10, 2, 5, 1], Some(18)));
        let (same, none) = read(&mark);
        assert_eq!((same, none), (mark.clone(), SessionUsage::default()));
        fs::write(&path, format!("{first}{}\n{one}\n", &two[20..])).unwrap();
        let kept: Mark = serde_json::from_str(&serde_json::to_string(&mark).unwrap()).unwrap();
        let (_, used) = read(&kept);
        assert_eq!((tokens(&used), used.context_used), ([10, 2, 5, 1], None), "a subagent fills no context");
    }

    #[test]
    fn the_totals_of_codex_are_counted_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rollout.jsonl");
        let count = |input: u64, last: u64| {
            format!(
                r#"{{"type":"event_msg","payload":{{"type":"token_count","info":{{"total_token_usage":{{"input_tokens":{input},"cached_input_tokens":5,"output_tokens":3}},"last_token_usage":{{"total_tokens":{last}}},"model_context_window":1000}}}}}}"#
            )
        };
        let nothing = r#"{"type":"event_msg","payload":{"type":"token_count","info":null}}"#;
        fs::write(&path, format!("{nothing}\n{}\n{}\n", count(20, 20), count(30, 10))).unwrap();
        let (mark, used) = read_more(&path, TranscriptFlavour::Codex, &Mark::default()).unwrap();
        assert_eq!(tokens(&used), [25, 3, 5, 0]);
        assert_eq!((used.context_used, used.context_window), (Some(10), Some(1000)));
        let (_, none) = read_more(&path, TranscriptFlavour::Codex, &mark).unwrap();
        assert_eq!(none, SessionUsage::default());
    }

    #[test]
    fn only_a_regular_file_is_read() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("real"), message("m", false)).unwrap();
        std::os::unix::fs::symlink("real", dir.path().join("link")).unwrap();
        let pipe = dir.path().join("pipe");
        std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        for path in [dir.path().join("link"), dir.path().to_owned(), pipe, dir.path().join("absent")] {
            assert!(read_more(&path, TranscriptFlavour::Claude, &Mark::default()).is_err(), "{path:?}");
        }
    }

    #[test]
    fn a_line_without_measure_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.jsonl");
        let long = "x".repeat(usize::try_from(READ_BYTES_MAX).unwrap() + 10);
        fs::write(&path, format!("{long}\n{}\n", message("m", false))).unwrap();
        let (mark, none) = read_more(&path, TranscriptFlavour::Claude, &Mark::default()).unwrap();
        assert_eq!(none, SessionUsage::default());
        let (_, used) = read_more(&path, TranscriptFlavour::Claude, &mark).unwrap();
        assert_eq!(tokens(&used), [10, 2, 5, 1]);
    }

    #[test]
    fn a_transcript_says_whether_a_turn_goes_on() {
        use TranscriptFlavour::{Claude, Codex};
        const AT: &str = "2026-01-02T03:04:05Z";
        let claude = |kind: &str, more: &str| format!(r#"{{"type":"{kind}","timestamp":"{AT}",{more}}}"#);
        let codex = |kind: &str| {
            format!(r#"{{"type":"event_msg","timestamp":"{AT}","payload":{{"type":"{kind}"}}}}"#)
        };
        let said = claude("assistant", r#""message":{"stop_reason":"end_turn"}"#);
        let calls = claude("assistant", r#""message":{"stop_reason":"tool_use"}"#);
        let prompt = claude("user", r#""message":{"content":"go"}"#);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.jsonl");
        for (flavour, lines, ended) in [
            (Claude, vec![prompt.clone(), said.clone()], true),
            (Claude, vec![said.clone(), claude("summary", r#""summary":"x""#)], true),
            (Claude, vec![said.clone(), prompt.clone()], false),
            (Claude, vec![prompt.clone(), calls.clone()], false),
            (Claude, vec![calls, claude("system", r#""subtype":"turn_duration""#)], true),
            (
                Claude,
                vec![claude("user", r#""message":{"content":[{"text":"[Request interrupted by user]"}]}"#)],
                true,
            ),
            (
                Claude,
                vec![
                    prompt,
                    claude("assistant", r#""isSidechain":true,"message":{"stop_reason":"end_turn"}"#),
                ],
                false,
            ),
            (Claude, vec!["{".to_owned()], false),
            (Codex, vec![codex("task_started"), codex("task_complete"), codex("token_count")], true),
            (Codex, vec![codex("task_complete"), codex("task_started")], false),
        ] {
            fs::write(&path, lines.join("\n") + "\n").unwrap();
            let found = turn_ended(&path, flavour).unwrap();
            assert_eq!(found, ended.then(|| Timestamp::parse(AT).unwrap()), "{lines:?}");
        }
        assert!(turn_ended(&folder.path().join("none"), Claude).is_err());
    }
}
