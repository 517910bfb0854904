//! Which turns of a run are open, and which index the next one gets.

use adjutant_model::run::StepPath;
use std::collections::{BTreeMap, HashMap};

/// The open turns of a run. Indexes are given in the order in which turns are written, without gaps.
#[derive(Debug, Clone, Default)]
pub(super) struct TurnBook {
    next: u64,
    steps: HashMap<(StepPath, u32), u64>,
    /// Open tool calls, with the turn of the step they belong to.
    tools: BTreeMap<u64, u64>,
}

impl TurnBook {
    /// Goes on with a run that has `next` turns already.
    pub(super) fn resume(next: u64) -> Self {
        TurnBook { next, ..TurnBook::default() }
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
        let step = self.steps.remove(&(path.clone(), attempt))?;
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

    /// Gives how many steps are in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.steps.len()
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
}
