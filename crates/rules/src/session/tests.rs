mod properties;

use super::*;
use adjutant_model::id::Uuid;
use adjutant_model::session::{
    Activity, AgentQuestion, AgentSignal, DriverKind, NewSession, SessionBudget, SessionSource, SessionUsage,
    SignalSource, TaskEnd, WaitingFor,
};

const RULES: SessionRules = SessionRules { auto_resume: true, price: None };

fn at(ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(ms)
}

fn fresh() -> Session {
    let new = NewSession {
        id: SessionId::new(Uuid::from_u128(7)),
        name: "fix".to_owned(),
        agent: "rehearsal".to_owned(),
        driver: DriverKind::Tmux,
        source: SessionSource::Project { path: "/p".to_owned(), git_ref: None },
        task: "fix it".to_owned(),
    };
    Session::new(new, at(0))
}

fn handle(launch: u32) -> HostHandle {
    HostHandle { driver: DriverKind::Tmux, launch, terminal: Some("t".to_owned()), pid: 9, started_ticks: 1 }
}

fn launched() -> SessionEvent {
    SessionEvent::Launched {
        handle: handle(1),
        resumed: false,
        token_id: None,
        to_tell: None,
        expects_hooks: false,
    }
}

fn hook(evidence: &str, what: AgentSignal) -> SessionEvent {
    SessionEvent::Signal(Signal::new(SignalSource::Hook, evidence, what))
}

fn terminal(what: AgentSignal) -> SessionEvent {
    SessionEvent::Signal(Signal::new(SignalSource::Terminal, "terminal", what))
}

fn exited(exit: AgentExit) -> SessionEvent {
    SessionEvent::Signal(Signal::new(SignalSource::Process, "exit", AgentSignal::Exited(exit)))
}

fn began() -> SessionEvent {
    hook(
        "SessionStart",
        AgentSignal::Began { agent_session: Some("s-1".to_owned()), model: None, transcript: None },
    )
}

fn turn_ended() -> SessionEvent {
    hook("Stop", AgentSignal::TurnEnded { text: None, error: None })
}

fn command(command: SessionCommand) -> SessionEvent {
    SessionEvent::Command(command)
}

fn question(ask_id: &str, tool: &str) -> AgentSignal {
    AgentSignal::Asked(AgentQuestion {
        ask_id: ask_id.to_owned(),
        what: WaitingFor::Permission,
        text: "may I?".to_owned(),
        tool: Some(tool.to_owned()),
        input: None,
        options: Vec::new(),
        subagent: None,
        asked_at: at(0),
    })
}

fn used(input_tokens: u64, cost_usd: f64) -> SessionUsage {
    SessionUsage { input_tokens, cost_usd: Some(cost_usd), ..SessionUsage::default() }
}

/// Takes events, one every second, and gives where the session is and all that was to be done.
fn after(session: Session, events: Vec<SessionEvent>) -> (Session, Vec<SessionEffect>) {
    let mut effects = Vec::new();
    let mut session = session;
    let first = session.updated_at.unix_ms();
    for (event, number) in events.into_iter().zip(1..) {
        let stepped = step(&session, event, RULES, at(first + 1000 * number)).expect("it is followed");
        session = stepped.session;
        effects.extend(stepped.effects);
    }
    (session, effects)
}

fn running() -> Session {
    after(fresh(), vec![SessionEvent::WorkspaceReady, launched()]).0
}

/// Where a session stands, in the words of the table.
fn place(session: &Session) -> (SessionPhase, SessionState, Desired) {
    (session.phase, session.state, session.desired)
}

#[test]
fn every_event_leads_where_the_table_says() {
    use Desired::{Decommissioned as WantedGone, Running as Wanted, Stopped as WantedStopped};
    use SessionCommand::{Decommission, Resume, Stop};
    use SessionPhase::{Ending, Launching, Parked, Provisioning, Removing, Resting, Running};
    use SessionState::{Active, Decommissioned, Errored, Stopped};
    let failed = || SessionEvent::WorkspaceFailed { message: "no such ref".to_owned() };
    let not_started =
        |may_pass| SessionEvent::LaunchFailed { message: "no such program".to_owned(), may_pass };
    let ended = || SessionEvent::Ended { exit: AgentExit::Signal(15) };
    let gone = || Decommission { force: false };
    let provisioning = SessionState::Provisioning;
    let ready = || SessionEvent::WorkspaceReady;
    for (events, wanted) in [
        (vec![], (Provisioning, provisioning, Wanted)),
        (vec![ready()], (Launching, provisioning, Wanted)),
        (vec![failed()], (Resting, Errored, Wanted)),
        (vec![failed(), command(Resume)], (Provisioning, provisioning, Wanted)),
        (vec![command(Stop)], (Provisioning, provisioning, WantedStopped)),
        (vec![command(Stop), ready()], (Resting, Stopped, WantedStopped)),
        (vec![command(Stop), failed()], (Resting, Stopped, WantedStopped)),
        (vec![command(Stop), command(Resume), ready()], (Launching, provisioning, Wanted)),
        (vec![command(gone()), ready()], (Removing, Stopped, WantedGone)),
        (vec![command(gone()), failed()], (Resting, Decommissioned, WantedGone)),
        (vec![ready(), launched()], (Running, Active, Wanted)),
        (vec![ready(), not_started(false)], (Resting, Errored, Wanted)),
        (vec![ready(), not_started(true)], (Parked, Active, Wanted)),
        (vec![ready(), command(Stop), launched()], (Ending, Active, WantedStopped)),
        (vec![ready(), command(Stop), not_started(true)], (Resting, Stopped, WantedStopped)),
        (vec![ready(), command(gone()), launched()], (Ending, Active, WantedGone)),
        (vec![ready(), launched(), command(Stop)], (Ending, Active, WantedStopped)),
        (vec![ready(), launched(), command(Stop), ended()], (Resting, Stopped, WantedStopped)),
        (vec![ready(), launched(), command(Stop), command(Resume), ended()], (Launching, Active, Wanted)),
        (vec![ready(), launched(), command(Stop), ended(), command(Resume)], (Launching, Active, Wanted)),
        (vec![ready(), launched(), command(gone()), ended()], (Removing, Stopped, WantedGone)),
        (vec![ready(), launched(), exited(AgentExit::Code(0))], (Resting, Stopped, Wanted)),
        (vec![ready(), launched(), exited(AgentExit::Code(1))], (Parked, Active, Wanted)),
        (vec![ready(), launched(), exited(AgentExit::Vanished)], (Parked, Active, Wanted)),
        (vec![ready(), launched(), exited(AgentExit::WithDaemon)], (Launching, Active, Wanted)),
        (
            vec![ready(), launched(), command(Stop), exited(AgentExit::WithDaemon)],
            (Ending, Active, WantedStopped),
        ),
        (
            vec![ready(), launched(), exited(AgentExit::Signal(9)), SessionEvent::Woke],
            (Launching, Active, Wanted),
        ),
        (
            vec![ready(), launched(), exited(AgentExit::Signal(9)), command(Stop)],
            (Resting, Stopped, WantedStopped),
        ),
        (
            vec![ready(), launched(), exited(AgentExit::Signal(9)), command(Stop), SessionEvent::Woke],
            (Resting, Stopped, WantedStopped),
        ),
        (
            vec![ready(), launched(), command(Stop), exited(AgentExit::Signal(15))],
            (Ending, Active, WantedStopped),
        ),
        (
            vec![
                ready(),
                launched(),
                command(gone()),
                ended(),
                SessionEvent::RemoveRefused { message: "work would be lost".to_owned() },
            ],
            (Resting, Stopped, WantedStopped),
        ),
        (
            vec![
                ready(),
                launched(),
                command(gone()),
                ended(),
                SessionEvent::Removed { snapshot_ref: Some("refs/x".to_owned()) },
            ],
            (Resting, Decommissioned, WantedGone),
        ),
    ] {
        let shown = format!("{events:?}");
        let (session, _) = after(fresh(), events);
        assert_eq!(place(&session), wanted, "{shown}");
    }
}

#[test]
fn what_a_session_waits_for_is_given_again_after_a_crash() {
    let events = vec![
        SessionEvent::WorkspaceReady,
        launched(),
        command(SessionCommand::Decommission { force: true }),
        SessionEvent::Ended { exit: AgentExit::Code(0) },
    ];
    let mut session = fresh();
    assert_eq!(pending(&session), Some(SessionEffect::Provision));
    for event in events {
        let stepped = step(&session, event, RULES, at(5)).expect("it is followed");
        session = stepped.session;
        let waited_for: Vec<SessionEffect> = pending(&session).into_iter().collect();
        assert_eq!(stepped.effects, waited_for, "{:?}", session.phase);
    }
    assert_eq!(pending(&session), Some(SessionEffect::Remove { force: true }));
}

#[test]
fn an_event_that_comes_twice_changes_nothing() {
    let (session, _) = after(running(), vec![began(), command(SessionCommand::Stop)]);
    for late in [SessionEvent::WorkspaceReady, launched(), command(SessionCommand::Stop)] {
        let shown = format!("{late:?}");
        let again = step(&session, late, RULES, at(9_000)).expect("it is followed");
        assert_eq!((again.session.phase, again.effects), (SessionPhase::Ending, vec![]), "{shown}");
    }
    let (stopped, _) = after(session, vec![SessionEvent::Ended { exit: AgentExit::Code(0) }]);
    for late in [
        SessionEvent::Ended { exit: AgentExit::Code(0) },
        exited(AgentExit::Code(1)),
        turn_ended(),
        SessionEvent::Woke,
    ] {
        let shown = format!("{late:?}");
        let again = step(&stopped, late, RULES, at(9_000)).expect("it is followed");
        assert_eq!((&again.session, again.is_durable), (&stopped, false), "{shown}");
    }
}

#[test]
fn an_agent_goes_on_with_what_it_was_told_and_never_loses_its_task() {
    let died = || exited(AgentExit::Signal(9));
    let relaunch = |with| SessionEffect::Launch(Launch { number: 2, with });
    let prompted = || hook("UserPromptSubmit", AgentSignal::PromptTaken);
    for (told, with) in [
        (vec![], LaunchWith::Task),
        (vec![began()], LaunchWith::Task),
        (vec![prompted()], LaunchWith::Task),
        (vec![began(), prompted()], LaunchWith::ContextToGoOn),
        (vec![began(), prompted(), turn_ended()], LaunchWith::Context),
    ] {
        let shown = format!("{told:?}");
        let events = told.into_iter().chain([died(), SessionEvent::Woke]).collect();
        let (_, effects) = after(running(), events);
        assert_eq!(effects.last(), Some(&relaunch(with)), "{shown}");
    }
    let by_hand = vec![
        began(),
        prompted(),
        command(SessionCommand::Stop),
        SessionEvent::Ended { exit: AgentExit::Code(0) },
        command(SessionCommand::Resume),
    ];
    assert_eq!(
        after(running(), by_hand).1.last(),
        Some(&relaunch(LaunchWith::Context)),
        "a stop is no death"
    );
}

#[test]
fn what_is_typed_is_told_once_and_again_only_when_nobody_knows() {
    let to_tell = Some(FirstPrompt::Task);
    let typed = SessionEvent::Launched {
        handle: handle(1),
        resumed: false,
        token_id: None,
        to_tell,
        expects_hooks: false,
    };
    let (session, effects) = after(fresh(), vec![SessionEvent::WorkspaceReady, typed.clone()]);
    assert_eq!(effects.last(), Some(&SessionEffect::Tell(FirstPrompt::Task)));
    assert_eq!(pending(&session), Some(SessionEffect::Tell(FirstPrompt::Task)), "the daemon may die now");
    let (told, _) = after(session.clone(), vec![SessionEvent::Told]);
    assert_eq!((pending(&told), told.phase), (None, SessionPhase::Running));
    let (died, _) = after(session.clone(), vec![exited(AgentExit::Signal(9))]);
    assert_eq!(pending(&died), None, "the next start tells it");
    let (taken, _) = after(session, vec![hook("UserPromptSubmit", AgentSignal::PromptTaken)]);
    assert_eq!(pending(&taken), None, "the agent has said that it was told");
    let stopped = vec![SessionEvent::WorkspaceReady, command(SessionCommand::Stop), typed];
    assert_eq!(after(fresh(), stopped).1.last(), Some(&SessionEffect::End));
}

#[test]
fn what_could_not_be_told_is_told_again_a_few_times_and_then_waits_for_a_person() {
    let to_tell = Some(FirstPrompt::Task);
    let SessionEvent::Launched { handle, resumed, token_id, expects_hooks, .. } = launched() else { return };
    let typed = SessionEvent::Launched { handle, resumed, token_id, to_tell, expects_hooks };
    let begun = after(fresh(), vec![SessionEvent::WorkspaceReady, typed]).0;
    let failed = |may_pass| SessionEvent::TellFailed { message: "no terminal".to_owned(), may_pass };
    let mut session = begun.clone();
    let mut pauses = Vec::new();
    let mut now = at(60_000);
    loop {
        session = step(&session, failed(true), RULES, now).expect("it is followed").session;
        let late = step(&session, failed(true), RULES, now).expect("it is followed");
        assert_eq!(late.session.tell_failures, session.tell_failures, "what comes twice counts once");
        let Some(due) = wakes_at(&session) else { break };
        assert_eq!((pending(&session), is_untold(&session)), (None, false));
        pauses.push(due.ms_since(now) / 1000);
        let woken = step(&session, SessionEvent::Woke, RULES, due).expect("it is followed");
        assert_eq!(woken.effects, [SessionEffect::Tell(FirstPrompt::Task)]);
        (session, now) = (woken.session, due);
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16]);
    assert!(is_untold(&session) && pending(&session).is_none());
    let reason = session.reason.clone().expect("it says why");
    assert_eq!(reason, "the agent could not be told its task: no terminal; tell it yourself");
    let (told, _) = after(session, vec![hook("UserPromptSubmit", AgentSignal::PromptTaken)]);
    assert_eq!((is_untold(&told), told.reason), (false, None), "a person has told it");
    assert!(is_untold(&after(begun.clone(), vec![failed(false)]).0), "what cannot pass is not tried again");
    let (again, effects) = after(begun, vec![failed(true), exited(AgentExit::Signal(9)), SessionEvent::Woke]);
    assert_eq!((again.tell_failures, again.tell_at), (0, None), "the next start begins anew");
    assert!(matches!(effects.last(), Some(SessionEffect::Launch(_))), "{effects:?}");
}

#[test]
fn a_storm_of_deaths_waits_for_a_person_and_slow_ones_do_not() {
    let mut session = running();
    let mut pauses = Vec::new();
    for death in 1..=STORM_DEATHS {
        let now = at(10_000 * death as i64);
        session = step(&session, exited(AgentExit::Code(1)), RULES, now).expect("it is followed").session;
        let Some(until) = session.parked_until else { break };
        pauses.push(until.ms_since(now));
        session = step(&session, SessionEvent::Woke, RULES, until).expect("it is followed").session;
        session = step(&session, launched(), RULES, until).expect("it is followed").session;
    }
    assert_eq!(pauses, [500, 1000, 2000, 4000]);
    assert_eq!((session.phase, session.state), (SessionPhase::Parked, SessionState::Errored));
    assert!(is_at_rest(&session) && wakes_at(&session).is_none());
    let (resumed, _) = after(session, vec![command(SessionCommand::Resume)]);
    assert_eq!((resumed.phase, resumed.deaths.len()), (SessionPhase::Launching, 0));

    let mut slow = running();
    for death in 1..=10 {
        let now = at(60_000 * death);
        slow = step(&slow, exited(AgentExit::Vanished), RULES, now).expect("it is followed").session;
        let until = slow.parked_until.expect("it is started again");
        slow = step(&slow, SessionEvent::Woke, RULES, until).expect("it is followed").session;
        slow = step(&slow, launched(), RULES, until).expect("it is followed").session;
    }
}

#[test]
fn without_auto_resume_a_death_is_told_and_nothing_else() {
    let rules = SessionRules { auto_resume: false, ..RULES };
    let stepped = step(&running(), exited(AgentExit::Signal(11)), rules, at(9)).expect("it is followed");
    let session = stepped.session;
    assert_eq!((session.phase, session.state), (SessionPhase::Resting, SessionState::Errored));
    assert_eq!(session.reason.as_deref(), Some("the agent died: signal 11; auto_resume is off"));
}

#[test]
fn a_daemon_s_end_is_no_death_of_its_agents() {
    let prompted = || hook("UserPromptSubmit", AgentSignal::PromptTaken);
    let mut session = after(running(), vec![began(), prompted()]).0;
    for restart in 1..=2 * STORM_DEATHS {
        let now = at(100_000 + 1_000 * restart as i64);
        let stepped = step(&session, exited(AgentExit::WithDaemon), RULES, now).expect("it is followed");
        let launch = Launch { number: session.launches + 1, with: LaunchWith::ContextToGoOn };
        assert_eq!(stepped.effects, [SessionEffect::Launch(launch)], "restart {restart}");
        assert_eq!(stepped.session.deaths, []);
        session = step(&stepped.session, launched(), RULES, now).expect("it is followed").session;
        session = step(&session, prompted(), RULES, now).expect("it is followed").session;
    }
    let rules = SessionRules { auto_resume: false, ..RULES };
    let stepped = step(&session, exited(AgentExit::WithDaemon), rules, at(900_000)).expect("it is followed");
    assert_eq!(place(&stepped.session), (SessionPhase::Resting, SessionState::Stopped, Desired::Running));
    let why = "it ended with the daemon that held it; auto_resume is off".to_owned();
    assert_eq!(stepped.session.reason.as_ref(), Some(&why));
    assert_eq!(stepped.session.task_end, Some(TaskEnd::Cancelled { reason: why }), "it is not completed");
    let (resumed, effects) = after(stepped.session, vec![command(SessionCommand::Resume)]);
    let launch = Launch { number: resumed.launches, with: LaunchWith::Context };
    assert_eq!(effects, [SessionEffect::Launch(launch)]);
}

#[test]
fn a_spent_quota_parks_a_session_until_it_is_there_again() {
    let quota = |until| hook("StopFailure", AgentSignal::QuotaSpent { until, text: "limit".to_owned() });
    let (waiting, _) = after(running(), vec![began(), quota(Some(at(900_000)))]);
    assert_eq!(waiting.activity.activity, Activity::Waiting(WaitingFor::Quota));
    let (parked, _) = after(waiting.clone(), vec![exited(AgentExit::Code(1))]);
    assert_eq!((parked.phase, wakes_at(&parked)), (SessionPhase::Parked, Some(at(900_000))));
    assert!(parked.deaths.is_empty(), "that is no death");
    let early = step(&parked, SessionEvent::Woke, RULES, at(800_000)).expect("it is followed");
    assert_eq!(early.session.phase, SessionPhase::Parked);
    let due = step(&parked, SessionEvent::Woke, RULES, at(900_000)).expect("it is followed");
    assert_eq!(due.session.phase, SessionPhase::Launching);

    let (works, _) = after(waiting, vec![hook("PreToolUse", AgentSignal::Working)]);
    assert_eq!((works.activity.activity, works.parked_until), (Activity::Working, None));
    let (unknown, _) = after(running(), vec![quota(None), exited(AgentExit::Code(1))]);
    assert_eq!(unknown.parked_until, Some(at(unknown.updated_at.unix_ms()).plus_ms(QUOTA_PAUSE_MS)));
}

#[test]
fn activity_follows_the_signal_that_is_trusted_most() {
    let tool =
        |tool: &str| hook("PreToolUse", AgentSignal::ToolBegan { tool: tool.to_owned(), call_id: None });
    let quiet = || terminal(AgentSignal::Quiet { quiet_ms: 5_000 });
    let output = || terminal(AgentSignal::Output);
    let (working, idle) = (Activity::Working, Activity::Idle);
    let waiting = Activity::Waiting(WaitingFor::Permission);
    let ask = |id: &str| hook("PermissionRequest", question(id, "Bash"));
    let did = |id: Option<&str>| {
        let (tool, call_id) = ("Bash".to_owned(), id.map(str::to_owned));
        hook("PostToolUse", AgentSignal::ToolEnded { tool, call_id, ok: true })
    };
    let settled =
        |id: &str| hook("PermissionGranted", AgentSignal::AskSettled { ask_id: Some(id.to_owned()) });
    let out_of_reach = || SessionEvent::OutOfReach { message: "tmux does not answer".to_owned() };
    for (events, wanted) in [
        (vec![], Activity::Unknown),
        (vec![output()], working),
        (vec![output(), quiet()], idle),
        (vec![began()], idle),
        (vec![began(), output()], idle),
        (vec![tool("Bash"), quiet()], working),
        (vec![tool("Bash"), turn_ended()], idle),
        (vec![tool("Bash"), turn_ended(), output()], idle),
        (vec![tool("Bash"), SessionEvent::Interrupted, quiet()], idle),
        (vec![tool("Bash"), SessionEvent::Interrupted, tool("Bash"), quiet()], working),
        (vec![tool("Bash"), SessionEvent::Found], working),
        (vec![tool("Bash"), SessionEvent::Found, quiet()], working),
        (vec![tool("Bash"), turn_ended(), SessionEvent::Found, output()], idle),
        (vec![ask("a"), SessionEvent::Found, quiet()], waiting),
        (vec![ask("a"), out_of_reach(), SessionEvent::Found, quiet()], waiting),
        (vec![tool("Bash"), out_of_reach()], Activity::Unknown),
        (vec![tool("Bash"), out_of_reach(), SessionEvent::Found, quiet()], idle),
        (vec![tool("Bash"), out_of_reach(), tool("Bash")], working),
        (vec![ask("a")], waiting),
        (vec![ask("a"), SessionEvent::Interrupted], Activity::Unknown),
        (vec![ask("a"), tool("Read")], waiting),
        (vec![ask("a"), did(Some("a"))], working),
        (vec![ask("a"), did(None)], working),
        (vec![ask("a"), ask("b"), did(Some("b"))], waiting),
        (vec![ask("a"), ask("a"), settled("a")], working),
        (vec![ask("a"), settled("b")], waiting),
        (vec![ask("a"), SessionEvent::Answered { ask_id: "a".to_owned() }], working),
        (vec![ask("a"), turn_ended()], idle),
    ] {
        let shown = format!("{events:?}");
        let (session, _) = after(running(), events);
        assert_eq!(session.activity.activity, wanted, "{shown}");
    }
}

#[test]
fn an_agent_whose_hooks_stay_silent_has_not_begun() {
    let quiet = || terminal(AgentSignal::Quiet { quiet_ms: 5_000 });
    let launched = SessionEvent::Launched {
        handle: handle(1),
        resumed: false,
        token_id: None,
        to_tell: None,
        expects_hooks: true,
    };
    let dialog = vec![SessionEvent::WorkspaceReady, launched, terminal(AgentSignal::Output), quiet()];
    let (waiting, _) = after(fresh(), dialog);
    assert_eq!(waiting.activity.activity, Activity::Waiting(WaitingFor::Question));
    assert_eq!(waiting.questions[0].ask_id, "terminal");
    let (begun, _) = after(waiting, vec![began(), quiet()]);
    assert_eq!((begun.activity.activity, begun.questions.len()), (Activity::Idle, 0));
}

#[test]
fn since_is_when_it_began_and_evidence_says_what_told() {
    let tool = || hook("PreToolUse", AgentSignal::Working);
    let (session, _) = after(running(), vec![tool(), tool(), tool()]);
    let first = at(running().updated_at.unix_ms() + 1000);
    assert_eq!((session.activity.since, session.activity.evidence.as_str()), (first, "PreToolUse"));
    let once = after(running(), vec![tool()]).0;
    let again = step(&once, tool(), RULES, at(90_000)).expect("it is followed");
    assert!(!again.is_durable, "nothing but the time of the last signal changed");
    assert_eq!(again.session.last_activity_at, Some(at(90_000)));
}

#[test]
fn a_turn_that_ended_is_kept_in_a_snapshot() {
    let prompted = || hook("UserPromptSubmit", AgentSignal::PromptTaken);
    let told_twice = vec![prompted(), turn_ended(), turn_ended(), prompted(), turn_ended(), turn_ended()];
    let (session, effects) = after(running(), told_twice);
    assert_eq!((session.turns, effects), (2, vec![SessionEffect::Snapshot; 2]));
    let quiet = terminal(AgentSignal::Quiet { quiet_ms: 5_000 });
    let (found, effects) = after(running(), vec![prompted(), SessionEvent::Found, quiet, turn_ended()]);
    assert_eq!((found.turns, effects), (1, vec![SessionEffect::Snapshot]), "a quiet terminal is no end");
}

#[test]
fn a_budget_stops_before_it_is_passed() {
    let with = |budget| Session { budget, ..running() };
    let tokens = |max| with(SessionBudget { max_tokens: Some(max), ..SessionBudget::default() });
    let dollars = |max| with(SessionBudget { max_cost_usd: Some(max), ..SessionBudget::default() });
    let more = |tokens, cost| hook("usage", AgentSignal::UsedMore(used(tokens, cost)));
    let total = |tokens, cost| hook("usage", AgentSignal::Used(used(tokens, cost)));
    for (session, events, stops) in [
        (tokens(1000), vec![more(400, 0.1)], false),
        (tokens(1000), vec![more(400, 0.1), more(200, 0.1)], false),
        (tokens(1000), vec![more(400, 0.1), more(201, 0.1)], true),
        (tokens(1000), vec![more(1000, 0.1)], true),
        (tokens(1000), vec![total(300, 0.1), total(600, 0.2)], false),
        (tokens(1000), vec![total(300, 0.1), total(600, 0.2), total(701, 0.3)], true),
        (dollars(1.0), vec![more(1, 0.25), more(1, 0.25), more(1, 0.25)], false),
        (dollars(1.0), vec![more(1, 0.25), more(1, 0.25), more(1, 0.26)], true),
    ] {
        let shown = format!("{:?} {events:?}", session.budget);
        let (session, effects) = after(session, events);
        assert_eq!(session.phase == SessionPhase::Ending, stops, "{shown}");
        assert_eq!(effects.contains(&SessionEffect::End), stops, "{shown}");
        assert_eq!(session.desired == Desired::Stopped, stops, "{shown}");
    }
    // Three dollars a million tokens: of what tells no cost, and of nothing else.
    let rules = SessionRules { price: Some(Price { input: 3.0, output: 15.0 }), ..RULES };
    let unpriced = |tokens| SessionUsage { cost_usd: None, ..used(tokens, 0.0) };
    for (events, spent) in [
        (vec![unpriced(100_000), unpriced(100_000)], None),
        (
            vec![unpriced(100_000), unpriced(140_000)],
            Some("0.7200 of 1.0000 US dollars, as estimated, and the next step would pass it"),
        ),
        (vec![used(100_000, 0.1), used(900_000, 0.3)], None),
    ] {
        let shown = format!("{events:?}");
        let session = events.into_iter().fold(dollars(1.0), |session, usage| {
            let event = hook("usage", AgentSignal::UsedMore(usage));
            step(&session, event, rules, at(90_000)).expect("it is followed").session
        });
        assert_eq!(over_budget(&session, rules.price, at(90_000)).as_deref(), spent, "{shown}");
        assert_eq!(session.phase == SessionPhase::Ending, spent.is_some(), "{shown}");
    }
    let minutes = with(SessionBudget { max_minutes: Some(2), ..SessionBudget::default() });
    let over = minutes.launched_at.expect("it runs").plus_ms(120_000);
    assert_eq!(wakes_at(&minutes), Some(over));
    let stopped = step(&minutes, SessionEvent::Woke, RULES, over).expect("it is followed").session;
    assert_eq!(stopped.reason.as_deref(), Some("its budget is spent: 2 minutes"));
    let (stopped, _) = after(stopped, vec![SessionEvent::Ended { exit: AgentExit::Code(0) }]);
    let refused = step(&stopped, command(SessionCommand::Resume), RULES, over.plus_ms(9)).unwrap_err();
    assert!(matches!(refused, SessionRefusal::BudgetSpent(..)), "{refused}");
}

#[test]
fn usage_goes_over_starts_and_is_counted_once() {
    let total = |tokens, cost| hook("usage", AgentSignal::Used(used(tokens, cost)));
    let events = vec![
        total(100, 0.5),
        total(150, 0.75),
        total(150, 0.75),
        exited(AgentExit::Signal(9)),
        SessionEvent::Woke,
        launched(),
        total(40, 0.25),
    ];
    let (session, _) = after(running(), events);
    assert_eq!((session.usage.input_tokens, session.usage.cost_usd), (190, Some(1.0)));
}

#[test]
fn what_is_over_takes_no_command() {
    let gone = Session { state: SessionState::Decommissioned, phase: SessionPhase::Resting, ..running() };
    for refused in
        [SessionCommand::Stop, SessionCommand::Resume, SessionCommand::Decommission { force: true }]
    {
        let refusal = step(&gone, command(refused), RULES, at(1)).unwrap_err();
        assert_eq!(refusal, SessionRefusal::Decommissioned(gone.id), "{refused:?}");
    }
    let refusal = step(&running(), command(SessionCommand::Resume), RULES, at(1)).unwrap_err();
    assert_eq!(refusal, SessionRefusal::Already(gone.id, "active"));
}

#[test]
fn an_agent_cannot_choose_the_options_of_its_next_start() {
    let began = |id: &str| {
        let agent_session = Some(id.to_owned());
        hook("SessionStart", AgentSignal::Began { agent_session, model: None, transcript: None })
    };
    let long = "x".repeat(257);
    for id in [
        "--dangerously-skip-permissions",
        "-c",
        "",
        "a b",
        "a\nb",
        "a\0",
        "a=b",
        "{prompt}",
        "\u{1b}[2J",
        &long,
    ] {
        let (session, _) = after(running(), vec![began("s-1"), began(id)]);
        assert_eq!(session.agent_session.as_deref(), Some("s-1"), "{id}");
    }
    for id in ["0190b5c0-7b2e-7000-8000-0123456789ab", "ses_4f2A", "1", "thread/7:a.b"] {
        assert_eq!(after(running(), vec![began(id)]).0.agent_session.as_deref(), Some(id));
    }
}

fn hook_at(ms: i64, evidence: &str, what: AgentSignal) -> SessionEvent {
    SessionEvent::Signal(Signal::new(SignalSource::Hook, evidence, what).at(at(ms)))
}

#[test]
fn a_hook_that_comes_later_holds_since_it_was_called_and_changes_nothing_when_more_is_known() {
    let (prompted, ended) = (
        |ms| hook_at(ms, "UserPromptSubmit", AgentSignal::PromptTaken),
        |ms| hook_at(ms, "Stop", AgentSignal::TurnEnded { text: Some("done".to_owned()), error: None }),
    );
    let begun = running();
    let base = begun.updated_at.unix_ms();
    for (events, activity, since, turns) in [
        (vec![prompted(base + 10), ended(base + 20)], Activity::Idle, base + 20, 1),
        // Told twice: a daemon died in the middle of it.
        (
            vec![prompted(base + 10), ended(base + 20), prompted(base + 10), ended(base + 20)],
            Activity::Idle,
            base + 20,
            1,
        ),
        // The next prompt was told by the door meanwhile.
        (vec![prompted(base + 10), prompted(base + 30), ended(base + 20)], Activity::Working, base + 10, 0),
        // It is of the start before this one.
        (vec![ended(base - 5)], Activity::Unknown, base, 0),
        // Nothing happens in the future.
        (vec![ended(base + 999_000)], Activity::Idle, base + 1000, 1),
    ] {
        let (session, _) = after(begun.clone(), events);
        let report = &session.activity;
        assert_eq!(
            (report.activity, report.since, session.turns),
            (activity, at(since), turns),
            "{report:?}"
        );
    }
    let late = after(begun, vec![prompted(base + 10), prompted(base + 30), ended(base + 20)]).0;
    assert!(late.task_end.is_some(), "that the first turn ended is known all the same");
}

#[test]
fn an_agent_whose_hooks_are_lost_does_not_work_for_ever() {
    let works = || hook("UserPromptSubmit", AgentSignal::PromptTaken);
    let quiet = || terminal(AgentSignal::Quiet { quiet_ms: 5000 });
    let (session, _) = after(running(), vec![works(), quiet()]);
    assert_eq!(session.activity.activity, Activity::Working, "a tool may take its time");
    let due = wakes_at(&session).expect("it is looked at again");
    let woken = step(&session, SessionEvent::Woke, RULES, due).unwrap().session;
    assert_eq!((woken.activity.activity, woken.activity.since), (Activity::Unknown, due));
    assert!(woken.activity.evidence.contains("UserPromptSubmit"), "{:?}", woken.activity);
    assert_eq!(wakes_at(&woken), None);
    let early = Timestamp::from_unix_ms(due.unix_ms() - 1);
    assert_eq!(step(&session, SessionEvent::Woke, RULES, early).unwrap().session.activity, session.activity);
    for (sign, name) in [(terminal(AgentSignal::Output), "output"), (works(), "a hook")] {
        let (session, _) = after(session.clone(), vec![sign]);
        assert_eq!(wakes_at(&session), None, "{name} says that it works");
    }
    let (ended, _) = after(woken, vec![turn_ended()]);
    assert_eq!(ended.activity.activity, Activity::Idle);
}
