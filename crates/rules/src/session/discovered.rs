//! What is known of an agent that somebody else has started: only what its hooks tell.
//!
//! ```text
//! heard of ─▶ working, waiting, idle ── silent for SILENT_MS ─▶ unknown ── silent for FORGOTTEN_MS ─▶ forgotten
//!                    ▲        └── it says that it is over ─▶ over ── OVER_KEPT_MS ─▶ forgotten
//!                    └───────────────── any hook ─────────────┘
//! ```
//!
//! Its signals mean what those of a managed session mean, so the same rules take them.

use super::activity;
use adjutant_model::Timestamp;
use adjutant_model::discovered::Discovered;
use adjutant_model::session::{
    Activity, ActivityReport, DriverKind, NewSession, Session, SessionSource, Signal, SignalSource,
};

/// What one does is not known any more when it was silent for so long, in milliseconds.
pub const SILENT_MS: u64 = 30 * 60_000;
/// One that was silent for so long is forgotten, in milliseconds.
pub const FORGOTTEN_MS: u64 = 24 * 3_600_000;
/// One that is over is known for so long, in milliseconds.
pub const OVER_KEPT_MS: u64 = 3_600_000;

/// Takes what a hook told.
pub fn heard(known: &Discovered, signals: Vec<Signal>, now: Timestamp) -> Discovered {
    let mut session = as_session(known);
    for signal in signals {
        activity::observe(&mut session, signal, now);
    }
    Discovered {
        activity: session.activity,
        questions: session.questions,
        usage: session.usage,
        model_used: session.model_used,
        transcript: session.transcript,
        turns: session.turns,
        parked_until: session.parked_until,
        is_over: false,
        heard_at: now,
        ..known.clone()
    }
}

/// Takes that an agent said that its session is over.
pub fn over(known: &Discovered, now: Timestamp) -> Discovered {
    let activity = ActivityReport {
        activity: Activity::Unknown,
        since: now,
        source: SignalSource::Hook,
        evidence: "it said that it is over".to_owned(),
    };
    Discovered { activity, questions: Vec::new(), is_over: true, heard_at: now, ..known.clone() }
}

/// What becomes of one that is silent.
#[derive(Debug, Clone, PartialEq)]
pub enum Silence {
    /// Nothing yet.
    Kept,
    /// What it does is not known any more.
    Unknown(Box<Discovered>),
    /// It is forgotten, for this reason.
    Forgotten(&'static str),
}

/// Says what becomes of one that was not heard of since.
pub fn silence(known: &Discovered, now: Timestamp) -> Silence {
    let silent_ms = now.ms_since(known.heard_at);
    if known.is_over && silent_ms >= OVER_KEPT_MS {
        return Silence::Forgotten("it is over");
    }
    if silent_ms >= FORGOTTEN_MS {
        return Silence::Forgotten("it was silent for a day");
    }
    if known.is_over || known.activity.activity == Activity::Unknown || silent_ms < SILENT_MS {
        return Silence::Kept;
    }
    let evidence =
        format!("no hook for {} min, the last was {}", SILENT_MS / 60_000, known.activity.evidence);
    let activity = ActivityReport::unknown(now, evidence);
    Silence::Unknown(Box::new(Discovered { activity, questions: Vec::new(), ..known.clone() }))
}

/// Gives it as the rules of activity take it. What is left out is about being hosted.
fn as_session(known: &Discovered) -> Session {
    let new = NewSession {
        id: known.id,
        name: String::new(),
        agent: known.agent.clone(),
        driver: DriverKind::Tmux,
        source: SessionSource::Directory { path: known.cwd.clone().unwrap_or_default() },
        task: String::new(),
    };
    Session {
        activity: known.activity.clone(),
        questions: known.questions.clone(),
        usage: known.usage.clone(),
        model_used: known.model_used.clone(),
        transcript: known.transcript.clone(),
        turns: known.turns,
        parked_until: known.parked_until,
        ..Session::new(new, known.created_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adjutant_model::SessionId;
    use adjutant_model::id::Uuid;
    use adjutant_model::session::{AgentSignal, SessionUsage};

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_unix_ms(0).plus_ms(ms)
    }

    fn fresh() -> Discovered {
        Discovered {
            id: SessionId::new(Uuid::from_u128(7)),
            agent_session: "s".to_owned(),
            agent: "claude".to_owned(),
            cwd: Some("/p".to_owned()),
            activity: ActivityReport::unknown(at(0), "it was heard of"),
            questions: Vec::new(),
            usage: SessionUsage::default(),
            model_used: None,
            transcript: None,
            turns: 0,
            parked_until: None,
            is_over: false,
            created_at: at(0),
            heard_at: at(0),
        }
    }

    fn told(known: &Discovered, what: AgentSignal, now: u64) -> Discovered {
        heard(known, vec![Signal::new(SignalSource::Hook, "hook", what)], at(now))
    }

    #[test]
    fn it_is_known_by_its_hooks_alone_and_comes_back_with_one() {
        let works = told(&fresh(), AgentSignal::PromptTaken, 10);
        assert_eq!((works.activity.activity, works.activity.since), (Activity::Working, at(10)));
        let idle = told(&works, AgentSignal::TurnEnded { text: None, error: None }, 20);
        assert_eq!((idle.activity.activity, idle.turns, idle.heard_at), (Activity::Idle, 1, at(20)));
        let over = over(&idle, at(30));
        assert!(over.is_over && over.activity.activity == Activity::Unknown);
        assert!(!told(&over, AgentSignal::PromptTaken, 40).is_over);
    }

    #[test]
    fn one_that_is_silent_is_unknown_and_then_forgotten() {
        let works = told(&fresh(), AgentSignal::PromptTaken, 0);
        let is_over = over(&works, at(0));
        for (known, now, unknown, forgotten) in [
            (&works, SILENT_MS - 1, false, false),
            (&works, SILENT_MS, true, false),
            (&works, FORGOTTEN_MS, false, true),
            (&is_over, OVER_KEPT_MS - 1, false, false),
            (&is_over, OVER_KEPT_MS, false, true),
        ] {
            let found = silence(known, at(now));
            assert_eq!(matches!(found, Silence::Unknown(_)), unknown, "{now} {found:?}");
            assert_eq!(matches!(found, Silence::Forgotten(_)), forgotten, "{now} {found:?}");
        }
        let Silence::Unknown(unknown) = silence(&works, at(SILENT_MS)) else { panic!("it is unknown") };
        assert_eq!(silence(&unknown, at(SILENT_MS + 1)), Silence::Kept);
    }
}
