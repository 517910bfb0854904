//! The breaker: an agent that fails again and again is left alone for a while.
//!
//! ```text
//! Closed ──three failures in a row──▶ Open ──after the cool-down, when somebody asks──▶ HalfOpen (one trial)
//!    ▲                                 ▲                                                  │
//!    └──────────── success ────────────┼──────────────────────────────────────────────────┤
//!                                      └───────────────────── failure ────────────────────┘
//! ```

use adjutant_model::Timestamp;
use adjutant_model::breaker::{Breaker, Circuit};

/// When a breaker opens and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerConfig {
    /// So many failures in a row open it.
    pub failure_threshold: u32,
    /// So long it stays open before a trial, in milliseconds.
    pub cool_down_ms: u64,
    /// A trial that has told nothing for so long keeps nobody out any more, in milliseconds.
    pub trial_ms: u64,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        BreakerConfig { failure_threshold: 3, cool_down_ms: 60_000, trial_ms: 600_000 }
    }
}

/// What happened to an agent, or to its breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerEvent {
    /// It did what it should.
    Succeeded,
    /// It failed.
    Failed,
    /// It was let try; see [`refusal`].
    Admitted,
    /// A person says that it is well again.
    Reset,
}

/// Says why an agent may not be started now; nothing when it may.
pub fn refusal(breaker: &Breaker, config: BreakerConfig, now: Timestamp) -> Option<String> {
    let failures = breaker.consecutive_failures;
    match breaker.circuit {
        Circuit::Closed => None,
        Circuit::Open { since } => {
            let until = since.plus_ms(config.cool_down_ms);
            (now < until)
                .then(|| format!("it has failed {failures} times in a row and may try again at {until}"))
        }
        Circuit::HalfOpen { since } => {
            let until = since.plus_ms(config.trial_ms);
            (now < until)
                .then(|| format!("it has failed {failures} times in a row and one trial of it is under way"))
        }
    }
}

/// Gives where a breaker stands for whoever looks: after the cool-down the next one is let try. Looking changes nothing.
pub fn seen(breaker: &Breaker, config: BreakerConfig, now: Timestamp) -> Circuit {
    match breaker.circuit {
        Circuit::Open { since } if now >= since.plus_ms(config.cool_down_ms) => {
            Circuit::HalfOpen { since: since.plus_ms(config.cool_down_ms) }
        }
        circuit @ (Circuit::Closed | Circuit::Open { .. } | Circuit::HalfOpen { .. }) => circuit,
    }
}

/// Gives the breaker after an event.
pub fn step(breaker: &Breaker, config: BreakerConfig, event: BreakerEvent, now: Timestamp) -> Breaker {
    let failures = breaker.consecutive_failures;
    let (circuit, consecutive_failures) = match (event, breaker.circuit) {
        (BreakerEvent::Reset, _) => (Circuit::Closed, 0),
        (BreakerEvent::Succeeded, Circuit::Closed | Circuit::HalfOpen { .. }) => (Circuit::Closed, 0),
        // One that began before the breaker opened ends well: that says nothing of those after it.
        (BreakerEvent::Succeeded, open @ Circuit::Open { .. }) => (open, 0),
        (BreakerEvent::Failed, circuit) => {
            let failures = failures.saturating_add(1);
            let opens = match circuit {
                Circuit::Closed => failures >= config.failure_threshold,
                Circuit::HalfOpen { .. } => true,
                Circuit::Open { .. } => false,
            };
            (if opens { Circuit::Open { since: now } } else { circuit }, failures)
        }
        (BreakerEvent::Admitted, Circuit::Closed) => (Circuit::Closed, failures),
        (BreakerEvent::Admitted, Circuit::Open { .. } | Circuit::HalfOpen { .. }) => {
            (Circuit::HalfOpen { since: now }, failures)
        }
    };
    Breaker { circuit, consecutive_failures }
}

#[cfg(test)]
mod tests {
    use super::*;
    use BreakerEvent::{Admitted, Failed, Reset, Succeeded};

    const CONFIG: BreakerConfig =
        BreakerConfig { failure_threshold: 3, cool_down_ms: 60_000, trial_ms: 600_000 };

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_unix_ms(secs * 1000)
    }

    #[test]
    fn each_event_does_in_each_state_what_the_diagram_says() {
        let closed = |failures| Breaker { circuit: Circuit::Closed, consecutive_failures: failures };
        let open = |since, failures| Breaker {
            circuit: Circuit::Open { since: at(since) },
            consecutive_failures: failures,
        };
        let half = |since, failures| Breaker {
            circuit: Circuit::HalfOpen { since: at(since) },
            consecutive_failures: failures,
        };
        for (before, event, after) in [
            (closed(0), Failed, closed(1)),
            (closed(1), Failed, closed(2)),
            (closed(2), Failed, open(9, 3)),
            (closed(2), Succeeded, closed(0)),
            (closed(2), Admitted, closed(2)),
            (open(1, 3), Failed, open(1, 4)),
            (open(1, u32::MAX), Failed, open(1, u32::MAX)),
            (open(1, 3), Succeeded, open(1, 0)),
            (open(1, 3), Admitted, half(9, 3)),
            (half(1, 3), Failed, open(9, 4)),
            (half(1, 3), Succeeded, closed(0)),
            (half(1, 3), Admitted, half(9, 3)),
            (open(1, 3), Reset, closed(0)),
            (half(1, 3), Reset, closed(0)),
        ] {
            assert_eq!(step(&before, CONFIG, event, at(9)), after, "{before:?} {event:?}");
        }
    }

    #[test]
    fn an_open_one_lets_one_trial_in_after_its_cool_down() {
        let opened = Breaker { circuit: Circuit::Open { since: at(0) }, consecutive_failures: 3 };
        assert_eq!(refusal(&Breaker::default(), CONFIG, at(0)), None);
        assert!(refusal(&opened, CONFIG, at(59)).is_some_and(|why| why.contains("1970-01-01T00:01:00")));
        assert_eq!(refusal(&opened, CONFIG, at(60)), None);
        let trial = step(&opened, CONFIG, Admitted, at(60));
        assert!(refusal(&trial, CONFIG, at(61)).is_some_and(|why| why.contains("one trial")));
        assert_eq!(refusal(&trial, CONFIG, at(660)), None, "a trial that was lost keeps nobody out for good");
        assert_eq!(refusal(&step(&trial, CONFIG, Succeeded, at(61)), CONFIG, at(61)), None);
        assert!(refusal(&step(&trial, CONFIG, Failed, at(61)), CONFIG, at(62)).is_some());
    }
}
