//! Places: how many steps of one agent are done at once, over all runs of this daemon.
//!
//! A blueprint's agent may say `max_concurrency`. Its steps then wait in one line, in the order they came, each with
//! the number that its own version of the blueprint says; so a new version that says another number needs no new line.
//! A step that waits has its turn and nothing of it has begun; the next daemon lets it wait again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// The places of all agents that have a limit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    lines: Arc<Mutex<HashMap<Agent, Line>>>,
}

/// An agent of a blueprint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Agent {
    pub(crate) blueprint_id: String,
    pub(crate) name: Arc<str>,
}

#[derive(Debug, Default)]
struct Line {
    taken: u32,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    max: u32,
    given: oneshot::Sender<Place>,
}

/// A place that is taken until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    /// Nothing once the place went to nobody.
    of: Option<(Places, Agent)>,
}

/// What comes of asking for a place.
#[derive(Debug)]
pub(crate) enum Asked {
    Given(Place),
    /// It comes when those before have gone; dropping this gives up the wait.
    Later(oneshot::Receiver<Place>),
}

impl Places {
    /// Asks for one of an agent's `max` places.
    pub(crate) fn ask(&self, agent: Agent, max: u32) -> Asked {
        let mut lines = self.lock();
        let line = lines.entry(agent.clone()).or_default();
        if line.waiting.is_empty() && line.taken < max {
            line.taken += 1;
            return Asked::Given(Place { of: Some((self.clone(), agent)) });
        }
        let (given, later) = oneshot::channel();
        line.waiting.push_back(Waiting { max, given });
        Asked::Later(later)
    }

    /// Takes a place back and gives what is free to those who wait, as long as the first of them may go.
    fn leave(&self, agent: &Agent) {
        let mut lines = self.lock();
        let Some(line) = lines.get_mut(agent) else { return };
        line.taken -= 1;
        while let Some(next) =
            line.waiting.pop_front_if(|next| line.taken < next.max || next.given.is_closed())
        {
            match next.given.send(Place { of: Some((self.clone(), agent.clone())) }) {
                Ok(()) => line.taken += 1,
                // Nobody waits there any more; the place is still free, and dropping it must not lock again.
                Err(mut place) => place.of = None,
            }
        }
        if line.taken == 0 && line.waiting.is_empty() {
            lines.remove(agent);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Agent, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((places, agent)) = self.of.take() {
            places.leave(&agent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(name: &str) -> Agent {
        Agent { blueprint_id: "a".to_owned(), name: name.into() }
    }

    #[track_caller]
    fn given(asked: Asked) -> Place {
        match asked {
            Asked::Given(place) => place,
            Asked::Later(_) => panic!("it has to wait"),
        }
    }

    #[track_caller]
    fn later(asked: Asked) -> oneshot::Receiver<Place> {
        match asked {
            Asked::Later(later) => later,
            Asked::Given(_) => panic!("it need not wait"),
        }
    }

    #[test]
    fn those_who_wait_go_in_the_order_they_came() {
        let places = Places::default();
        let (one, two) = (given(places.ask(agent("x"), 2)), given(places.ask(agent("x"), 2)));
        let (mut third, mut fourth) = (later(places.ask(agent("x"), 2)), later(places.ask(agent("x"), 2)));
        let _other_agents_have_their_own = given(places.ask(agent("y"), 1));
        assert!(third.try_recv().is_err());
        drop(one);
        let third = third.try_recv().expect("it is its turn");
        assert!(fourth.try_recv().is_err());
        drop((two, third));
        assert!(fourth.try_recv().is_ok());
        assert_eq!(places.lock().len(), 1, "an agent without steps is forgotten");
    }

    #[test]
    fn who_has_gone_holds_no_place_and_no_one_up() {
        let places = Places::default();
        let one = given(places.ask(agent("x"), 1));
        let gone = later(places.ask(agent("x"), 1));
        let unread = later(places.ask(agent("x"), 1));
        let mut last = later(places.ask(agent("x"), 1));
        drop(gone);
        drop(one);
        assert!(last.try_recv().is_err(), "the place went to the one before");
        drop(unread);
        drop(last.try_recv().expect("it is its turn"));
        assert!(places.lock().is_empty());
    }

    #[test]
    fn each_step_goes_by_the_number_of_its_own_version() {
        let places = Places::default();
        let three: Vec<Place> = (0..3).map(|_| given(places.ask(agent("x"), 3))).collect();
        let mut narrow = later(places.ask(agent("x"), 1));
        let mut wide = later(places.ask(agent("x"), 4));
        assert!(wide.try_recv().is_err(), "nobody overtakes");
        drop(three);
        let narrow = narrow.try_recv().expect("it is its turn");
        let wide = wide.try_recv().expect("so is this one's");
        drop((narrow, wide));
        assert!(places.lock().is_empty());
    }
}
