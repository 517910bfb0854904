//! What a reader of an agent's stream makes of it.

use adjutant_model::Timestamp;
use adjutant_model::session::{AgentSignal, SessionUsage};
use serde_json::Value;
use std::collections::VecDeque;

/// So many tool calls are known at once; the oldest is forgotten for a new one.
const CALLS_MAX: usize = 256;

/// So long a text is that goes into a question, a signal or the evidence, in characters.
const TEXT_CHARS_MAX: usize = 2000;

/// One thing that was heard.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Heard {
    /// Something became known.
    Signal {
        /// What told it.
        evidence: String,
        /// What it is.
        what: AgentSignal,
    },
    /// Words or a line about what it does, for people.
    Said(String),
    /// Something has to be written back at once.
    Reply(Value),
    /// The turn is over: the next prompt can be sent.
    TurnOver,
}

impl Heard {
    /// Makes a signal.
    pub(super) fn signal(evidence: impl Into<String>, what: AgentSignal) -> Heard {
        Heard::Signal { evidence: evidence.into(), what }
    }
}

/// A tool call that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    /// The agent's id of it.
    pub(super) id: String,
    /// The tool.
    pub(super) tool: String,
    /// The subagent that it starts.
    pub(super) starts: Option<String>,
    /// The subagent that calls it.
    pub(super) within: Option<String>,
}

/// The tool calls that have begun and not ended.
#[derive(Debug, Default)]
pub(super) struct Calls(VecDeque<Call>);

impl Calls {
    /// Notes one.
    pub(super) fn push(&mut self, call: Call) {
        if self.0.len() == CALLS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(call);
    }

    /// Finds one.
    pub(super) fn find(&self, id: &str) -> Option<&Call> {
        self.0.iter().find(|call| call.id == id)
    }

    /// Takes one that has ended.
    pub(super) fn take(&mut self, id: &str) -> Option<Call> {
        let at = self.0.iter().position(|call| call.id == id)?;
        self.0.remove(at)
    }
}

/// Counts what an agent used, from numbers that count from the beginning of its session.
///
/// An agent that goes on with its session counts on, too. So what was told of that session is kept over restarts, and
/// of a session of which nothing is known the first numbers only set the measure.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Meter {
    told: SessionUsage,
    is_set: bool,
}

impl Meter {
    /// Begins with a session that is new.
    pub(super) fn fresh() -> Meter {
        Meter { told: SessionUsage::default(), is_set: true }
    }

    /// Begins with a session that goes on; `told` is what was told of it.
    pub(super) fn going_on(told: Option<SessionUsage>) -> Meter {
        Meter { is_set: told.is_some(), told: told.unwrap_or_default() }
    }

    /// Gives all that was told.
    pub(super) fn told(&self) -> &SessionUsage {
        &self.told
    }

    /// Tells that so much more was used, and remembers it.
    pub(super) fn add(&mut self, more: SessionUsage) -> Option<AgentSignal> {
        self.told = self.told.plus(&more);
        (more != SessionUsage::default()).then_some(AgentSignal::UsedMore(more))
    }

    /// Takes a cost that counts from some beginning, and gives what is new of it. One that is smaller than before counts
    /// from nothing again.
    pub(super) fn cost(&mut self, total: f64) -> Option<f64> {
        let told = self.told.cost_usd.unwrap_or(0.0);
        let more = if total < told { total } else { total - told };
        let is_measure = !std::mem::replace(&mut self.is_set, true);
        self.told.cost_usd = Some(total);
        (more > 0.0 && !is_measure).then_some(more)
    }

    /// Takes the numbers from the beginning of the session and tells what is new in them. Of `turn`, the present turn
    /// alone, the rest is told that was not, when nothing is known of the turns before.
    pub(super) fn total(&mut self, total: SessionUsage, turn: &SessionUsage) -> Option<AgentSignal> {
        let base = if self.is_set {
            self.told.clone()
        } else {
            // `told` holds what was told of this turn; what the session used before stands in nobody's budget here.
            let before = minus(&total, turn);
            SessionUsage { cost_usd: total.cost_usd, ..before.plus(&self.told) }
        };
        let mut more = minus(&total, &base);
        more.context_used = None;
        self.told = most(&base, &total);
        self.is_set = true;
        if more.cost_usd.is_some_and(|cost| cost <= 0.0) {
            more.cost_usd = None;
        }
        (more != SessionUsage::default()).then_some(AgentSignal::UsedMore(more))
    }
}

/// Gives by how much `a` is more than `b`; the context's measures are those of `a`.
pub(crate) fn minus(a: &SessionUsage, b: &SessionUsage) -> SessionUsage {
    SessionUsage {
        input_tokens: a.input_tokens.saturating_sub(b.input_tokens),
        output_tokens: a.output_tokens.saturating_sub(b.output_tokens),
        cache_read_tokens: a.cache_read_tokens.saturating_sub(b.cache_read_tokens),
        cache_write_tokens: a.cache_write_tokens.saturating_sub(b.cache_write_tokens),
        cost_usd: a.cost_usd.map(|cost| (cost - b.cost_usd.unwrap_or(0.0)).max(0.0)),
        context_used: a.context_used,
        context_window: a.context_window,
    }
}

fn most(a: &SessionUsage, b: &SessionUsage) -> SessionUsage {
    SessionUsage {
        input_tokens: a.input_tokens.max(b.input_tokens),
        output_tokens: a.output_tokens.max(b.output_tokens),
        cache_read_tokens: a.cache_read_tokens.max(b.cache_read_tokens),
        cache_write_tokens: a.cache_write_tokens.max(b.cache_write_tokens),
        cost_usd: match (a.cost_usd, b.cost_usd) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        },
        context_used: None,
        context_window: None,
    }
}

/// Gives a text that is short enough to be shown.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Gives a text of a message.
pub(crate) fn text_at<'a>(message: &'a Value, pointer: &str) -> Option<&'a str> {
    message.pointer(pointer).and_then(Value::as_str)
}

/// Gives a number of a message, 0 when there is none.
pub(crate) fn count_at(message: &Value, pointer: &str) -> u64 {
    message.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

/// Says what a tool is called with, in a line.
pub(super) fn call_line(tool: &str, input: &Value) -> String {
    let telling =
        ["command", "cmd", "file_path", "path", "notebook_path", "url", "query", "pattern", "description"];
    let said = telling.iter().find_map(|key| input.get(key)?.as_str()).map(str::to_owned);
    let said = said.unwrap_or_else(|| match input {
        Value::Object(members) if members.is_empty() => String::new(),
        Value::Null => String::new(),
        other => other.to_string(),
    });
    if said.is_empty() { tool.to_owned() } else { shown(&format!("{tool}: {said}")) }
}

/// Gives what a tool is to be called with as the gate takes it.
pub(super) fn gated(input: &Value) -> Option<adjutant_model::Value> {
    serde_json::from_value(input.clone()).ok()
}

/// Finds out when a spent quota is filled again, from what people are told: seconds since the epoch behind a bar
/// (`usage limit reached|1767225600`), or a span behind "try again in".
pub(super) fn quota_until(text: &str, now: Timestamp) -> Option<Timestamp> {
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
    let epoch = text.split('|').skip(1).find_map(|piece| digits(piece).parse::<i64>().ok());
    if let Some(seconds) = epoch.filter(|seconds| *seconds > 1_000_000_000) {
        return Some(Timestamp::from_unix_ms(seconds.saturating_mul(1000)));
    }
    let lower = text.to_lowercase();
    let (_, span) = lower.split_once("try again in ")?;
    let mut words = span.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty());
    let mut ms = 0_u64;
    while let Some(word) = words.next() {
        let number = digits(word);
        let Ok(amount) = number.parse::<u64>() else { if word == "and" { continue } else { break } };
        let unit = match &word[number.len()..] {
            "" => words.next().unwrap_or_default(),
            unit => unit,
        };
        let unit_ms = match unit.chars().next() {
            Some('d') => 86_400_000,
            Some('h') => 3_600_000,
            Some('m') if unit.starts_with("ms") => 1,
            Some('m') => 60_000,
            Some('s') => 1000,
            Some(_) | None => break,
        };
        ms = ms.saturating_add(amount.saturating_mul(unit_ms));
    }
    (ms > 0).then(|| now.plus_ms(ms))
}

/// Tells whether words of an error are about a quota or a rate limit.
pub(super) fn is_quota(text: &str) -> bool {
    let lower = text.to_lowercase();
    let telling =
        ["usage limit", "rate limit", "rate_limit", "quota", "429", "hit your limit", "too many requests"];
    telling.iter().any(|words| lower.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_reset_is_read_where_it_is_told() {
        let now = Timestamp::from_unix_ms(1_000_000);
        let rows = [
            ("Claude AI usage limit reached|1767225600", Some(1_767_225_600_000)),
            ("You've hit your usage limit. Try again in 2 hours 5 minutes.", Some(1_000_000 + 7_500_000)),
            ("try again in 1 day, 3 hours and 1 minute", Some(1_000_000 + 97_260_000)),
            ("Rate limit reached. Please try again in 1.2s", None),
            ("Please try again in 20s.", Some(1_020_000)),
            ("try again in 300ms", Some(1_000_300)),
            ("resets 3pm (Europe/Berlin)", None),
            ("a|b|12", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(quota_until(text, now).map(Timestamp::unix_ms), expected, "{text}");
        }
    }

    #[test]
    fn nothing_is_counted_twice_when_an_agent_counts_on() {
        let used = |input, cost| SessionUsage {
            input_tokens: input,
            cost_usd: Some(cost),
            ..SessionUsage::default()
        };
        let tokens = |input| SessionUsage { input_tokens: input, ..SessionUsage::default() };
        let told = |signal: Option<AgentSignal>| match signal {
            Some(AgentSignal::UsedMore(more)) => Some((more.input_tokens, more.cost_usd)),
            Some(other) => panic!("unexpected {other:?}"),
            None => None,
        };
        let mut meter = Meter::fresh();
        assert_eq!(told(meter.add(tokens(100))), Some((100, None)));
        assert_eq!(told(meter.total(used(250, 0.5), &tokens(250))), Some((150, Some(0.5))));
        assert_eq!(told(meter.total(used(250, 0.5), &tokens(0))), None);
        assert_eq!(told(meter.total(used(10, 0.1), &tokens(10))), None, "it never goes back");
        // The same session goes on in another process.
        let mut again = Meter::going_on(Some(meter.told().clone()));
        assert_eq!(told(again.total(used(350, 0.75), &tokens(100))), Some((100, Some(0.25))));
        // A session goes on of which nothing is known: only the turn counts, and its cost cannot be told.
        let mut unknown = Meter::going_on(None);
        assert_eq!(told(unknown.add(tokens(30))), Some((30, None)));
        assert_eq!(told(unknown.total(used(1000, 7.0), &tokens(100))), Some((70, None)));
        assert_eq!(told(unknown.total(used(1200, 7.5), &tokens(200))), Some((200, Some(0.5))));
    }

    #[test]
    fn a_tool_call_is_told_in_a_line() {
        let rows = [
            ("Bash", r#"{"command":"ls"}"#, "Bash: ls"),
            ("Edit", r#"{"file_path":"a.rs","old_string":"x"}"#, "Edit: a.rs"),
            ("Odd", r#"{"n":1}"#, r#"Odd: {"n":1}"#),
            ("None", "{}", "None"),
            ("Null", "null", "Null"),
        ];
        for (tool, input, expected) in rows {
            assert_eq!(call_line(tool, &serde_json::from_str(input).unwrap()), expected);
        }
    }
}
