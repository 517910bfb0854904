//! The life of an issue, and the end of an epoch.

use super::*;
use adjutant_model::id::Uuid;
use adjutant_model::run::{FlowError, TtlSource};
use adjutant_model::{RunId, TaskId};
use serde_json::json;

mod commit;
mod patch;
mod setting;

const NOW: Timestamp = Timestamp::from_unix_ms(7_000);

fn value(json: serde_json::Value) -> Value {
    Value::from(json)
}

fn epoch() -> Epoch {
    Epoch {
        run_id: RunId::new(Uuid::nil()),
        base_version: "b".repeat(64),
        setting_id: "default".to_owned(),
        ttl_secs: 1,
        started_at: NOW,
    }
}

fn new_issue(intent: &str) -> NewIssue {
    NewIssue {
        id: IssueId::new(Uuid::nil()),
        blueprint_id: "main".to_owned(),
        intent: intent.to_owned(),
        intent_hash: "0".repeat(64),
        author: "host".to_owned(),
    }
}

fn issue() -> Issue {
    open(new_issue("tidy"), NOW).expect("it is opened").0
}

fn after(commands: impl IntoIterator<Item = IssueCommand>) -> Issue {
    commands.into_iter().fold(issue(), |issue, command| step(&issue, command, NOW).expect("it goes on").0)
}

fn conflict() -> IssueCommand {
    IssueCommand::Conflict { head: "h".to_owned() }
}

fn reject() -> IssueCommand {
    IssueCommand::Reject { reason: "no".to_owned() }
}

#[test]
fn each_of_the_25_pairs_is_allowed_or_refused_as_the_table_says() {
    use IssueStatus::{Applied, Cancelled, InFlight, Pending, Rejected};
    // Rows are `from`, columns `to`, both in the order of `IssueStatus::ALL`.
    for (from, row) in [
        (Pending, ".x.xx"),
        (InFlight, "x.xxx"),
        (Applied, "....."),
        (Rejected, "....."),
        (Cancelled, "....."),
    ] {
        for (to, cell) in IssueStatus::ALL.into_iter().zip(row.chars()) {
            assert_eq!(can(from, to), cell == 'x', "{from} → {to}");
        }
        assert_eq!(row.contains('x'), !from.is_terminal(), "{from}");
    }
}

#[test]
fn an_intent_says_something_and_not_too_much() {
    for (intent, expected) in [
        ("tidy".to_owned(), Ok(IssueStatus::Pending)),
        (" \n".to_owned(), Err(IssueRefusal::Blank)),
        ("x".repeat(INTENT_BYTES_MAX), Ok(IssueStatus::Pending)),
        ("x".repeat(INTENT_BYTES_MAX + 1), Err(IssueRefusal::TooLong)),
    ] {
        let opened = open(new_issue(&intent), NOW).map(|(issue, _)| issue.state.status());
        assert_eq!(opened, expected);
    }
}

#[test]
fn every_step_raises_the_revision_and_is_journalled() {
    let begun = after([IssueCommand::Begin(epoch())]);
    assert_eq!((begun.revision, begun.state.status()), (2, IssueStatus::InFlight));
    let (applied, events) =
        step(&begun, IssueCommand::Apply { new_version: "v".to_owned() }, NOW).expect("it is applied");
    assert_eq!((applied.revision, applied.state.new_version()), (3, Some("v")));
    let [Event::IssueStatusChanged { from, to, run_id, new_version, .. }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((*from, *to), (IssueStatus::InFlight, IssueStatus::Applied));
    assert_eq!((run_id.as_ref(), new_version.as_deref()), (Some(&epoch().run_id), Some("v")));
    for command in [IssueCommand::Begin(epoch()), reject(), conflict()] {
        let refused = step(&applied, command, NOW).expect_err("nothing follows");
        assert!(matches!(refused, IssueRefusal::Transition { from: IssueStatus::Applied, .. }));
    }
}

#[test]
fn what_an_issue_waits_for_is_noted_once() {
    let wait = |text: Option<&str>| IssueCommand::Wait { waits_for: text.map(str::to_owned) };
    let waiting = after([wait(Some("a spawner"))]);
    assert_eq!((waiting.revision, waiting.state.reason()), (2, Some("a spawner")));
    let (same, events) = step(&waiting, wait(Some("a spawner")), NOW).expect("it waits");
    assert_eq!((same.revision, events), (2, Vec::new()));
    assert_eq!(after([wait(Some("a spawner")), wait(None)]).state.reason(), None);
    let begun = after([IssueCommand::Begin(epoch())]);
    assert!(step(&begun, wait(Some("x")), NOW).is_err(), "it is in flight");
}

#[test]
fn a_conflict_gives_a_new_epoch_three_times_and_then_a_rejection() {
    let mut last = issue();
    for round in 1..=CONFLICTS_MAX {
        last = step(&last, IssueCommand::Begin(epoch()), NOW).expect("it begins").0;
        last = step(&last, conflict(), NOW).expect("it goes back").0;
        assert_eq!((last.state.status(), last.conflicts), (IssueStatus::Pending, round));
        assert!(last.state.reason().is_some_and(|reason| reason.contains("nothing was overwritten")));
    }
    last = step(&last, IssueCommand::Begin(epoch()), NOW).expect("it begins").0;
    last = step(&last, conflict(), NOW).expect("it ends").0;
    let IssueState::Rejected { reason } = &last.state else { panic!("{last:?}") };
    assert!(reason.contains("each of 4 epochs") && reason.contains("nothing was overwritten"), "{reason}");
}

fn run(status: RunStatus, error: Option<FlowErrorCode>, result: Option<serde_json::Value>) -> RunRecord {
    RunRecord {
        id: epoch().run_id,
        task_id: TaskId::new(Uuid::nil()),
        status,
        owner: "o".to_owned(),
        epoch: 1,
        blueprint_id: DEFAULT_ORBIT.to_owned(),
        blueprint_hash: "0".repeat(64),
        ttl_ms: 1000,
        ttl_source: TtlSource::RequestBody,
        workspace: None,
        goal_id: None,
        agent_override: None,
        error: error.map(|code| FlowError {
            code,
            message: "why".to_owned(),
            step: None,
            reference: None,
            value: None,
        }),
        result: result.map(Value::from),
        created_at: NOW,
        ended_at: Some(NOW),
    }
}

fn concluded(run: &RunRecord) -> Conclusion {
    let issue = after([IssueCommand::Begin(epoch())]);
    conclude(&issue, &epoch(), run, |_| "a".repeat(64))
}

#[test]
fn the_ceiling_ends_the_work_and_says_so() {
    let over = concluded(&run(RunStatus::Failed, Some(FlowErrorCode::TtlExpired), None));
    let Conclusion::Reject(rejection) = over else { panic!("{over:?}") };
    assert_eq!(rejection.outcome, EnhanceOutcome::Faulted);
    for part in
        ["exceeded the 1s ceiling", "ttl_secs", "`default`", "its work was ended", "nothing was committed"]
    {
        assert!(rejection.reason().contains(part), "{part}: {}", rejection.reason());
    }
}

#[test]
fn every_other_end_has_its_conclusion() {
    let applied = json!({"commit": {"committed": true, "new_version": "a".repeat(64), "new_bp_json": {"id": "main"},
        "bump": "patch", "rationale": "r", "verdicts_summary": []}});
    let denied = json!({"commit": {"committed": false, "reasons": ["noop: x", "des: y"], "rationale": "r",
        "verdicts_summary": [{"axis": "noop", "status": "deny", "reason": "x"}]}});
    let failed = Some(FlowErrorCode::StepFailed);
    for (run, expected) in [
        (run(RunStatus::Done, None, Some(applied)), "apply"),
        (run(RunStatus::Done, None, Some(denied)), "verifier deny: noop: x; des: y"),
        (run(RunStatus::Done, None, Some(json!({}))), "commit shape: the final context has no `commit`"),
        (run(RunStatus::Failed, failed, None), "dispatch failed: why"),
        (
            run(RunStatus::Incomplete, None, None),
            "dispatch failed: the run run_00000000000000000000000000000000 is incomplete",
        ),
        (run(RunStatus::Cancelled, None, None), "cancel"),
    ] {
        let told = match concluded(&run) {
            Conclusion::Apply(_) => "apply".to_owned(),
            Conclusion::Reject(rejection) => rejection.reason(),
            Conclusion::Cancel => "cancel".to_owned(),
        };
        assert_eq!(told, expected);
    }
}
