//! A step that an operator does, from the request to its end.
//!
//! ```text
//!  Open ── the worker gives a result ──► Given ── the operator acknowledges, or is gone for a while ──► the result
//!    └── the operator acknowledges or halts without one ──► what the operator says
//! ```

use adjutant_model::operator::{RequestKey, RequestKind};
use adjutant_model::run::{ErrorClass, StepFailure, StepOutcome, Usage};
use adjutant_model::{Timestamp, Value};

/// What an operator says of a step that it was handed.
#[derive(Debug, Clone, PartialEq)]
pub enum Ack {
    /// It is done.
    Done {
        /// The result, unless a worker has given one.
        value: Value,
        /// What the model used.
        usage: Option<Usage>,
    },
    /// It did not go well.
    Failed {
        /// Why.
        error: Option<String>,
        /// What there is besides.
        value: Value,
        /// What the model used.
        usage: Option<Usage>,
    },
    /// The operator stops it; the flow goes on with a value that says so.
    Halted {
        /// Why.
        reason: Option<String>,
        /// What there is so far.
        value: Value,
    },
}

/// What happens to a step that an operator does.
#[derive(Debug, Clone, PartialEq)]
pub enum SpawnEvent {
    /// A worker's result is durable.
    Given(StepOutcome),
    /// The operator has said how it went.
    Acked(Ack),
    /// The operator's socket is closed, or it is known no more.
    OperatorGone,
    /// The operator's socket is open.
    OperatorBack,
    /// Time has passed.
    Looked,
}

/// Where a step that an operator does stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SpawnState {
    /// The result that a worker has given.
    pub given: Option<StepOutcome>,
    /// Since when the operator is away.
    pub gone_since: Option<Timestamp>,
}

impl SpawnState {
    /// Takes an event; gives the state that follows, and how the step ends when it does. A worker's result counts
    /// whatever the operator says, and stands by itself when the operator is away for `grace_ms`.
    pub fn step(
        &self,
        event: SpawnEvent,
        grace_ms: u64,
        now: Timestamp,
    ) -> (SpawnState, Option<StepOutcome>) {
        let mut next = self.clone();
        match event {
            SpawnEvent::Given(outcome) => next.given = Some(outcome),
            SpawnEvent::Acked(ack) => {
                let outcome = next.given.clone().unwrap_or_else(|| said(ack));
                return (next, Some(outcome));
            }
            SpawnEvent::OperatorGone => next.gone_since = next.gone_since.or(Some(now)),
            SpawnEvent::OperatorBack => next.gone_since = None,
            SpawnEvent::Looked => {}
        }
        let is_over = next.due_at(grace_ms).is_some_and(|at| at <= now);
        let outcome = next.given.clone().filter(|_| is_over);
        (next, outcome)
    }

    /// Gives when the step ends by itself.
    pub fn due_at(&self, grace_ms: u64) -> Option<Timestamp> {
        self.given.as_ref()?;
        Some(self.gone_since?.plus_ms(grace_ms))
    }
}

/// Gives how a step ended of which only the operator has said anything.
fn said(ack: Ack) -> StepOutcome {
    match ack {
        Ack::Done { value, .. } => StepOutcome::Done(value),
        Ack::Failed { error, value, .. } => StepOutcome::Failed(StepFailure {
            message: error.unwrap_or_else(|| "the operator says that it did not go well".to_owned()),
            class: ErrorClass::Retry,
            value: (value != Value::Null).then_some(value),
        }),
        Ack::Halted { reason, value } => StepOutcome::Done(Value::object([
            ("halted", Value::Bool(true)),
            ("reason", reason.map_or(Value::Null, Value::from)),
            ("value", value),
        ])),
    }
}

/// Says what is wrong with a reply to a request; `open` are the requests that its sender has to answer, and `said` is
/// the kind of request that such a reply answers.
///
/// # Errors
/// What to tell the sender.
pub fn reply_refused(
    key: &RequestKey,
    said: RequestKind,
    mut open: impl Iterator<Item = RequestKey>,
) -> Result<(), String> {
    if key.kind != said {
        return Err(format!("this is no reply to `{}`: it answers `{}`", key.kind.as_str(), said.as_str()));
    }
    let newer = open.find(|open| open.kind == key.kind && open.step == key.step);
    match newer {
        Some(open) if open.generation == key.generation => Ok(()),
        Some(open) => Err(format!(
            "the seat has changed hands: generation {} is over, it is {} now",
            key.generation, open.generation
        )),
        None => {
            Err("no such request is open: it was answered, withdrawn, or is another operator's".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adjutant_model::id::Uuid;
    use adjutant_model::run::StepPath;
    use adjutant_model::{RunId, StepId};

    fn value(n: i64) -> Value {
        Value::from(serde_json::json!(n))
    }

    fn done(n: i64) -> StepOutcome {
        StepOutcome::Done(value(n))
    }

    /// What happens at which millisecond, and how the step ends by it.
    type Row = (Vec<(u64, SpawnEvent)>, Option<StepOutcome>);

    #[test]
    fn a_step_ends_by_its_operator_or_by_a_result_whose_operator_stays_away() {
        use SpawnEvent::{Acked, Given, Looked, OperatorBack, OperatorGone};
        let ack = |n| Acked(Ack::Done { value: value(n), usage: None });
        let halt = || Acked(Ack::Halted { reason: None, value: value(1) });
        let halted =
            StepOutcome::Done(Value::from(serde_json::json!({"halted": true, "reason": null, "value": 1})));
        let rows: Vec<Row> = vec![
            (vec![(0, ack(1))], Some(done(1))),
            (vec![(0, Given(done(2))), (1, ack(1))], Some(done(2))),
            (vec![(0, Given(done(2))), (1, halt())], Some(done(2))),
            (vec![(0, halt())], Some(halted)),
            (vec![(0, Given(done(2))), (9, Looked)], None),
            (vec![(0, Given(done(2))), (1, OperatorGone), (10, Looked)], None),
            (vec![(0, Given(done(2))), (1, OperatorGone), (11, Looked)], Some(done(2))),
            (vec![(0, OperatorGone), (50, Given(done(2)))], Some(done(2))),
            (vec![(0, OperatorGone), (5, Given(done(2))), (6, OperatorBack), (99, Looked)], None),
            (vec![(0, OperatorGone), (99, Looked)], None),
            (vec![(0, Given(done(2))), (1, Given(done(3))), (2, ack(1))], Some(done(3))),
            (vec![(0, OperatorGone), (7, OperatorGone), (8, Given(done(2))), (10, Looked)], Some(done(2))),
        ];
        for (events, expected) in rows {
            let told = format!("{events:?}");
            let (mut state, mut ended) = (SpawnState::default(), None);
            for (at, event) in events {
                assert_eq!(ended, None, "{told}");
                (state, ended) = state.step(event, 10, Timestamp::from_unix_ms(at as i64));
            }
            assert_eq!(ended, expected, "{told}");
        }
    }

    #[test]
    fn an_operator_that_failed_says_why() {
        let ack = Ack::Failed { error: Some("no".to_owned()), value: Value::Null, usage: None };
        let (_, ended) = SpawnState::default().step(SpawnEvent::Acked(ack), 10, Timestamp::from_unix_ms(0));
        let Some(StepOutcome::Failed(failure)) = ended else { panic!("{ended:?}") };
        assert_eq!((failure.message.as_str(), failure.value), ("no", None));
    }

    #[test]
    fn a_reply_counts_for_an_open_request_of_its_kind_and_generation() {
        let run = RunId::new(Uuid::from_u128(1));
        let key = |kind, path: &str, generation| RequestKey {
            kind,
            step: StepId::of(&run, &StepPath::new(path), 1),
            generation,
        };
        let open = [key(RequestKind::Spawn, "0", 2), key(RequestKind::Ask, "0", 1)];
        for (replied, said, expected) in [
            (key(RequestKind::Spawn, "0", 2), RequestKind::Spawn, ""),
            (key(RequestKind::Ask, "0", 1), RequestKind::Ask, ""),
            (key(RequestKind::Spawn, "0", 2), RequestKind::Ask, "no reply to"),
            (key(RequestKind::Spawn, "0", 1), RequestKind::Spawn, "generation 1 is over, it is 2 now"),
            (key(RequestKind::Spawn, "1", 2), RequestKind::Spawn, "no such request"),
        ] {
            let refused = reply_refused(&replied, said, open.iter().cloned()).err().unwrap_or_default();
            assert!(refused.contains(expected) && refused.is_empty() == expected.is_empty(), "{refused}");
        }
    }
}
