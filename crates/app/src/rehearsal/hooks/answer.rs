//! What a hook's end means: its exit code, and the JSON that it may have printed.

use serde_json::Value;
use std::time::Duration;

/// How a hook ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    Code(i32),
    Signal(i32),
    TimedOut(Duration),
    Cancelled,
    NotStarted(String),
}

impl Default for Ended {
    fn default() -> Self {
        Ended::Code(0)
    }
}

/// What a hook left.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Printed {
    pub(super) ended: Ended,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// What hooks decided, the milder first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::rehearsal) enum Decision {
    /// It may happen.
    Allow,
    /// Somebody must be asked.
    Ask(String),
    /// It may not happen, for this reason.
    Deny(String),
}

/// What all hooks of an event say together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::rehearsal) struct Verdict {
    /// What they decided, when they did.
    pub(in crate::rehearsal) decision: Option<Decision>,
    /// Why the turn is over, when one of them says so.
    pub(in crate::rehearsal) stop: Option<String>,
    /// What the agent is told besides.
    pub(in crate::rehearsal) context: Vec<String>,
    /// What a person is told.
    pub(in crate::rehearsal) notices: Vec<String>,
}

impl Verdict {
    /// Gives the reason when they decided that it may not happen.
    pub(in crate::rehearsal) fn denied(&self) -> Option<String> {
        match &self.decision {
            Some(Decision::Deny(reason)) => Some(reason.clone()),
            Some(Decision::Allow | Decision::Ask(_)) | None => None,
        }
    }

    /// Joins two: the stricter decision holds, and the first reason to stop.
    pub(super) fn and(mut self, other: Verdict) -> Verdict {
        self.decision = self.decision.max(other.decision);
        self.stop = self.stop.or(other.stop);
        self.context.extend(other.context);
        self.notices.extend(other.notices);
        self
    }
}

/// Reads what one hook of an event says.
///
/// Code 0 lets its JSON speak, code 2 blocks with standard error as the reason, and anything else is a mistake of
/// the hook that decides nothing.
pub(super) fn read(event: &str, printed: Printed) -> Verdict {
    let noticed = |text: String| Verdict { notices: vec![text], ..Verdict::default() };
    let stderr = printed.stderr.trim();
    match printed.ended {
        Ended::Code(0) => said(event, printed.stdout.trim()),
        Ended::Code(2) => blocked(event, reason(stderr, "a hook blocked it without a reason")),
        Ended::Code(code) => noticed(format!("{event} hook failed with exit code {code}: {stderr}")),
        Ended::Signal(signal) => noticed(format!("{event} hook was ended by signal {signal}")),
        Ended::TimedOut(limit) => noticed(format!("{event} hook timed out after {} s", limit.as_secs_f64())),
        Ended::Cancelled => Verdict::default(),
        Ended::NotStarted(why) => noticed(format!("{event} hook could not be started: {why}")),
    }
}

fn blocked(event: &str, reason: String) -> Verdict {
    match event {
        "PreToolUse" | "PermissionRequest" | "UserPromptSubmit" | "Stop" | "SubagentStop" | "PreCompact" => {
            Verdict { decision: Some(Decision::Deny(reason)), ..Verdict::default() }
        }
        // It has happened: the agent is told.
        "PostToolUse" | "PostToolUseFailure" => Verdict { context: vec![reason], ..Verdict::default() },
        _ => Verdict { notices: vec![reason], ..Verdict::default() },
    }
}

fn said(event: &str, stdout: &str) -> Verdict {
    let Ok(Value::Object(answer)) = serde_json::from_str(stdout) else {
        // Plain words are the agent's to read for these two, and nobody's for the others.
        let is_read = matches!(event, "SessionStart" | "UserPromptSubmit") && !stdout.is_empty();
        let context = if is_read { vec![stdout.to_owned()] } else { Vec::new() };
        return Verdict { context, ..Verdict::default() };
    };
    let answer = Value::Object(answer);
    let specific = &answer["hookSpecificOutput"];
    let mut verdict = specific_decision(event, specific);
    if verdict.decision.is_none() {
        match answer["decision"].as_str() {
            Some("block") => verdict = blocked(event, words(&answer["reason"], "a hook blocked it")),
            Some("approve") if event == "PreToolUse" => verdict.decision = Some(Decision::Allow),
            _ => {}
        }
    }
    if answer["continue"] == false {
        verdict.stop = Some(words(&answer["stopReason"], "a hook stopped it"));
    }
    verdict.context.extend(specific["additionalContext"].as_str().map(str::to_owned));
    verdict.notices.extend(answer["systemMessage"].as_str().map(str::to_owned));
    verdict
}

fn specific_decision(event: &str, specific: &Value) -> Verdict {
    let decision = match event {
        "PreToolUse" => {
            let reason = || words(&specific["permissionDecisionReason"], "a hook gave no reason");
            match specific["permissionDecision"].as_str() {
                Some("allow") => Some(Decision::Allow),
                Some("ask") => Some(Decision::Ask(reason())),
                Some("deny") => Some(Decision::Deny(reason())),
                _ => None,
            }
        }
        "PermissionRequest" => match specific["decision"]["behavior"].as_str() {
            Some("allow") => Some(Decision::Allow),
            Some("deny") => Some(Decision::Deny(words(
                &specific["decision"]["message"],
                "a hook denied it without a reason",
            ))),
            _ => None,
        },
        _ => None,
    };
    let stop = (specific["decision"]["interrupt"] == true).then(|| "a hook interrupted the turn".to_owned());
    Verdict { decision, stop, ..Verdict::default() }
}

fn words(value: &Value, otherwise: &str) -> String {
    reason(value.as_str().unwrap_or(""), otherwise)
}

fn reason(text: &str, otherwise: &str) -> String {
    if text.is_empty() { otherwise.to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(event: &str, code: i32, stdout: &str, stderr: &str) -> Verdict {
        let printed =
            Printed { ended: Ended::Code(code), stdout: stdout.to_owned(), stderr: stderr.to_owned() };
        read(event, printed)
    }

    #[test]
    fn a_decision_has_its_own_form_for_each_event() {
        let deny = |reason: &str| Some(Decision::Deny(reason.to_owned()));
        let pre = |word: &str| {
            json!({"hookSpecificOutput": {"permissionDecision": word,
            "permissionDecisionReason": "why"}})
        };
        let request =
            |word: &str| json!({"hookSpecificOutput": {"decision": {"behavior": word, "message": "m"}}});
        for (event, said, expected) in [
            ("PreToolUse", pre("allow"), Some(Decision::Allow)),
            ("PreToolUse", pre("deny"), deny("why")),
            ("PreToolUse", pre("ask"), Some(Decision::Ask("why".into()))),
            ("PreToolUse", pre("defer"), None),
            ("PermissionRequest", request("allow"), Some(Decision::Allow)),
            ("PermissionRequest", request("deny"), deny("m")),
            ("PermissionRequest", pre("deny"), None),
            ("PreToolUse", json!({"decision": "block", "reason": "r"}), deny("r")),
            ("Stop", json!({"decision": "block", "reason": "go on"}), deny("go on")),
            ("UserPromptSubmit", json!({"decision": "block"}), deny("a hook blocked it")),
            ("PostToolUse", json!({"decision": "block", "reason": "r"}), None),
            ("PreToolUse", json!({}), None),
        ] {
            assert_eq!(answer(event, 0, &said.to_string(), "").decision, expected, "{event} {said}");
        }
    }

    #[test]
    fn exit_code_2_blocks_and_other_codes_decide_nothing() {
        for (event, code, decision, context, notices) in [
            ("PreToolUse", 2, Some(Decision::Deny("no".into())), vec![], vec![]),
            ("Stop", 2, Some(Decision::Deny("no".into())), vec![], vec![]),
            ("PostToolUse", 2, None, vec!["no"], vec![]),
            ("Notification", 2, None, vec![], vec!["no"]),
            ("PreToolUse", 1, None, vec![], vec!["PreToolUse hook failed with exit code 1: no"]),
        ] {
            let verdict = answer(event, code, "", " no\n");
            assert_eq!(
                (verdict.decision, verdict.context, verdict.notices),
                (decision, strings(&context), strings(&notices)),
                "{event} {code}"
            );
        }
        let slow = Printed { ended: Ended::TimedOut(Duration::from_millis(1500)), ..Printed::default() };
        assert_eq!(read("Stop", slow).notices, ["Stop hook timed out after 1.5 s"]);
    }

    #[test]
    fn the_stricter_of_two_holds() {
        let of = |decision| Verdict { decision, ..Verdict::default() };
        let ask = || Some(Decision::Ask("a".into()));
        let deny = || Some(Decision::Deny("d".into()));
        for (one, two, expected) in [
            (None, Some(Decision::Allow), Some(Decision::Allow)),
            (ask(), Some(Decision::Allow), ask()),
            (ask(), deny(), deny()),
            (deny(), None, deny()),
        ] {
            assert_eq!(of(one.clone()).and(of(two.clone())).decision, expected);
            assert_eq!(of(two).and(of(one)).decision, expected);
        }
    }

    #[test]
    fn words_and_an_end_of_the_turn_are_passed_on() {
        let said = json!({"continue": false, "stopReason": "enough", "systemMessage": "look",
            "hookSpecificOutput": {"additionalContext": "more"}});
        let verdict = answer("PostToolUse", 0, &said.to_string(), "");
        assert_eq!(
            (verdict.stop.as_deref(), verdict.context, verdict.notices),
            (Some("enough"), strings(&["more"]), strings(&["look"]))
        );
        assert_eq!(answer("SessionStart", 0, "plain\n", "").context, ["plain"]);
        assert!(answer("PreToolUse", 0, "plain\n", "").context.is_empty());
    }

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }
}
