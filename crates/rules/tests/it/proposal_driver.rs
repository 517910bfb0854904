//! Drives a proposal's machine with scripted tools, a scripted gate and a clock that stands still between events.

use adjutant_model::proposal::{ActionResult, Proposal, ProposalResult};
use adjutant_model::{Timestamp, Value};
use adjutant_rules::proposal::{
    Given, ProposalEffect, ProposalEvent, ProposalLimits, ProposalState, ProposalTimer, Tool, ToolOutcome,
    ToolSet, World, read,
};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) const NOW: Timestamp = Timestamp::from_unix_ms(1_768_000_000_000);
/// How long a tool takes to answer.
pub(crate) const ANSWER_MS: u64 = 10;

/// A proposal on its way: what has happened, what will, and what was done.
pub(crate) struct Drive {
    pub(crate) state: ProposalState,
    pub(crate) world: World,
    pub(crate) now: Timestamp,
    /// Every event that was taken, in order.
    pub(crate) history: Vec<(ProposalEvent, Timestamp)>,
    /// Every effect, in order.
    pub(crate) effects: Vec<ProposalEffect>,
    coming: BTreeMap<(Timestamp, u64), ProposalEvent>,
    coming_next: u64,
    order: Order,
    /// The action whose tool always fails, whatever its script.
    sabotaged: Option<usize>,
}

/// Which of the events that are to come is next.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    /// The earliest.
    InTime,
    /// One that chance names; the clock never goes back.
    Shuffled(u64),
}

pub(crate) fn proposal(actions: serde_json::Value) -> Proposal {
    let mut ids = (0..).map(|n| if n == 0 { "p".to_owned() } else { format!("a{}", n - 1) });
    read(&Value::from(json!({"actions": actions})), Given { ids: &mut ids, now: NOW })
        .expect("it is well formed")
}

/// Tools whose names say what they do.
pub(crate) fn tools() -> ToolSet {
    [
        json!({"name": "echo"}),
        json!({"name": "null"}),
        json!({"name": "boom"}),
        json!({"name": "third"}),
        json!({"name": "hang"}),
        json!({"name": "hang_safely", "idempotent": true}),
        json!({"name": "silent"}),
        json!({"name": "strict", "parameters": {"type": "object", "required": ["a", "b"]}}),
        json!({"name": "cached", "cache_ttl_secs": 60}),
        json!({"name": "limited", "rate_limit": {"max_calls": 2, "interval_secs": 2}}),
    ]
    .into_iter()
    .map(|tool| Tool::read(&Value::from(tool)).expect("it is well formed"))
    .collect()
}

/// Gives how a call ends, by the tool's name; `silent` never answers.
fn answer(tool: &str, attempt: u32, parameters: &Value) -> Option<ToolOutcome> {
    let failed = |message: &str| ToolOutcome::Failed { message: message.to_owned() };
    match tool {
        "echo" | "cached" | "limited" | "strict" => Some(ToolOutcome::Done(parameters.clone())),
        "null" => Some(ToolOutcome::Done(Value::Null)),
        "third" if attempt >= 3 => Some(ToolOutcome::Done(Value::from("third time"))),
        "boom" | "third" => Some(failed("boom")),
        "hang" | "hang_safely" => Some(ToolOutcome::TimedOut),
        "silent" => None,
        other => panic!("there is no tool {other}"),
    }
}

impl Drive {
    pub(crate) fn new(actions: serde_json::Value) -> Drive {
        Drive::with(actions, ProposalLimits::default(), World::default())
    }

    pub(crate) fn with(actions: serde_json::Value, limits: ProposalLimits, world: World) -> Drive {
        let mut drive = Drive {
            state: ProposalState::new(proposal(actions), tools(), limits),
            world,
            now: NOW,
            history: Vec::new(),
            effects: Vec::new(),
            coming: BTreeMap::new(),
            coming_next: 0,
            order: Order::InTime,
            sabotaged: None,
        };
        drive.expect(NOW, ProposalEvent::Begun);
        drive
    }

    pub(crate) fn at(mut self, now: Timestamp) -> Drive {
        self.now = now;
        self
    }

    pub(crate) fn in_order(mut self, order: Order) -> Drive {
        self.order = order;
        self
    }

    pub(crate) fn sabotaged(mut self, action: Option<usize>) -> Drive {
        self.sabotaged = action;
        self
    }

    /// Goes on until nothing more is to come.
    pub(crate) fn run(mut self) -> Drive {
        while let Some(event) = self.next() {
            self.take(event);
        }
        self
    }

    /// Takes the next `count` events, or as many as there are.
    pub(crate) fn run_for(mut self, count: usize) -> Drive {
        for _ in 0..count {
            let Some(event) = self.next() else { break };
            self.take(event);
        }
        self
    }

    /// Forgets everything that is to come and asks anew for what the machine waits for.
    pub(crate) fn crash(mut self) -> Drive {
        self.coming.clear();
        if self.history.is_empty() {
            self.expect(self.now, ProposalEvent::Begun);
        }
        for effect in self.state.pending() {
            self.perform(effect);
        }
        self
    }

    pub(crate) fn take(&mut self, event: ProposalEvent) {
        self.history.push((event.clone(), self.now));
        let step = self.state.step(&self.world, event, self.now);
        self.state = step.state;
        self.world = step.world;
        for effect in step.effects {
            self.effects.push(effect.clone());
            self.perform(effect);
        }
    }

    fn next(&mut self) -> Option<ProposalEvent> {
        let nth = match &mut self.order {
            Order::InTime => 0,
            Order::Shuffled(dice) => {
                *dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (*dice >> 33) as usize % self.coming.len().max(1)
            }
        };
        let key = *self.coming.keys().nth(nth)?;
        self.now = self.now.max(key.0);
        self.coming.remove(&key)
    }

    fn expect(&mut self, at: Timestamp, event: ProposalEvent) {
        self.coming.insert((at, self.coming_next), event);
        self.coming_next += 1;
    }

    fn perform(&mut self, effect: ProposalEffect) {
        match effect {
            ProposalEffect::Judge { action } => {
                let denied = self.state.proposal().actions[action].parameters.get("deny").is_some();
                let reason = "policy `no-deny`: param 'deny' is there".to_owned();
                let event = match denied {
                    true => ProposalEvent::Refused { action, reason },
                    false => ProposalEvent::Allowed { action },
                };
                self.expect(self.now, event);
            }
            ProposalEffect::Execute { action, attempt, tool, parameters, timeout_ms } => {
                let sabotaged = self.sabotaged == Some(action);
                let outcome = match answer(&tool, attempt, &parameters) {
                    // Whether an answer of an equal call stands in for this one depends on the order of answers.
                    Some(_) if sabotaged && &*tool != "cached" => Some(ToolOutcome::Failed { message: "sabotage".to_owned() }),
                    other => other,
                };
                let Some(outcome) = outcome else { return };
                // Out of order the clock would jump ahead and let others time out too.
                let is_late = outcome == ToolOutcome::TimedOut && matches!(self.order, Order::InTime);
                let took_ms = if is_late { timeout_ms } else { ANSWER_MS };
                self.expect(self.now.plus_ms(took_ms), ProposalEvent::ToolSettled { action, attempt, outcome });
            }
            ProposalEffect::SetTimer { timer, due_at } => {
                self.expect(due_at, ProposalEvent::TimerFired(timer));
            }
            ProposalEffect::Cancel { action, attempt } => self.coming.retain(|_, event| {
                !matches!(event, ProposalEvent::ToolSettled { action: a, attempt: n, .. } if (*a, *n) == (action, attempt))
            }),
            ProposalEffect::Withdraw { .. }
            | ProposalEffect::StateChanged { .. }
            | ProposalEffect::Settled { .. } => {}
            ProposalEffect::Finish(_) => self.coming.clear(),
        }
    }

    pub(crate) fn result(&self) -> &Arc<ProposalResult> {
        self.state.result().unwrap_or_else(|| panic!("it waits for {:?}", self.state.pending()))
    }

    /// Gives the words for the results' states.
    pub(crate) fn statuses(&self) -> Vec<&'static str> {
        self.result().results.iter().map(|result| result.status.as_str()).collect()
    }

    pub(crate) fn errors(&self) -> Vec<&str> {
        self.result().results.iter().map(|result| result.error.as_deref().unwrap_or("")).collect()
    }

    /// Gives the calls that were made, as action and attempt.
    pub(crate) fn calls(&self) -> Vec<(usize, u32)> {
        let call = |effect: &ProposalEffect| {
            let ProposalEffect::Execute { action, attempt, .. } = effect else { return None };
            Some((*action, *attempt))
        };
        self.effects.iter().filter_map(call).collect()
    }

    /// Gives the pauses that actions made, in the order in which they were asked for.
    pub(crate) fn pauses_ms(&self) -> Vec<u64> {
        let fired = self.history.iter().filter_map(|(event, at)| {
            let is_pause = matches!(event, ProposalEvent::TimerFired(ProposalTimer::Action { .. }));
            is_pause.then(|| at.ms_since(NOW))
        });
        fired.collect()
    }

    /// Gives everything about the end that does not depend on when things happened.
    pub(crate) fn timeless(&self) -> Vec<Timeless> {
        self.result().results.iter().map(timeless).collect()
    }
}

/// A result without its times: id, status, output, error, state changes.
pub(crate) type Timeless = (Arc<str>, &'static str, Option<Value>, Option<String>, Value);

fn timeless(result: &ActionResult) -> Timeless {
    let ActionResult { action_id, status, output, error, state_changes, .. } = result.clone();
    (action_id, status.as_str(), output, error, state_changes)
}
