//! What a follower knows of a run: its events folded into lines to print.
//!
//! Pure: times come from the events, never from a clock, so a follower that comes late tells the same story. Steps
//! that start many at once are counted and not listed.

use super::text::visible_line;
use adjutant_model::Timestamp;
use adjutant_protocol::http::EventView;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// More steps than this that start at once below one node are counted instead of listed.
const LISTED_MAX: usize = 8;

/// How a line is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    /// What is worth less attention.
    Quiet,
    Good,
    Bad,
}

/// A line to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) tone: Tone,
    pub(super) text: String,
}

/// What is known of a run.
#[derive(Debug, Default)]
pub(super) struct Board {
    steps: BTreeMap<u64, Step>,
    crowds: BTreeMap<String, Crowd>,
    began: Option<Timestamp>,
}

#[derive(Debug)]
struct Step {
    path: String,
    agent: String,
    attempt: u64,
    since: Timestamp,
    /// The node whose crowd it belongs to.
    crowd: Option<String>,
}

#[derive(Debug)]
struct Crowd {
    agent: String,
    started: usize,
    settled: usize,
    failed: usize,
}

impl Board {
    /// Gives the listed turns that an event settles well: what came out of them is worth a look.
    pub(super) fn outputs_of_interest(&self, event: &EventView) -> Vec<u64> {
        let turns = settled(event).filter(|input| went_well(input));
        let listed = |turn: &u64| self.steps.get(turn).is_some_and(|step| step.crowd.is_none());
        turns.map(|input| number(input, "/turn")).filter(listed).collect()
    }

    /// Takes an event and gives the lines that tell of it; `outputs` are those asked for.
    pub(super) fn take(&mut self, event: &EventView, outputs: &HashMap<u64, Value>) -> Vec<Line> {
        let at = Timestamp::parse(&event.at).unwrap_or_default();
        let began = *self.began.get_or_insert(at);
        let payload = &event.payload;
        match event.kind.as_str() {
            "run_created" => {
                let blueprint = text(payload, "/blueprint_id");
                vec![plain(format!("run {} of blueprint {blueprint}", event.subject))]
            }
            "workspace_ready" => vec![plain(workspace(payload))],
            "run_advanced" => {
                let mut lines = self.settle(event, at, outputs);
                lines.extend(self.start(payload, at));
                lines
            }
            "agent_progress" => self.progress(payload),
            "tool_judged" => judged(payload),
            "run_adopted" => vec![plain("the daemon was started again and goes on with the run".to_owned())],
            "run_rerun" => {
                let from = visible_line(text(payload, "/from"));
                let (kept, taken) = (number(payload, "/replayed"), number(payload, "/dropped"));
                vec![plain(format!("again from {from}: {kept} steps stay, {taken} are taken back"))]
            }
            "run_status_changed" => self.status(payload, at.ms_since(began)),
            _ => Vec::new(),
        }
    }

    fn start(&mut self, payload: &Value, at: Timestamp) -> Vec<Line> {
        let started = array(payload, "/started");
        let mut by_node: BTreeMap<&str, usize> = BTreeMap::new();
        for path in started.iter().map(|started| text(started, "/path")) {
            *by_node.entry(node_of(path).unwrap_or_default()).or_default() += 1;
        }
        let mut lines = Vec::new();
        for started in started {
            let (path, agent) = (text(started, "/path"), text(started, "/ref"));
            let node =
                node_of(path).filter(|node| by_node.get(*node).is_some_and(|count| *count > LISTED_MAX));
            if let Some(node) = node.filter(|node| !self.crowds.contains_key(*node)) {
                let crowd = Crowd { agent: agent.to_owned(), started: 0, settled: 0, failed: 0 };
                self.crowds.insert(node.to_owned(), crowd);
                lines.push(quiet(format!("...  {node}/… {} steps at once ({agent})", by_node[node])));
            }
            let step = Step {
                path: path.to_owned(),
                agent: agent.to_owned(),
                attempt: number(started, "/attempt"),
                since: at,
                crowd: self.crowd_of(path),
            };
            match step.crowd.as_ref().and_then(|node| self.crowds.get_mut(node)) {
                Some(crowd) => crowd.started += 1,
                None => lines.push(quiet(format!("...  {}", step.name()))),
            }
            self.steps.insert(number(started, "/turn"), step);
        }
        lines
    }

    /// Finds the crowd that a path belongs to.
    fn crowd_of(&self, path: &str) -> Option<String> {
        node_of(path).filter(|node| self.crowds.contains_key(*node)).map(str::to_owned)
    }

    fn settle(&mut self, event: &EventView, at: Timestamp, outputs: &HashMap<u64, Value>) -> Vec<Line> {
        let mut lines = Vec::new();
        for input in settled(event) {
            let turn = number(input, "/turn");
            let Some(step) = self.steps.remove(&turn) else { continue };
            let succeeded = went_well(input);
            let took = at.ms_since(step.since);
            match step.crowd.as_ref().and_then(|node| Some((node, self.crowds.get_mut(node)?))) {
                Some((node, crowd)) => lines.extend(crowd.settle(node, succeeded)),
                None if succeeded => lines.push(outcome(&step, took, outputs.get(&turn))),
                None => {}
            }
            if !succeeded {
                let status = text(input, "/status");
                lines.push(Line {
                    tone: Tone::Bad,
                    text: format!("FAIL {} {status} ({took} ms)", step.name()),
                });
            }
        }
        lines
    }

    fn progress(&mut self, payload: &Value) -> Vec<Line> {
        let (what, words) = (text(payload, "/what"), visible_line(text(payload, "/text")));
        let step = self.steps.get(&number(payload, "/turn"));
        if step.is_some_and(|step| step.crowd.is_some()) {
            return Vec::new();
        }
        let tone = if what == "thought" { Tone::Quiet } else { Tone::Plain };
        vec![Line { tone, text: format!("       {what:<8} {words}") }]
    }

    fn status(&mut self, payload: &Value, took_ms: u64) -> Vec<Line> {
        let to = text(payload, "/to");
        if to == "waiting" && self.steps.values().any(|step| step.agent == "ask") {
            return vec![plain(
                "       ASKS     the flow waits for an answer (`adjutant approvals`)".to_owned(),
            )];
        }
        if ["pending", "running", "waiting"].contains(&to) {
            return Vec::new();
        }
        self.steps.clear();
        self.crowds.clear();
        let error = payload.pointer("/error/message").and_then(Value::as_str);
        let why = error.or_else(|| payload.pointer("/reason").and_then(Value::as_str));
        let why = why.map_or_else(String::new, |why| format!(": {}", visible_line(why)));
        let step = payload.pointer("/error/step").and_then(Value::as_str);
        let step = step.map_or_else(String::new, |step| format!(" at step {step}"));
        let tone = if to == "done" { Tone::Good } else { Tone::Bad };
        vec![Line { tone, text: format!("run {to} after {took_ms} ms{why}{step}") }]
    }
}

impl Step {
    fn name(&self) -> String {
        let attempt = if self.attempt > 1 { format!(" (attempt {})", self.attempt) } else { String::new() };
        format!("{} {}{attempt}", self.path, self.agent)
    }
}

impl Crowd {
    fn text(&self, node: &str) -> String {
        let failed = if self.failed > 0 { format!(", {} failed", self.failed) } else { String::new() };
        format!("{node}/… {} {}/{} done{failed}", self.agent, self.settled, self.started)
    }

    /// Counts a settled step; every quarter of the way is worth a line.
    fn settle(&mut self, node: &str, succeeded: bool) -> Option<Line> {
        let quarter = |settled: usize| settled * 4 / self.started.max(1);
        let is_quarter = quarter(self.settled) != quarter(self.settled + 1);
        self.settled += 1;
        self.failed += usize::from(!succeeded);
        let tone = if self.settled == self.started { Tone::Good } else { Tone::Quiet };
        is_quarter.then(|| Line { tone, text: format!("     {}", self.text(node)) })
    }
}

/// Says how a step settled; a check that did not pass has settled well all the same, and is told as what it is.
fn outcome(step: &Step, took_ms: u64, output: Option<&Value>) -> Line {
    let name = step.name();
    let passed = output.and_then(|output| output.get("passed")).and_then(Value::as_bool);
    match (passed, output) {
        (Some(true), _) => Line { tone: Tone::Good, text: format!("ok   {name} passed ({took_ms} ms)") },
        (Some(false), Some(output)) => {
            let tail = text(output, "/output_tail").lines().rev().find(|line| !line.trim().is_empty());
            let tail = tail.map_or_else(String::new, |line| format!(": {}", visible_line(line)));
            let exit = output.get("exit_code").and_then(Value::as_i64);
            let exit = exit.map_or_else(String::new, |code| format!(", exit code {code}"));
            Line { tone: Tone::Plain, text: format!("not  {name} did not pass{exit}{tail} ({took_ms} ms)") }
        }
        (Some(false) | None, _) => Line { tone: Tone::Good, text: format!("ok   {name} ({took_ms} ms)") },
    }
}

fn judged(payload: &Value) -> Vec<Line> {
    if payload.pointer("/judgement/allowed").and_then(Value::as_bool) == Some(true) {
        return Vec::new();
    }
    let reason = visible_line(text(payload, "/judgement/reason"));
    let rule = text(payload, "/judgement/rule");
    // Reasons name their rule already when the policy writes them.
    let rule = if rule.is_empty() || reason.contains(rule) { String::new() } else { format!(" by `{rule}`") };
    let tool = visible_line(text(payload, "/tool"));
    if text(payload, "/judgement/effect") == "ask" {
        let how = "`adjutant approvals` shows it";
        return vec![plain(format!("       ASKS     {tool}{rule}: {reason} ({how})"))];
    }
    vec![Line { tone: Tone::Bad, text: format!("       DENIED   {tool}{rule}: {reason}") }]
}

fn workspace(payload: &Value) -> String {
    let branch = payload.pointer("/branch").and_then(Value::as_str);
    let branch = branch.map_or_else(String::new, |branch| format!(" on branch {branch}"));
    format!("workspace {}{branch}", text(payload, "/path"))
}

/// Gives the path of the node that a path's outermost branch or iteration belongs to.
fn node_of(path: &str) -> Option<&str> {
    let (node, _) = path.split_once("body#")?;
    Some(node.trim_end_matches('/'))
}

/// Tells whether a turn settled well; one with nothing to do did.
fn went_well(input: &Value) -> bool {
    ["succeeded", "skipped"].contains(&text(input, "/status"))
}

fn settled(event: &EventView) -> impl Iterator<Item = &Value> {
    let inputs = if event.kind == "run_advanced" { array(&event.payload, "/inputs") } else { &[] };
    inputs.iter().filter(|input| text(input, "/type") == "settled")
}

fn plain(text: String) -> Line {
    Line { tone: Tone::Plain, text }
}

fn quiet(text: String) -> Line {
    Line { tone: Tone::Quiet, text }
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}

fn array<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests;
