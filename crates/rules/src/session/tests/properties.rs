//! Properties of every life of a managed session, whatever happens in whatever order.

use super::{at, fresh, handle, question, used};
use crate::session::*;
use adjutant_model::session::{
    AgentExit, AgentSignal, Desired, FirstPrompt, Session, SessionBudget, SessionPhase, SessionState, Signal,
    SignalSource,
};
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::test_runner::TestCaseError;
use proptest::{prop_assert, prop_assert_eq};

/// What happens next; what an effect comes to fits what the session waits for, or comes late.
#[derive(Debug, Clone)]
enum Next {
    /// What the session waits for is done.
    Done,
    /// It could not be done.
    Failed { may_pass: bool },
    /// Whatever else.
    Event(Box<SessionEvent>),
}

fn signals() -> impl Strategy<Value = AgentSignal> {
    let usage = (0..900_u64, 0..40_u32).prop_map(|(tokens, cents)| used(tokens, f64::from(cents) / 100.0));
    let exit = prop_oneof![
        Just(AgentExit::Code(0)),
        Just(AgentExit::Code(1)),
        Just(AgentExit::Signal(9)),
        Just(AgentExit::Vanished),
        Just(AgentExit::WithDaemon)
    ];
    let quota = proptest::option::of(0..900_000_i64)
        .prop_map(|until| AgentSignal::QuotaSpent { until: until.map(at), text: "limit".to_owned() });
    prop_oneof![
        Just(AgentSignal::Began { agent_session: Some("s".to_owned()), model: None, transcript: None }),
        Just(AgentSignal::PromptTaken),
        Just(AgentSignal::Working),
        Just(AgentSignal::TurnEnded { text: None, error: None }),
        Just(AgentSignal::Output),
        Just(AgentSignal::Quiet { quiet_ms: 5_000 }),
        Just(AgentSignal::AskSettled { ask_id: None }),
        Just(question("a", "Bash")),
        quota,
        usage.clone().prop_map(AgentSignal::Used),
        usage.prop_map(AgentSignal::UsedMore),
        exit.prop_map(AgentSignal::Exited),
    ]
}

fn events() -> impl Strategy<Value = SessionEvent> {
    let source = prop_oneof![
        Just(SignalSource::Terminal),
        Just(SignalSource::Hook),
        Just(SignalSource::Protocol),
        Just(SignalSource::Process),
    ];
    let signal = (source, signals())
        .prop_map(|(source, what)| SessionEvent::Signal(Signal::new(source, "it told", what)));
    let command = prop_oneof![
        Just(SessionCommand::Stop),
        Just(SessionCommand::Resume),
        any::<bool>().prop_map(|force| SessionCommand::Decommission { force }),
    ];
    prop_oneof![
        8 => signal,
        6 => command.prop_map(SessionEvent::Command),
        2 => Just(SessionEvent::Woke),
        1 => Just(SessionEvent::Found),
        1 => Just(SessionEvent::OutOfReach { message: "no answer".to_owned() }),
        1 => Just(SessionEvent::Interrupted),
        1 => Just(SessionEvent::Answered { ask_id: "a".to_owned() }),
        1 => Just(SessionEvent::Snapshotted { refname: "refs/late".to_owned() }),
        // What comes late or twice.
        1 => Just(SessionEvent::WorkspaceReady),
        1 => Just(SessionEvent::Ended { exit: AgentExit::Code(0) }),
        1 => Just(SessionEvent::Removed { snapshot_ref: None }),
        1 => Just(SessionEvent::RemoveRefused { message: "late".to_owned() }),
        1 => Just(SessionEvent::TellFailed { message: "late".to_owned(), may_pass: true }),
        1 => Just(SessionEvent::LaunchFailed { message: "late".to_owned(), may_pass: true }),
        1 => Just(SessionEvent::WorkspaceFailed { message: "late".to_owned() }),
    ]
}

fn nexts() -> impl Strategy<Value = Vec<(Next, u64)>> {
    let next = prop_oneof![
        5 => Just(Next::Done),
        1 => any::<bool>().prop_map(|may_pass| Next::Failed { may_pass }),
        6 => events().prop_map(|event| Next::Event(Box::new(event))),
    ];
    proptest::collection::vec((next, 0..30_000_u64), 0..60)
}

/// Gives what an effect comes to.
fn outcome(session: &Session, effect: SessionEffect, failed: Option<bool>) -> SessionEvent {
    let message = "no".to_owned();
    match (effect, failed) {
        (SessionEffect::Provision, None) => SessionEvent::WorkspaceReady,
        (SessionEffect::Provision, Some(_)) => SessionEvent::WorkspaceFailed { message },
        (SessionEffect::Launch(launch), None) => SessionEvent::Launched {
            handle: handle(launch.number),
            resumed: false,
            token_id: None,
            to_tell: session.delivered_at.is_none().then_some(FirstPrompt::Task),
            expects_hooks: false,
        },
        (SessionEffect::Launch(_), Some(may_pass)) => SessionEvent::LaunchFailed { message, may_pass },
        (SessionEffect::Tell(_), None) => SessionEvent::Told,
        (SessionEffect::Tell(_), Some(may_pass)) => SessionEvent::TellFailed { message, may_pass },
        (SessionEffect::End, _) => SessionEvent::Ended { exit: AgentExit::Signal(15) },
        (SessionEffect::Remove { .. }, None) => {
            SessionEvent::Removed { snapshot_ref: Some("refs/last".to_owned()) }
        }
        (SessionEffect::Remove { .. }, Some(_)) => SessionEvent::RemoveRefused { message },
        (SessionEffect::Snapshot, _) => SessionEvent::Snapshotted { refname: "refs/turn".to_owned() },
    }
}

/// What must hold between two states.
fn check(
    before: &Session,
    event: &SessionEvent,
    after: &Session,
    effects: &[SessionEffect],
) -> Result<(), TestCaseError> {
    if before.state == SessionState::Decommissioned {
        prop_assert_eq!(before, after, "what is over changes no more");
        prop_assert!(effects.is_empty());
    }
    let lifecycle: Vec<&SessionEffect> =
        effects.iter().filter(|effect| **effect != SessionEffect::Snapshot).collect();
    prop_assert!(lifecycle.len() <= 1, "one at a time: {:?}", effects);
    if let [effect] = lifecycle[..] {
        let waited_for = pending(after);
        prop_assert_eq!(Some(effect), waited_for.as_ref(), "a crash performs it again");
    }
    let is_resume = *event == SessionEvent::Command(SessionCommand::Resume);
    if before.desired != Desired::Running && after.desired == Desired::Running {
        prop_assert!(is_resume, "only a person brings back what was stopped");
    }
    if lifecycle.iter().any(|effect| matches!(effect, SessionEffect::Launch(_))) {
        prop_assert_eq!(after.desired, Desired::Running, "nothing is started that is not wanted");
        prop_assert!(after.has_workspace);
        prop_assert_eq!(after.launches, before.launches + 1);
    }
    if after.phase == SessionPhase::Parked {
        prop_assert!(wakes_at(after).is_some() || is_at_rest(after), "what is parked is woken, or rests");
        prop_assert_eq!(after.desired, Desired::Running);
    }
    let is_wanted = after.desired == Desired::Running;
    prop_assert!(is_wanted || after.phase != SessionPhase::Running, "a stop ends the agent: {:?}", after);
    let has_agent = matches!(after.phase, SessionPhase::Running | SessionPhase::Ending);
    prop_assert_eq!(after.handle.is_some(), has_agent, "a handle is there exactly while the agent is");
    prop_assert!(after.to_tell.is_none() || after.handle.is_some());
    prop_assert!(after.questions.is_empty() || after.handle.is_some(), "who is not there asks nothing");
    prop_assert!(after.usage.tokens() >= before.usage.tokens(), "what was used stays used");
    prop_assert!(after.usage.cost_usd.unwrap_or(0.0) >= before.usage.cost_usd.unwrap_or(0.0));
    prop_assert!(after.turns >= before.turns && after.launches >= before.launches);
    prop_assert!(after.active_ms >= before.active_ms);
    if !after.force || before.force {
        return Ok(());
    }
    prop_assert_eq!(event, &SessionEvent::Command(SessionCommand::Decommission { force: true }));
    Ok(())
}

proptest! {
    #[test]
    fn whatever_happens_a_session_keeps_its_promises(
        nexts in nexts(), auto_resume: bool, max_tokens in proptest::option::of(1..5_000_u64),
    ) {
        let rules = SessionRules { auto_resume, price: None };
        let mut session = Session { budget: SessionBudget { max_tokens, ..SessionBudget::default() }, ..fresh() };
        let mut now = at(0);
        for (next, pause_ms) in nexts {
            now = now.plus_ms(pause_ms);
            let event = match next {
                Next::Event(event) => *event,
                Next::Done | Next::Failed { .. } => {
                    let failed = match next {
                        Next::Failed { may_pass } => Some(may_pass),
                        Next::Done | Next::Event(_) => None,
                    };
                    match pending(&session) {
                        Some(effect) => outcome(&session, effect, failed),
                        None => {
                            now = wakes_at(&session).unwrap_or(now).max(now);
                            SessionEvent::Woke
                        }
                    }
                }
            };
            let Ok(stepped) = step(&session, event.clone(), rules, now) else {
                prop_assert!(matches!(event, SessionEvent::Command(_)), "only commands are refused");
                continue;
            };
            check(&session, &event, &stepped.session, &stepped.effects)?;
            let again = step(&stepped.session, SessionEvent::Woke, rules, now).expect("it is no command");
            prop_assert!(
                !again.is_durable || !stepped.effects.is_empty() || wakes_at(&stepped.session).is_some(),
                "looking again without a reason changes nothing"
            );
            session = stepped.session;
        }
        // Left alone, with all that it waits for done, it comes to rest or runs.
        for _ in 0..200 {
            let Some(effect) = pending(&session) else { break };
            let event = outcome(&session, effect, None);
            session = step(&session, event, rules, now).expect("it is no command").session;
        }
        prop_assert_eq!(pending(&session), None, "it comes to an end");
        let stands = match session.desired {
            Desired::Running => true,
            Desired::Stopped => session.state == SessionState::Stopped || session.state == SessionState::Errored,
            Desired::Decommissioned => session.state == SessionState::Decommissioned,
        };
        prop_assert!(stands, "what is wanted comes about: {:?}", session);
    }
}
