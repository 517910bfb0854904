//! The steps of a run as a tree, by their paths: what runs, what has settled and how long it took.
//!
//! Pure: events go in, lines come out for a number of lines and an instant. What has ended well is folded to one line,
//! many branches are counted, and what failed or still runs stays in sight.

use super::text::visible_line;
use adjutant_model::Timestamp;
use adjutant_protocol::http::EventView;
use serde_json::Value;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

/// More branches than this below one node are counted, and only those that run or failed are shown.
const LISTED_MAX: usize = 6;

/// What is known of a run's steps.
#[derive(Debug, Default)]
pub(super) struct Tree {
    root: Node,
    /// The path of each turn that is a step.
    turns: HashMap<u64, String>,
}

#[derive(Debug, Default)]
struct Node {
    below: BTreeMap<Segment, Node>,
    step: Option<Step>,
}

/// One part of a path; numbers in it are ordered as numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment(String);

#[derive(Debug)]
struct Step {
    agent: String,
    attempt: u64,
    since: Timestamp,
    words: String,
    end: Option<End>,
}

#[derive(Debug)]
struct End {
    at: Timestamp,
    status: String,
}

/// How many steps of a subtree stand where.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    running: usize,
    done: usize,
    failed: usize,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Tree {
    /// Takes an event of the run.
    pub(super) fn take(&mut self, event: &EventView) {
        let at = Timestamp::parse(&event.at).unwrap_or_default();
        match event.kind.as_str() {
            "run_advanced" => {
                for input in
                    array(&event.payload, "inputs").iter().filter(|input| text(input, "type") == "settled")
                {
                    self.settle(input, at);
                }
                for started in array(&event.payload, "started") {
                    self.start(started, at);
                }
            }
            "agent_progress" => {
                let words = visible_line(text(&event.payload, "text"));
                if let Some(step) = self.step_of(number(&event.payload, "turn")) {
                    step.words = words;
                }
            }
            _ => {}
        }
    }

    fn start(&mut self, started: &Value, at: Timestamp) {
        let path = text(started, "path");
        let node = path
            .split('/')
            .filter(|part| *part != ".")
            .fold(&mut self.root, |node, part| node.below.entry(Segment(part.to_owned())).or_default());
        node.step = Some(Step {
            agent: text(started, "ref").to_owned(),
            attempt: number(started, "attempt"),
            since: at,
            words: String::new(),
            end: None,
        });
        self.turns.insert(number(started, "turn"), path.to_owned());
    }

    fn settle(&mut self, input: &Value, at: Timestamp) {
        let status = text(input, "status").to_owned();
        if let Some(step) = self.step_of(number(input, "turn")) {
            step.end = Some(End { at, status });
        }
    }

    fn step_of(&mut self, turn: u64) -> Option<&mut Step> {
        let path = self.turns.get(&turn)?;
        let mut node = &mut self.root;
        for part in path.split('/').filter(|part| *part != ".") {
            node = node.below.get_mut(&Segment(part.to_owned()))?;
        }
        node.step.as_mut()
    }

    /// Gives the tree in at most so many lines.
    pub(super) fn lines(&self, lines_max: usize, now: Timestamp) -> Vec<String> {
        let mut lines = Vec::new();
        self.root.write(0, "", now, &mut lines);
        let over = lines.len().saturating_sub(lines_max);
        if over > 0 {
            // The beginning is what is over; the end is where the run is.
            lines.drain(..=over);
            lines.insert(0, format!("… {} lines above", over + 1));
        }
        lines
    }
}

impl Node {
    fn write(&self, depth: usize, label: &str, now: Timestamp, lines: &mut Vec<String>) {
        let indent = "  ".repeat(depth);
        if let Some(step) = &self.step {
            lines.push(format!("{indent}{}", step.line(label, now)));
        }
        if self.below.is_empty() {
            return;
        }
        let tally = self.tally();
        let settled_well = tally.running == 0 && tally.failed == 0;
        // The root has no line, and neither has a node with one child: its child carries both names.
        if self.step.is_none() && self.below.len() == 1 {
            for (segment, node) in &self.below {
                let joined =
                    if label.is_empty() { segment.0.clone() } else { format!("{label}/{}", segment.0) };
                node.write(depth, &joined, now, lines);
            }
            return;
        }
        let many = self.below.len() > LISTED_MAX;
        let is_root = label.is_empty() && depth == 0 && self.step.is_none();
        if !is_root {
            lines.push(format!("{indent}{}", tally.line(label, now)));
        }
        if settled_well && !is_root {
            return;
        }
        let shown = self.below.iter().filter(|(_, node)| {
            let tally = node.tally();
            !many || tally.running > 0 || tally.failed > 0
        });
        for (segment, node) in shown.take(4 * LISTED_MAX) {
            node.write(depth + usize::from(!is_root), &segment.0, now, lines);
        }
    }

    fn tally(&self) -> Tally {
        let own = self.step.as_ref().map(Step::tally).unwrap_or_default();
        self.below.values().map(Node::tally).fold(own, Tally::with)
    }
}

impl Step {
    fn tally(&self) -> Tally {
        let failed = self.end.as_ref().is_some_and(|end| end.status != "succeeded");
        Tally {
            running: usize::from(self.end.is_none()),
            done: usize::from(self.end.is_some()),
            failed: usize::from(failed),
            since: Some(self.since),
            until: self.end.as_ref().map(|end| end.at),
        }
    }

    fn line(&self, label: &str, now: Timestamp) -> String {
        let attempt = if self.attempt > 1 { format!(" (attempt {})", self.attempt) } else { String::new() };
        let name = format!("{label} {}{attempt}", self.agent);
        match &self.end {
            Some(End { at, status }) if status == "succeeded" => {
                format!("✓ {name}  {}", span(at.ms_since(self.since)))
            }
            Some(End { at, status }) => format!("✗ {name}  {status}  {}", span(at.ms_since(self.since))),
            None => {
                let words = if self.words.is_empty() { String::new() } else { format!("  {}", self.words) };
                format!("▸ {name}  {}{words}", span(now.ms_since(self.since)))
            }
        }
    }
}

impl Tally {
    fn with(self, other: Tally) -> Tally {
        let earlier = |a: Option<Timestamp>, b: Option<Timestamp>| a.into_iter().chain(b).min();
        Tally {
            running: self.running + other.running,
            done: self.done + other.done,
            failed: self.failed + other.failed,
            since: earlier(self.since, other.since),
            until: self.until.max(other.until),
        }
    }

    fn line(&self, label: &str, now: Timestamp) -> String {
        let until = if self.running > 0 { Some(now) } else { self.until };
        let took =
            self.since.zip(until).map_or_else(String::new, |(since, until)| span(until.ms_since(since)));
        let failed = if self.failed > 0 { format!(", {} failed", self.failed) } else { String::new() };
        let total = self.done + self.running;
        match (self.running, self.failed) {
            (0, 0) => format!("✓ {label}  {total} steps  {took}"),
            (0, _) => format!("✗ {label}  {} of {total} done{failed}  {took}", self.done),
            (running, _) => {
                format!("▾ {label}  {} of {total} done, {running} running{failed}  {took}", self.done)
            }
        }
    }
}

impl Segment {
    /// Gives the text before the last number, and the number.
    fn key(&self) -> (&str, u64) {
        let digits = self.0.len() - self.0.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let (text, number) = self.0.split_at(self.0.len() - digits);
        (text, number.parse().unwrap_or(0))
    }
}

impl Ord for Segment {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Segment {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn span(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000),
    }
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or_default()
}

fn array<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: Timestamp = Timestamp::from_unix_ms(10_000);

    fn advanced(ms: i64, settled: &[(u64, &str)], started: &[(u64, &str)]) -> EventView {
        let inputs: Vec<_> = settled
            .iter()
            .map(|(turn, status)| json!({"type": "settled", "turn": turn, "status": status}))
            .collect();
        let started: Vec<_> = started
            .iter()
            .map(|(turn, path)| json!({"turn": turn, "path": path, "attempt": 1, "ref": "a"}))
            .collect();
        EventView {
            seq: 1,
            at: Timestamp::from_unix_ms(ms).to_string(),
            actor: "plane".to_owned(),
            subject: "run".to_owned(),
            kind: "run_advanced".to_owned(),
            payload: json!({"inputs": inputs, "started": started}),
        }
    }

    fn tree(events: &[EventView]) -> Tree {
        let mut tree = Tree::default();
        events.iter().for_each(|event| tree.take(event));
        tree
    }

    #[test]
    fn steps_stand_below_their_nodes_with_their_times() {
        let tree = tree(&[
            advanced(0, &[], &[(0, "0")]),
            advanced(1500, &[(0, "succeeded")], &[(1, "1/body#0/0")]),
            advanced(2000, &[(1, "succeeded")], &[(2, "1/body#0/1")]),
            advanced(3000, &[(2, "failed")], &[(3, "1/body#1/0")]),
        ]);
        assert_eq!(
            tree.lines(20, NOW),
            [
                "✓ 0 a  1.5 s",
                "▾ 1  2 of 3 done, 1 running, 1 failed  8.5 s",
                "  ✗ body#0  2 of 2 done, 1 failed  1.5 s",
                "    ✓ 0 a  500 ms",
                "    ✗ 1 a  failed  1.0 s",
                "  ▸ body#1/0 a  7.0 s",
            ]
        );
    }

    #[test]
    fn what_ended_well_is_one_line_and_many_branches_are_counted() {
        let paths: Vec<String> = (0..20).map(|n| format!("0/body#{n}")).collect();
        let started: Vec<_> = paths.iter().enumerate().map(|(n, path)| (n as u64, path.as_str())).collect();
        let settled: Vec<_> = (0..17).map(|n| (n, if n == 3 { "failed" } else { "succeeded" })).collect();
        let mut events = vec![advanced(0, &[], &started), advanced(1000, &settled, &[])];
        assert_eq!(
            tree(&events).lines(20, NOW),
            [
                "▾ 0  17 of 20 done, 3 running, 1 failed  10.0 s",
                "  ✗ body#3 a  failed  1.0 s",
                "  ▸ body#17 a  10.0 s",
                "  ▸ body#18 a  10.0 s",
                "  ▸ body#19 a  10.0 s",
            ]
        );
        events[1] = advanced(1000, &(0..20).map(|n| (n, "succeeded")).collect::<Vec<_>>(), &[(20, "1")]);
        assert_eq!(tree(&events).lines(20, NOW), ["✓ 0  20 steps  1.0 s", "▸ 1 a  9.0 s"]);
    }

    #[test]
    fn a_small_terminal_shows_the_end() {
        let paths: Vec<String> = (0..5).map(|n| n.to_string()).collect();
        let started: Vec<_> = paths.iter().enumerate().map(|(n, path)| (n as u64, path.as_str())).collect();
        let lines = tree(&[advanced(0, &[], &started)]).lines(3, NOW);
        assert_eq!(lines, ["… 3 lines above", "▸ 3 a  10.0 s", "▸ 4 a  10.0 s"]);
    }

    #[test]
    fn parts_of_paths_are_in_the_order_of_their_numbers() {
        let mut parts: Vec<_> =
            ["body#10", "body#9", "2", "10", "then", "else"].map(|part| Segment(part.to_owned())).into();
        parts.sort();
        let parts: Vec<_> = parts.into_iter().map(|part| part.0).collect();
        assert_eq!(parts, ["2", "10", "body#9", "body#10", "else", "then"]);
    }
}
