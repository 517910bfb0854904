//! Handoffs: the brief by which another agent goes on where one was.
//!
//! It has a part for each thing that whoever takes work over asks about, and each part has its limit, so that a long one
//! never takes the room of another. What an agent said or did is told as such: it is no instruction.

use crate::limits;
use adjutant_model::Value;
use adjutant_model::goal::Goal;
use adjutant_model::memory::Fact;
use adjutant_model::session::{Session, TaskEnd};

/// A brief is at most so long, in bytes: the parts' limits together, and their titles.
pub const BRIEF_BYTES_MAX: usize = 32 << 10;
/// A part is at most so long, in bytes.
const TASK_BYTES_MAX: usize = 8 << 10;
const PART_BYTES_MAX: usize = 4 << 10;
/// A line of a part is at most so long, in bytes.
const LINE_BYTES_MAX: usize = 400;

/// What a brief is made of.
#[derive(Debug, Clone, Copy)]
pub struct BriefParts<'a> {
    /// The session whose work it is.
    pub session: &'a Session,
    /// What whoever hands it over says to it.
    pub note: Option<&'a str>,
    /// The goal that it serves.
    pub goal: Option<&'a Goal>,
    /// What was decided, and what else is remembered, the newest first.
    pub facts: &'a [Fact],
    /// How its tree stands, in lines.
    pub tree: &'a [String],
    /// What waits for an answer, besides the agent's own questions.
    pub waits: &'a [String],
    /// What its agent did last, in order.
    pub turns: &'a [String],
}

/// Writes a brief.
pub fn brief(parts: &BriefParts<'_>) -> String {
    let BriefParts { session, note, goal, facts, tree, waits, turns } = parts;
    let agent = &session.agent;
    let mut text = format!(
        "You take over the work of another agent ({agent}, session {}). This is where it stands; look at the repository \
         before you rely on it. Then go on with the task until it is done.\n",
        session.name
    );
    let part = |text: &mut String, title: &str, body: &str, max: usize| {
        if !body.trim().is_empty() {
            text.push_str(&format!("\n## {title}\n\n{}\n", limits::cut(body.trim(), max)));
        }
    };
    part(&mut text, "From the person who hands it over", note.unwrap_or_default(), PART_BYTES_MAX);
    part(&mut text, "The task", &session.task, TASK_BYTES_MAX);
    part(&mut text, "The goal", &goal.map(goal_lines).unwrap_or_default(), PART_BYTES_MAX);
    part(&mut text, "What is decided and known", &fact_lines(facts), PART_BYTES_MAX);
    part(&mut text, "The tree", &lines(tree), PART_BYTES_MAX);
    part(&mut text, "What is open", &lines(&asked(session, waits)), PART_BYTES_MAX);
    part(&mut text, &format!("What {agent} did last"), &last_lines(turns), PART_BYTES_MAX);
    part(&mut text, &format!("What {agent} said last"), &said(session), PART_BYTES_MAX);
    limits::cut(&printable(&text), BRIEF_BYTES_MAX)
}

/// Gives a line about what an agent's hook told; nothing about what says nothing of its work.
pub fn turn_line(event: &str, tool: Option<&str>, payload: &Value) -> Option<String> {
    let member = |keys: &[&str]| keys.iter().find_map(|key| payload.get(key));
    let words = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let line = match event {
        "UserPromptSubmit" => format!("was told: {}", words(member(&["prompt", "text"])?)),
        "PreToolUse" => {
            let input = member(&["tool_input", "input"]).map(&words).unwrap_or_default();
            format!("{} {input}", tool.unwrap_or("a tool"))
        }
        "PostToolUseFailure" | "ToolError" => {
            let error = member(&["error", "tool_response", "output"]).map(&words).unwrap_or_default();
            format!("{} failed: {error}", tool.unwrap_or("a tool"))
        }
        "Stop" | "SubagentStop" => {
            format!("ended its turn: {}", words(member(&["last_assistant_message", "message"])?))
        }
        _ => return None,
    };
    Some(one_line(&line))
}

fn goal_lines(goal: &Goal) -> String {
    let mut said = vec![format!("{} ({}, {})", one_line(&goal.description), goal.id, goal.status.as_str())];
    said.extend(goal.acceptance.iter().map(|criterion| {
        let stands = match &criterion.evidence {
            Some(evidence) if evidence.passed => "proved",
            Some(_) => "failed",
            None => "not proved",
        };
        let check = criterion.check.as_deref().map_or_else(String::new, |check| format!(" (`{check}`)"));
        format!("{stands}: {}{check}", criterion.text)
    }));
    said.extend(goal.notes.iter().rev().take(10).rev().map(|note| format!("noted: {note}")));
    lines(&said)
}

fn fact_lines(facts: &[Fact]) -> String {
    let line = |fact: &Fact| {
        let tags = if fact.tags.is_empty() { String::new() } else { format!(" [{}]", fact.tags.join(" ")) };
        format!("{}{tags}", fact.text)
    };
    lines(&facts.iter().map(line).collect::<Vec<_>>())
}

fn asked(session: &Session, waits: &[String]) -> Vec<String> {
    let questions = session.questions.iter().map(|question| format!("it asks: {}", question.text));
    questions.chain(waits.iter().cloned()).collect()
}

fn said(session: &Session) -> String {
    match &session.task_end {
        Some(TaskEnd::Completed { text }) => text.clone().unwrap_or_default(),
        Some(TaskEnd::Failed { reason, text }) => {
            format!("{}\n(it failed: {reason})", text.as_deref().unwrap_or_default())
        }
        Some(TaskEnd::Cancelled { reason }) => format!("(it was stopped: {reason})"),
        None => String::new(),
    }
}

/// Gives a list of lines.
fn lines(said: &[String]) -> String {
    said.iter().map(|line| format!("- {}", one_line(line))).collect::<Vec<_>>().join("\n")
}

/// Gives the last of some lines, as many as fit.
fn last_lines(said: &[String]) -> String {
    let mut room = PART_BYTES_MAX;
    let fits = said.iter().rev().take_while(|line| {
        let bytes = line.len().min(LINE_BYTES_MAX) + 3;
        let fits = bytes <= room;
        room = room.saturating_sub(bytes);
        fits
    });
    lines(&fits.cloned().collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>())
}

fn one_line(text: &str) -> String {
    limits::cut(&text.split_whitespace().collect::<Vec<_>>().join(" "), LINE_BYTES_MAX)
}

/// A terminal must not take what an agent said for keys.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use adjutant_model::id::Uuid;
    use adjutant_model::session::{DriverKind, NewSession, SessionSource};
    use adjutant_model::{SessionId, Timestamp};

    fn session(task: &str) -> Session {
        let new = NewSession {
            id: SessionId::new(Uuid::from_u128(1)),
            name: "api".into(),
            agent: "claude".into(),
            driver: DriverKind::Tmux,
            source: SessionSource::Project { path: "/p".into(), git_ref: None },
            task: task.into(),
        };
        Session::new(new, Timestamp::from_unix_ms(0))
    }

    fn parts(session: &Session) -> BriefParts<'_> {
        BriefParts { session, note: None, goal: None, facts: &[], tree: &[], waits: &[], turns: &[] }
    }

    #[test]
    fn a_brief_has_a_part_for_each_thing_that_is_known_and_none_for_the_rest() {
        let mut session = session("Make it work.");
        session.task_end = Some(TaskEnd::Completed { text: Some("half\u{1b}[2J done".into()) });
        let (tree, turns) = (["on main\nand more".to_owned()], ["Bash ls".to_owned()]);
        let text = brief(&BriefParts { tree: &tree, turns: &turns, note: Some("Hurry."), ..parts(&session) });
        let titles: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        let expected = [
            "From the person who hands it over",
            "The task",
            "The tree",
            "What claude did last",
            "What claude said last",
        ];
        assert_eq!(titles, expected);
        assert!(text.contains("- on main and more\n") && text.contains("half[2J done"), "{text}");
    }

    #[test]
    fn a_brief_is_never_longer_than_it_may_be_and_the_last_turns_stay() {
        let session = session(&"t".repeat(200_000));
        let many: Vec<String> = (0..5000).map(|n| format!("{n} {}", "é".repeat(500))).collect();
        let text = brief(&BriefParts {
            note: Some(&"n".repeat(100_000)),
            tree: &many,
            waits: &many,
            turns: &many,
            ..parts(&session)
        });
        assert!(text.len() <= BRIEF_BYTES_MAX, "{}", text.len());
        assert!(text.contains("- 4999 ") && text.contains("## What claude did last"), "the end is kept");
    }

    #[test]
    fn a_hook_is_told_in_a_line_when_it_says_something_of_the_work() {
        let payload =
            |text: &str| Value::from(serde_json::from_str::<serde_json::Value>(text).expect("JSON"));
        for (event, tool, told, line) in [
            ("UserPromptSubmit", None, r#"{"prompt": "go\non"}"#, Some("was told: go on")),
            (
                "PreToolUse",
                Some("Bash"),
                r#"{"tool_input": {"command": "ls"}}"#,
                Some(r#"Bash {"command":"ls"}"#),
            ),
            ("Stop", None, r#"{"last_assistant_message": "done"}"#, Some("ended its turn: done")),
            ("Stop", None, "{}", None),
            ("Notification", None, r#"{"message": "x"}"#, None),
            ("PreToolUse", None, "null", Some("a tool")),
        ] {
            assert_eq!(turn_line(event, tool, &payload(told)).as_deref(), line, "{event} {told}");
        }
    }
}
