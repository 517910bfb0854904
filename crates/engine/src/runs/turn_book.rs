//! Which turns of a run are open, and which index the next one gets.

use crate::approvals;
use crate::dispatch;
use adjutant_model::RunId;
use adjutant_model::run::StepPath;
use std::collections::{BTreeMap, HashMap};

/// The open turns of a run. Indexes are given in the order in which turns are written, without gaps.
#[derive(Debug, Clone, Default)]
pub(crate) struct TurnBook {
    next: u64,
    /// How often the run was taken back to a step; what it asks then is another question than before.
    reruns: u64,
    steps: HashMap<(StepPath, u32), u64>,
    /// Those of them that wait for a person's answer, with the rule that asks.
    asked: HashMap<(StepPath, u32), Option<String>>,
    /// Open tool calls, with the turn of the step they belong to.
    tools: BTreeMap<u64, u64>,
}

impl TurnBook {
    /// Goes on with a run that has `next` turns already, and was taken back to a step so often.
    pub(super) fn resume(next: u64, reruns: u64) -> Self {
        TurnBook { next, reruns, ..TurnBook::default() }
    }

    /// Gives how often the run was taken back to a step.
    pub(super) fn reruns(&self) -> u64 {
        self.reruns
    }

    /// Gives the id of the approval that a step asks for, the same whenever it is asked for.
    pub(super) fn approval_id(&self, run_id: &RunId, path: &StepPath, attempt: u32) -> String {
        let marker = dispatch::marker(run_id, path, attempt);
        match self.reruns {
            0 => approvals::id_of(marker),
            reruns => approvals::id_of(format_args!("{marker} again {reruns}")),
        }
    }

    /// Takes the next index for a turn that settles at once.
    pub(super) fn pass(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    pub(super) fn open_step(&mut self, path: StepPath, attempt: u32) -> u64 {
        let turn = self.pass();
        self.reopen_step(path, attempt, turn);
        turn
    }

    pub(super) fn reopen_step(&mut self, path: StepPath, attempt: u32, turn: u64) {
        self.steps.insert((path, attempt), turn);
    }

    /// Notes that an open step waits for a person's answer.
    pub(super) fn ask(&mut self, path: StepPath, attempt: u32, rule: Option<String>) {
        self.asked.insert((path, attempt), rule);
    }

    /// Notes that a step has its answer; gives the rule that asked, and nothing when the step did not wait for one.
    pub(super) fn answer(&mut self, path: &StepPath, attempt: u32) -> Option<Option<String>> {
        self.asked.remove(&(path.clone(), attempt))
    }

    /// Gives the steps that wait for an answer.
    pub(super) fn asked(&self) -> impl Iterator<Item = (&StepPath, u32)> {
        self.asked.keys().map(|(path, attempt)| (path, *attempt))
    }

    pub(super) fn is_asked(&self, path: &StepPath, attempt: u32) -> bool {
        self.asked.contains_key(&(path.clone(), attempt))
    }

    pub(super) fn open_tool(&mut self, step: u64) -> u64 {
        let turn = self.pass();
        self.tools.insert(turn, step);
        turn
    }

    /// Gives the turn of a step that is in flight.
    pub(super) fn step(&self, path: &StepPath, attempt: u32) -> Option<u64> {
        self.steps.get(&(path.clone(), attempt)).copied()
    }

    /// Closes a step's turn and gives it, with the tool calls that its agent left open.
    pub(super) fn close_step(&mut self, path: &StepPath, attempt: u32) -> Option<(u64, Vec<u64>)> {
        let key = (path.clone(), attempt);
        let step = self.steps.remove(&key)?;
        self.asked.remove(&key);
        let left: Vec<u64> =
            self.tools.iter().filter(|(_, of)| **of == step).map(|(turn, _)| *turn).collect();
        for turn in &left {
            self.tools.remove(turn);
        }
        Some((step, left))
    }

    /// Closes a tool call of a step; tells whether it was open.
    pub(super) fn close_tool(&mut self, turn: u64, step: u64) -> bool {
        self.tools.get(&turn) == Some(&step) && self.tools.remove(&turn).is_some()
    }

    pub(super) fn has_tool(&self, turn: u64) -> bool {
        self.tools.contains_key(&turn)
    }

    /// Gives how many steps are in flight; those that wait for an answer are not.
    pub(super) fn in_flight(&self) -> usize {
        self.steps.len() - self.asked.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_takes_its_open_tool_calls_with_it_and_no_others() {
        let mut book = TurnBook::default();
        let (a, b) = (StepPath::new("0"), StepPath::new("1"));
        assert_eq!((book.open_step(a.clone(), 1), book.open_step(b.clone(), 1)), (0, 1));
        assert_eq!((book.open_tool(0), book.open_tool(1), book.open_tool(0)), (2, 3, 4));
        assert!(book.close_tool(2, 0));
        assert!(!book.close_tool(2, 0), "it is closed");
        assert!(!book.close_tool(3, 0), "it is another step's");
        assert_eq!(book.close_step(&a, 1), Some((0, vec![4])));
        assert_eq!(book.close_step(&a, 1), None);
        assert_eq!((book.in_flight(), book.step(&b, 1), book.step(&b, 2)), (1, Some(1), None));
    }

    #[test]
    fn a_step_that_waits_for_an_answer_is_not_in_flight_until_it_has_one() {
        let mut book = TurnBook::default();
        let path = StepPath::new("0");
        book.open_step(path.clone(), 1);
        book.ask(path.clone(), 1, Some("rule".to_owned()));
        assert_eq!((book.in_flight(), book.is_asked(&path, 1)), (0, true));
        assert_eq!(book.answer(&path, 1), Some(Some("rule".to_owned())));
        assert_eq!((book.answer(&path, 1), book.in_flight()), (None, 1), "an answer counts once");
        book.ask(path.clone(), 1, None);
        book.close_step(&path, 1).expect("it is open");
        assert!(!book.is_asked(&path, 1), "it takes its question with it");
    }
}
