use super::*;
use adjutant_model::id::Uuid;

const NOW: i64 = 1_000;
const LATER: i64 = 2_000;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(ms)
}

fn goal(acceptance: &[(&str, Option<&str>)]) -> Goal {
    let acceptance = acceptance
        .iter()
        .map(|(text, check)| CriterionSpec { text: (*text).to_owned(), check: check.map(str::to_owned) })
        .collect();
    create(NewGoal { acceptance, ..new_goal("ship it") }, &alone, at(NOW)).expect("the goal is valid").0
}

fn new_goal(description: &str) -> NewGoal {
    NewGoal {
        id: GoalId::new(Uuid::nil()),
        description: description.to_owned(),
        acceptance: Vec::new(),
        project: None,
        depends_on: Vec::new(),
        budget: SessionBudget::default(),
        deadline: None,
        recheck: None,
    }
}

/// There is no other goal.
fn alone(_: &GoalId) -> Option<OtherGoal> {
    None
}

fn stepped(goal: &Goal, command: GoalCommand) -> Result<(Goal, Vec<Event>), GoalRefusal> {
    step(goal, command, &alone, at(LATER))
}

#[track_caller]
fn then(goal: &Goal, command: GoalCommand) -> Goal {
    stepped(goal, command).expect("the command is allowed").0
}

fn link(id: &str) -> GoalCommand {
    GoalCommand::Link { session_id: id.to_owned(), task: "do it".to_owned() }
}

fn set(id: &str, state: LinkState, evidence: Option<Evidence>) -> GoalCommand {
    GoalCommand::SetLink { session_id: id.to_owned(), state, evidence }
}

fn go(to: GoalStatus) -> GoalCommand {
    GoalCommand::SetStatus { to, reason: Some("because".to_owned()), trees: trees("t1") }
}

fn evidence(source: EvidenceSource, passed: bool, tree: Option<&str>) -> Evidence {
    Evidence {
        source,
        passed,
        tree: tree.map(str::to_owned),
        workspace: tree.map(|_| "w".to_owned()),
        detail: String::new(),
        at: at(NOW),
    }
}

fn check(command: &str, passed: bool) -> Evidence {
    evidence(EvidenceSource::Check { command: command.to_owned() }, passed, Some("t1"))
}

fn sign_off() -> Evidence {
    evidence(EvidenceSource::SignOff { person: "Ada".to_owned() }, true, None)
}

fn trees(tree: &str) -> Trees {
    Trees::from([("w".to_owned(), tree.to_owned())])
}

#[test]
fn a_new_goal_is_pending_and_keeps_its_criteria() {
    let goal = goal(&[("tests pass", Some("make test")), ("", Some("make lint")), ("looks good", None)]);
    assert_eq!((goal.status, goal.progress, goal.sessions.len()), (GoalStatus::Pending, 0, 0));
    assert_eq!(goal.created, goal.updated);
    let texts: Vec<_> = goal.acceptance.iter().map(|criterion| criterion.text.as_str()).collect();
    assert_eq!(texts, ["tests pass", "make lint", "looks good"]);
}

#[test]
fn a_goal_that_says_nothing_or_too_much_is_not_made() {
    let new = |description: &str, criterion: CriterionSpec, count: usize| NewGoal {
        acceptance: vec![criterion; count],
        ..new_goal(description)
    };
    let text = |text: &str| CriterionSpec { text: text.to_owned(), check: None };
    let blank_check = CriterionSpec { text: "x".to_owned(), check: Some(" ".to_owned()) };
    let rows = [
        (new(" \n", text("x"), 1), GoalRefusal::Blank { what: "description" }),
        (new("x", text(""), 1), GoalRefusal::Blank { what: "criterion" }),
        (new("x", blank_check, 1), GoalRefusal::Blank { what: "check" }),
        (new(&"x".repeat(TEXT_MAX + 1), text("x"), 1), GoalRefusal::TooLong { what: "description" }),
        (new("x", text("x"), ITEMS_MAX + 1), GoalRefusal::TooMany { what: "criteria" }),
    ];
    for (new, expected) in rows {
        assert_eq!(create(new, &alone, at(NOW)), Err(expected));
    }
}

#[test]
fn each_of_the_25_transitions_is_allowed_or_refused_as_the_table_says() {
    use GoalStatus::{Abandoned, Blocked, Done, InProgress, Pending};
    let table = [
        (Pending, ".xxxx"),
        (InProgress, "..xxx"),
        (Blocked, ".x.xx"),
        (Done, ".x..."),
        (Abandoned, ".x..."),
    ];
    for (from, row) in table {
        for (to, cell) in GoalStatus::ALL.into_iter().zip(row.chars()) {
            assert_eq!(can(from, to), cell == 'x', "{from:?} → {to:?}");
            let goal = Goal { status: from, ..goal(&[]) };
            let found = stepped(&goal, go(to));
            match (from == to, cell, to) {
                (true, _, _) => assert_eq!(found, Ok((goal, Vec::new()))),
                (false, 'x', Done) => {
                    assert!(matches!(found, Err(GoalRefusal::Gate(_))), "{from:?} → {to:?}")
                }
                (false, 'x', _) => {
                    let (next, events) = found.expect("the table allows it");
                    assert_eq!((next.status, next.updated), (to, at(LATER)));
                    assert_eq!(
                        events,
                        [Event::GoalStatusChanged { from, to, reason: Some("because".to_owned()) }]
                    );
                }
                (false, _, _) => assert_eq!(found, Err(GoalRefusal::Transition { from, to })),
            }
        }
    }
}

#[test]
fn progress_is_the_floor_of_the_verified_share() {
    for (verified, total, expected) in
        [(0, 0, 0), (0, 3, 0), (1, 3, 33), (2, 3, 66), (2, 4, 50), (3, 3, 100), (199, 200, 99)]
    {
        let links: Vec<GoalLink> = (0..total)
            .map(|index| GoalLink {
                session_id: index.to_string(),
                task: String::new(),
                state: if index < verified { LinkState::Verified } else { LinkState::Running },
                evidence: None,
            })
            .collect();
        assert_eq!(progress(&links, &[]), expected, "{verified}/{total}");
    }
}

#[test]
fn linking_starts_a_goal_and_works_once_per_session() {
    let (goal, events) = stepped(&goal(&[]), link("run_1")).expect("the link is new");
    assert_eq!(goal.status, GoalStatus::InProgress);
    assert_eq!(goal.sessions[0].state, LinkState::Launched);
    assert_eq!(goal.sessions[0].evidence, None);
    let started =
        Event::GoalStatusChanged { from: GoalStatus::Pending, to: GoalStatus::InProgress, reason: None };
    assert_eq!(events, [Event::GoalLinked { session_id: "run_1".to_owned() }, started]);
    let twice = stepped(&goal, link("run_1"));
    assert_eq!(twice, Err(GoalRefusal::DuplicateLink { session_id: "run_1".to_owned() }));
    let blocked = then(&goal, go(GoalStatus::Blocked));
    assert_eq!(then(&blocked, link("run_2")).status, GoalStatus::Blocked);
    let abandoned = then(&goal, go(GoalStatus::Abandoned));
    assert_eq!(
        stepped(&abandoned, link("run_2")),
        Err(GoalRefusal::Closed { status: GoalStatus::Abandoned })
    );
}

#[test]
fn a_link_is_verified_by_passed_evidence_alone() {
    let linked = then(&goal(&[]), link("run_1"));
    let nobody = evidence(EvidenceSource::SignOff { person: " ".to_owned() }, true, None);
    let rows = [
        (set("run_1", LinkState::Verified, None), Err(GoalRefusal::EvidenceMissing)),
        (set("run_1", LinkState::Verified, Some(check("c", false))), Err(GoalRefusal::EvidenceFailed)),
        (set("run_1", LinkState::Verified, Some(nobody)), Err(GoalRefusal::AnonymousSignOff)),
        (
            set("run_9", LinkState::Running, None),
            Err(GoalRefusal::UnknownLink { session_id: "run_9".to_owned() }),
        ),
        (set("run_1", LinkState::Running, None), Ok(0)),
        (set("run_1", LinkState::Failed, Some(check("c", false))), Ok(0)),
        (set("run_1", LinkState::Verified, Some(check("c", true))), Ok(100)),
        (set("run_1", LinkState::Verified, Some(sign_off())), Ok(100)),
    ];
    for (command, expected) in rows {
        let found = stepped(&linked, command.clone()).map(|(goal, _)| goal.progress);
        assert_eq!(found, expected, "{command:?}");
    }
}

#[test]
fn what_has_failed_must_be_proved_anew() {
    let verified = then(&then(&goal(&[]), link("r")), set("r", LinkState::Verified, Some(sign_off())));
    assert_eq!(then(&verified, set("r", LinkState::Verified, None)).progress, 100);
    let failed = then(&verified, set("r", LinkState::Failed, None));
    assert_eq!(failed.progress, 0);
    let again = stepped(&failed, set("r", LinkState::Verified, None));
    assert_eq!(again, Err(GoalRefusal::EvidenceMissing));
}

#[test]
fn notes_and_evidence_are_kept_and_checked() {
    let start = goal(&[("c", Some("make test"))]);
    let noted = then(&start, GoalCommand::Note { text: "look here".to_owned() });
    assert_eq!(noted.notes, ["look here"]);
    let blank = stepped(&start, GoalCommand::Note { text: "\t".to_owned() });
    assert_eq!(blank, Err(GoalRefusal::Blank { what: "note" }));
    let add = |criterion| GoalCommand::AddEvidence { criterion, evidence: check("make test", true) };
    let missing = stepped(&start, add(1));
    assert_eq!(missing, Err(GoalRefusal::UnknownCriterion { criterion: 1, count: 1 }));
    let (proved, events) = stepped(&start, add(0)).expect("the criterion is there");
    assert_eq!(proved.acceptance[0].evidence, Some(check("make test", true)));
    assert_eq!(events, [Event::GoalEvidence { criterion: 0, evidence: check("make test", true) }]);
}

/// What a goal is made of for the gate: criteria with evidence, and links with state and evidence.
type Case<'a> = (&'a [(&'a str, Option<&'a str>, Option<Evidence>)], &'a [(LinkState, Option<Evidence>)]);

fn case((criteria, links): Case<'_>) -> Goal {
    let plain: Vec<_> = criteria.iter().map(|(text, check, _)| (*text, *check)).collect();
    let mut goal = goal(&plain);
    for (criterion, (_, _, evidence)) in goal.acceptance.iter_mut().zip(criteria) {
        criterion.evidence = evidence.clone();
    }
    let link = |(index, (state, evidence)): (usize, &(LinkState, Option<Evidence>))| GoalLink {
        session_id: format!("r{index}"),
        task: String::new(),
        state: *state,
        evidence: evidence.clone(),
    };
    goal.sessions = links.iter().enumerate().map(link).collect();
    goal
}

#[test]
fn the_gate_opens_when_everything_is_proved_and_says_what_is_missing() {
    let verified = || (LinkState::Verified, Some(check("c", true)));
    let stale = || Evidence { tree: Some("t0".to_owned()), ..check("c", true) };
    let gone = || Evidence { workspace: Some("elsewhere".to_owned()), ..check("c", true) };
    let unbound = || Evidence { tree: None, ..check("c", true) };
    let signed_tree =
        || Evidence { tree: Some("t0".to_owned()), workspace: Some("w".to_owned()), ..sign_off() };
    let rows: &[(Case<'_>, &str)] = &[
        ((&[], &[]), "links 0/0, criteria 0/0): a linked session or run, or a criterion with a check"),
        ((&[], &[verified()]), "open"),
        ((&[], &[verified(), (LinkState::Running, None)]), "links 1/2, criteria 0/0): `r1` is not verified"),
        ((&[], &[(LinkState::Failed, None)]), "links 0/1, criteria 0/0): `r0` failed"),
        ((&[], &[(LinkState::Verified, None)]), "links 0/1, criteria 0/0): `r0` is verified by nothing"),
        (
            (&[], &[(LinkState::Verified, Some(stale()))]),
            "`r0` must be verified again: the tree of w has changed since",
        ),
        (
            (&[], &[(LinkState::Verified, Some(gone()))]),
            "`r0` must be verified again: the workspace elsewhere is gone",
        ),
        ((&[], &[(LinkState::Verified, Some(unbound()))]), "`r0` must be verified again: it names no tree"),
        ((&[], &[(LinkState::Verified, Some(sign_off()))]), "open"),
        (
            (&[], &[(LinkState::Verified, Some(signed_tree()))]),
            "`r0` must be verified again: the tree of w has changed",
        ),
        ((&[("x", Some("c"), None)], &[]), "links 0/0, criteria 0/1): the check `c` has not run"),
        ((&[("x", Some("c"), Some(check("c", true)))], &[]), "open"),
        ((&[("x", Some("c"), Some(check("c", false)))], &[]), "the check `c` failed"),
        ((&[("x", Some("c"), Some(check("true", true)))], &[]), "other evidence does not stand in for it"),
        ((&[("x", Some("c"), Some(sign_off()))], &[verified()]), "other evidence does not stand in for it"),
        (
            (&[("x", Some("c"), Some(stale()))], &[]),
            "the check `c` must run again: the tree of w has changed since",
        ),
        ((&[("x", Some("c"), None)], &[verified()]), "links 1/1, criteria 0/1): the check `c` has not run"),
        ((&[("x", None, None)], &[verified()]), "open"),
        ((&[("x", None, Some(sign_off()))], &[]), "links 0/0, criteria 1/1): a linked session or run"),
        ((&[("x", None, Some(sign_off())), ("y", Some("c"), Some(check("c", true)))], &[]), "open"),
        (
            (&[("x", None, None), ("y", Some("c"), Some(check("c", true)))], &[]),
            "links 0/0, criteria 1/2): \"x\" needs a verified link or a sign-off",
        ),
        (
            (&[("x", None, Some(signed_tree())), ("y", Some("c"), Some(check("c", true)))], &[]),
            "\"x\" must be signed off again: the tree of w has changed since",
        ),
    ];
    for (given, expected) in rows {
        let goal = case(*given);
        let found =
            gate(&goal, &trees("t1"), &[]).map_or_else(|refusal| refusal.to_string(), |()| "open".to_owned());
        assert!(found.contains(expected), "{found}\nexpected {expected}");
        let closed = stepped(&goal, GoalCommand::close(trees("t1")));
        assert_eq!(closed.is_ok_and(|(goal, _)| goal.status == GoalStatus::Done), *expected == "open");
    }
}

#[test]
fn a_done_goal_is_reopened_by_what_fails_and_by_hand() {
    let proved =
        case((&[("x", Some("c"), Some(check("c", true)))], &[(LinkState::Verified, Some(sign_off()))]));
    let done = then(&proved, GoalCommand::close(trees("t1")));
    let rows = [
        (GoalCommand::AddEvidence { criterion: 0, evidence: check("c", false) }, GoalStatus::InProgress),
        (GoalCommand::AddEvidence { criterion: 0, evidence: check("c", true) }, GoalStatus::Done),
        (set("r0", LinkState::Failed, None), GoalStatus::InProgress),
        (go(GoalStatus::InProgress), GoalStatus::InProgress),
        (GoalCommand::Note { text: "thanks".to_owned() }, GoalStatus::Done),
    ];
    for (command, expected) in rows {
        assert_eq!(then(&done, command.clone()).status, expected, "{command:?}");
    }
    assert_eq!(stepped(&done, link("r1")), Err(GoalRefusal::Closed { status: GoalStatus::Done }));
}

fn id(number: u128) -> GoalId {
    GoalId::new(Uuid::from_u128(number))
}

#[test]
fn a_goal_waits_for_goals_that_are_there_and_never_for_itself() {
    // 1 waits for 2 and 3, 2 for 3, and 3 for one that is gone.
    let others = |goal_id: &GoalId| {
        let (status, depends_on) = match goal_id {
            found if *found == id(1) => (GoalStatus::Pending, vec![id(2), id(3)]),
            found if *found == id(2) => (GoalStatus::Done, vec![id(3)]),
            found if *found == id(3) => (GoalStatus::Abandoned, vec![id(9)]),
            _ => return None,
        };
        Some(OtherGoal { status, depends_on })
    };
    let cycle = |path: &[u128]| Err(GoalRefusal::Cycle { path: path.iter().copied().map(id).collect() });
    for (goal_id, depends_on, expected) in [
        (4, vec![], Ok(vec![])),
        (4, vec![1, 2, 1], Ok(vec![id(1), id(2)])),
        (4, vec![9], Err(GoalRefusal::UnknownDependency { goal_id: id(9) })),
        (4, vec![4], cycle(&[4, 4])),
        (3, vec![2], cycle(&[3, 2, 3])),
        (3, vec![1], cycle(&[3, 1, 3])),
        (2, vec![1], cycle(&[2, 1, 2])),
    ] {
        let depends_on = depends_on.into_iter().map(id).collect();
        assert_eq!(depends::checked(&id(goal_id), depends_on, &others), expected, "{goal_id}");
    }
    assert_eq!(unfinished(&[id(1), id(2), id(3), id(9)], &others), [id(1), id(3), id(9)]);

    let proved = case((&[("x", Some("c"), Some(check("c", true)))], &[]));
    let waiting = Goal { depends_on: vec![id(1), id(2)], ..proved };
    let refused = step(&waiting, GoalCommand::close(trees("t1")), &others, at(LATER)).expect_err("1 is open");
    assert!(refused.to_string().contains(&format!("goal {}, which it depends on, is not done", id(1))));
    let free = Goal { depends_on: vec![id(2)], ..waiting };
    let closed = step(&free, GoalCommand::close(trees("t1")), &others, at(LATER)).expect("2 is done");
    assert_eq!(closed.0.status, GoalStatus::Done);
}

#[test]
fn a_schedule_is_five_fields_of_cron_in_utc_and_strictly_ahead() {
    let moment = |text: &str| Timestamp::parse(text).expect("an instant");
    for (cron, now, expected) in [
        ("*/15 * * * *", "2026-01-31T09:30:00Z", "2026-01-31T09:45:00Z"),
        ("0 6 * * 1", "2026-01-31T09:30:00.001Z", "2026-02-02T06:00:00Z"),
        ("30 9 31 1 *", "2026-01-31T09:30:00Z", "2027-01-31T09:30:00Z"),
        ("@daily", "2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z"),
    ] {
        assert_eq!(schedule::next(cron, moment(now)), Ok(moment(expected)), "{cron}");
    }
    for wrong in ["", "every day", "61 * * * *", "* * * * * *", "0 0 30 2 *", &"1,".repeat(200)] {
        let refused = schedule::next(wrong, moment("2026-01-31T09:30:00Z"));
        assert!(matches!(refused, Err(GoalRefusal::Schedule { .. })), "{wrong}: {refused:?}");
    }
}

#[test]
fn a_goal_is_checked_again_only_when_it_has_a_check_and_then_at_the_next_time() {
    let every = |cron: Option<&str>| {
        GoalCommand::Change(GoalChange { recheck: Some(cron.map(str::to_owned)), ..GoalChange::default() })
    };
    let words = goal(&[("x", None)]);
    assert_eq!(stepped(&words, every(Some("* * * * *"))), Err(GoalRefusal::NothingToRecheck));
    let checked = then(&goal(&[("x", Some("c"))]), every(Some("* * * * *")));
    assert_eq!(checked.recheck, Some(Recheck { cron: "* * * * *".to_owned(), next_at: at(60_000) }));
    let days_later = at(10 * 86_400_000 + 1);
    let (again, _) = step(&checked, GoalCommand::Rechecked, &alone, days_later).expect("it is scheduled");
    assert_eq!(again.recheck.map(|recheck| recheck.next_at), Some(at(10 * 86_400_000 + 60_000)));
    assert_eq!(then(&checked, every(None)).recheck, None);
}

#[test]
fn what_is_wanted_changes_while_a_goal_is_open_and_of_a_done_one_the_schedule_alone() {
    let open = case((&[("x", Some("c"), Some(check("c", true)))], &[]));
    let done = then(&open, GoalCommand::close(trees("t1")));
    let abandoned = then(&open, go(GoalStatus::Abandoned));
    let change = |description: Option<&str>, recheck: Option<&str>| {
        GoalCommand::Change(GoalChange {
            description: description.map(str::to_owned),
            recheck: recheck.map(|cron| Some(cron.to_owned())),
            ..GoalChange::default()
        })
    };
    let closed = |status| Err(GoalRefusal::Closed { status });
    for (goal, command, expected) in [
        (&open, change(Some("more"), Some("0 * * * *")), Ok(vec!["description", "recheck"])),
        (&open, change(None, None), Ok(vec![])),
        (&open, change(Some(" "), None), Err(GoalRefusal::Blank { what: "description" })),
        (&done, change(None, Some("0 * * * *")), Ok(vec!["recheck"])),
        (&done, change(Some("more"), Some("0 * * * *")), closed(GoalStatus::Done)),
        (&abandoned, change(None, Some("0 * * * *")), closed(GoalStatus::Abandoned)),
    ] {
        let found = stepped(goal, command.clone()).map(|(_, events)| events);
        let expected = expected.map(|what| changed(&what));
        assert_eq!(found, expected, "{command:?}");
    }
}

#[test]
fn a_link_follows_its_session_until_evidence_has_spoken() {
    use LinkState::{Failed, Launched, Running, Verified};
    let follow = |state| GoalCommand::Follow { session_id: "r".to_owned(), state };
    let with = |state, evidence: Option<Evidence>| {
        let mut goal = then(&goal(&[]), link("r"));
        goal.sessions[0] = GoalLink { state, evidence, ..goal.sessions[0].clone() };
        goal
    };
    let against = || Some(check("c", false));
    for (from, evidence, to, expected) in [
        (Launched, None, Running, Running),
        (Launched, None, Failed, Failed),
        (Running, None, Failed, Failed),
        (Running, None, Launched, Launched),
        (Failed, None, Running, Running),
        (Running, None, Verified, Running),
        (Verified, Some(check("c", true)), Failed, Verified),
        (Failed, against(), Running, Failed),
    ] {
        let given = with(from, evidence);
        let found = then(&given, follow(to));
        assert_eq!(found.sessions[0].state, expected, "{from:?} {to:?}");
    }
    let unlinked = with(Launched, None);
    let other = GoalCommand::Follow { session_id: "other".to_owned(), state: Failed };
    assert_eq!(stepped(&unlinked, other), Ok((unlinked.clone(), Vec::new())));
}

#[test]
fn an_alert_stays_until_a_person_has_said_something_about_the_state() {
    let proved = case((&[("x", Some("c"), Some(check("c", true)))], &[]));
    let done = then(&proved, GoalCommand::close(trees("t1")));
    let again = then(&done, GoalCommand::AddEvidence { criterion: 0, evidence: check("c", false) });
    let alert = again.alert.clone().expect("somebody should look");
    assert_eq!((alert.what, alert.text.as_str()), (GoalAlertKind::Reopened, "not met any more: x"));
    assert!(then(&again, GoalCommand::Note { text: "I see".to_owned() }).alert.is_some());
    for to in [GoalStatus::InProgress, GoalStatus::Blocked, GoalStatus::Abandoned] {
        assert_eq!(then(&again, go(to)).alert, None, "{to:?}");
    }
    let proved = then(&again, GoalCommand::AddEvidence { criterion: 0, evidence: check("c", true) });
    assert_eq!(then(&proved, GoalCommand::close(trees("t1"))).alert, None);
}

#[test]
fn a_goal_is_given_up_with_a_reason() {
    let abandon = |reason: Option<&str>| GoalCommand::SetStatus {
        to: GoalStatus::Abandoned,
        reason: reason.map(str::to_owned),
        trees: Trees::new(),
    };
    let blank = Err(GoalRefusal::Blank { what: "reason" });
    assert_eq!(stepped(&goal(&[]), abandon(None)), blank);
    assert_eq!(stepped(&goal(&[]), abandon(Some(" "))), blank);
    assert_eq!(then(&goal(&[]), abandon(Some("no time"))).status, GoalStatus::Abandoned);
}

mod pursued {
    use super::*;
    use crate::goal::pursuit::{self, NewPursuit, PursuitEvent, Spent};
    use adjutant_model::SessionId;
    use adjutant_model::goal::{Pursuit, PursuitState};

    fn session(n: u128) -> SessionId {
        SessionId::new(Uuid::from_u128(n))
    }

    fn begun(attempts_max: u32) -> GoalCommand {
        GoalCommand::Pursue(PursuitEvent::Begun(NewPursuit {
            by: "owner".to_owned(),
            agent: "a".to_owned(),
            driver: None,
            model: None,
            attempts_max,
            session: session(1),
        }))
    }

    fn after(goal: &Goal, events: &[PursuitEvent]) -> Goal {
        events.iter().fold(goal.clone(), |goal, event| {
            stepped(&goal, GoalCommand::Pursue(event.clone())).expect("it is taken").0
        })
    }

    fn failed() -> PursuitEvent {
        PursuitEvent::Failed { failures: vec!["`true` succeeds: exit 1".to_owned()], turns: 1 }
    }

    fn stopped() -> PursuitEvent {
        PursuitEvent::Stopped { reason: "enough".to_owned(), is_wanted: false }
    }

    fn lost() -> PursuitEvent {
        PursuitEvent::Lost { reason: "it died".to_owned(), session: session(2), git_ref: None }
    }

    #[test]
    fn each_event_does_in_each_state_what_the_diagram_says() {
        use PursuitEvent::{Forgot, Launched, Reached, Rested, Told, TurnOver};
        let goal = stepped(&goal(&[("t", Some("true"))]), begun(3)).expect("it begins").0;
        let (told, forgot) = (Told { launches: 1 }, Forgot { turns: 0 });
        let events = [Launched, TurnOver, failed(), told, lost(), Reached, stopped(), Rested, forgot];
        let ways: [(&[PursuitEvent], [&str; 9]); 6] = [
            (&[], ["working", "", "", "", "", "", "ending", "", ""]),
            (&[Launched], ["", "checking", "", "", "", "", "ending", "", "telling"]),
            (&[Launched, TurnOver], ["", "", "telling", "", "", "ending", "ending", "", ""]),
            (&[Launched, TurnOver, failed()], ["", "", "", "working", "launching", "", "ending", "", ""]),
            (&[stopped()], ["", "", "", "", "", "", "", "ended", ""]),
            (&[stopped(), Rested], [""; 9]),
        ];
        for (way, expected) in ways {
            let before = after(&goal, way);
            for (event, expected) in events.iter().zip(expected) {
                let next = after(&before, std::slice::from_ref(event));
                match expected {
                    "" => assert_eq!(next, before, "{way:?} {event:?}"),
                    name => {
                        let state = next.pursuit.as_ref().map(|pursuit| pursuit.state.as_str());
                        assert_eq!(state, Some(name), "{way:?} {event:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn an_agent_that_forgot_is_told_again_in_the_same_attempt() {
        use PursuitEvent::{Forgot, Launched, Told, TurnOver};
        let goal = stepped(&goal(&[("t", Some("true"))]), begun(3)).expect("it begins").0;
        let first = after(&goal, &[Launched, Forgot { turns: 0 }]);
        let pursuit = first.pursuit.clone().expect("it is pursued");
        assert_eq!(
            (pursuit.attempt, &pursuit.state),
            (1, &PursuitState::Telling { turns: 0, failures: vec![] })
        );
        assert_eq!(
            pursuit::feedback(&first, &pursuit, &[]),
            pursuit::prompt(&goal, &[]),
            "nothing has failed yet"
        );
        let evidence = check("true", false);
        let found =
            stepped(&goal, GoalCommand::AddEvidence { criterion: 0, evidence }).expect("it is taken").0;
        let second =
            after(&found, &[Launched, TurnOver, failed(), Told { launches: 1 }, Forgot { turns: 1 }]);
        let pursuit = second.pursuit.expect("it is pursued");
        assert_eq!(pursuit.attempt, 2);
        assert!(
            matches!(&pursuit.state, PursuitState::Telling { turns: 1, failures } if failures.len() == 1)
        );
        let again = after(&first, &[Told { launches: 2 }]).pursuit.expect("it is pursued");
        assert_eq!(again.state, PursuitState::Working { turns: 0, launches: 2 });
    }

    #[test]
    fn what_an_earlier_pursuit_left_undone_has_not_to_be_proved() {
        let link = |id: String| GoalCommand::Link { session_id: id, task: "t".to_owned() };
        let goal = stepped(&goal(&[("t", Some("true"))]), begun(1)).expect("it begins").0;
        let goal = stepped(&goal, link(session(1).to_string())).expect("it is linked").0;
        let goal = stepped(&goal, link("by hand".to_owned())).expect("it is linked").0;
        let goal = after(&goal, &[stopped(), PursuitEvent::Rested]);
        let again = stepped(&goal, begun(1)).expect("it may be pursued again").0;
        let links: Vec<_> = again.sessions.iter().map(|link| link.session_id.as_str()).collect();
        assert_eq!(links, ["by hand"], "what people have linked stays");
    }

    #[test]
    fn a_deadline_is_told_once_when_it_has_passed_and_nobody_works_any_more() {
        let passed = |goal: &Goal| stepped(goal, GoalCommand::DeadlinePassed).expect("it is taken");
        let none = goal(&[("t", Some("true"))]);
        assert!(passed(&none).1.is_empty(), "it has none");
        let with = |deadline| {
            let change = GoalChange { deadline: Some(Some(deadline)), ..GoalChange::default() };
            stepped(&none, GoalCommand::Change(change)).expect("it is changed").0
        };
        assert!(passed(&with(at(LATER + 1))).1.is_empty(), "it has time");
        let late = with(at(LATER));
        let (told, events) = passed(&late);
        assert_eq!(told.alert.as_ref().map(|alert| alert.what), Some(GoalAlertKind::Deadline));
        assert!(!events.is_empty() && passed(&told).1.is_empty(), "once");
        let over = GoalCommand::SetStatus {
            to: GoalStatus::Abandoned,
            reason: Some("no".to_owned()),
            trees: Trees::default(),
        };
        assert!(passed(&stepped(&late, over).expect("it is given up").0).1.is_empty());
        let pursued = stepped(&with(at(LATER + 1)), begun(1)).expect("it begins").0;
        assert!(passed(&Goal { deadline: Some(at(LATER)), ..pursued }).1.is_empty(), "its pursuit says so");
    }

    #[test]
    fn the_last_attempt_that_fails_ends_the_pursuit_and_a_person_is_told() {
        let goal = stepped(&goal(&[("t", Some("true"))]), begun(1)).expect("it begins").0;
        assert_eq!(stepped(&goal, begun(1)), Err(GoalRefusal::Pursued));
        let goal =
            after(&goal, &[PursuitEvent::Launched, PursuitEvent::TurnOver, failed(), PursuitEvent::Rested]);
        assert!(goal.pursued().is_none() && goal.status == GoalStatus::InProgress);
        assert_eq!(goal.alert.as_ref().map(|alert| alert.what), Some(GoalAlertKind::PursuitStopped));
        assert!(goal.notes.iter().any(|note| note.contains("exit 1")), "{:?}", goal.notes);
        let again = stepped(&goal, begun(1)).expect("it may be pursued again").0;
        assert_eq!((again.alert, again.pursuit.map(|pursuit| pursuit.sessions.len())), (None, Some(2)));
    }

    #[test]
    fn a_goal_that_goes_elsewhere_is_pursued_no_more() {
        let goal = stepped(&goal(&[("t", Some("true"))]), begun(3)).expect("it begins").0;
        let blocked =
            GoalCommand::SetStatus { to: GoalStatus::Blocked, reason: None, trees: Trees::default() };
        let goal = stepped(&goal, blocked).expect("it is blocked").0;
        assert!(matches!(goal.pursuit, Some(Pursuit { state: PursuitState::Ending { .. }, .. })));
        assert_eq!(goal.alert, None, "who set it knows");
    }

    #[test]
    fn the_prompt_has_the_goal_in_its_own_words_and_the_feedback_what_failed() {
        let goal =
            stepped(&goal(&[("it is so", Some("test -f x")), ("b", None)]), begun(3)).expect("it begins").0;
        let prompt = pursuit::prompt(&goal, &[]);
        for part in ["ship it", goal.id.as_str(), "- it is so (`test -f x` succeeds)\n", "- b\n"] {
            assert!(prompt.contains(part), "{part} in {prompt}");
        }
        let pursued = goal.pursuit.clone().expect("it is pursued");
        let feedback = pursuit::feedback(&goal, &pursued, &["it is so: exit 1".to_owned()]);
        for part in ["ship it", "Attempt 1 of 3", "- it is so: exit 1\n"] {
            assert!(feedback.contains(part), "{part} in {feedback}");
        }
    }

    #[test]
    fn what_is_left_of_a_budget_is_what_the_next_session_may_spend() {
        let budget = SessionBudget { max_cost_usd: Some(1.0), max_tokens: Some(10), max_minutes: Some(2) };
        let spent = |cost_usd, tokens, active_ms| Spent { cost_usd, tokens, active_ms };
        let left = pursuit::remaining(&budget, spent(0.25, 4, 60_000)).expect("something is left");
        let expected = SessionBudget { max_cost_usd: Some(0.75), max_tokens: Some(6), max_minutes: Some(1) };
        assert_eq!(left, expected);
        for gone in [spent(1.0, 0, 0), spent(0.0, 10, 0), spent(0.0, 0, 120_000)] {
            assert!(pursuit::remaining(&budget, gone).is_err(), "{gone:?}");
        }
        assert_eq!(
            pursuit::remaining(&SessionBudget::default(), spent(9.0, 9, 9)),
            Ok(SessionBudget::default())
        );
    }
}
