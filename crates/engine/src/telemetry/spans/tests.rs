//! What spans of clients' runs say, case by case.

use super::*;
use adjutant_model::client_run::{ClientRunLimits, ClientTurn, PolicyRejected};
use adjutant_model::proposal::{CliOutcome, VerifierVerdict};
use std::collections::BTreeMap;

const KEY: &str = "sk-ant-api03-a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2";

fn at(ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(ms)
}

fn json(value: serde_json::Value) -> Value {
    Value::from(value)
}

fn run(status: RunStatus) -> ClientRun {
    ClientRun {
        id: "nightly".into(),
        agent_id: "builder".into(),
        intent: "to build".to_owned(),
        outcome_description: None,
        token_id: "token".to_owned(),
        status,
        outcome: None,
        policies: Vec::new(),
        state: Value::Null,
        sessions: BTreeMap::new(),
        limits: ClientRunLimits::default(),
        tool_calls: 0,
        owner: "owner".to_owned(),
        epoch: 1,
        turns: 2,
        started_at: at(1000),
        ended_at: None,
    }
}

fn turn(status: TurnStatus) -> ClientTurn {
    ClientTurn {
        index: 1,
        prompt: None,
        tool: Some("compile".to_owned()),
        parameters: json(serde_json::json!({"target": "all"})),
        output: None,
        cli_outcome: None,
        verifier_verdict: VerifierVerdict::NotRun,
        policy_rejected: None,
        status,
        error: None,
        action_id: Some("a1".into()),
        proposal_id: Some("p1".into()),
        attempt: 2,
        started_at: at(1100),
        ended_at: Some(at(1200)),
    }
}

/// Gives a span in lines: its name and status, and an attribute in each of the others.
fn shown(span: &SpanData) -> String {
    let status = match &span.status {
        Status::Unset => "unset".to_owned(),
        Status::Ok => "ok".to_owned(),
        Status::Error { description } => format!("error({description})"),
    };
    let mut lines = vec![format!("{}: {status}", span.name)];
    lines.extend(span.attributes.iter().map(|pair| format!("{}={}", pair.key, pair.value)));
    lines.join("\n")
}

#[track_caller]
fn check(span: &SpanData, has: &[&str], has_not: &[&str]) {
    let shown = shown(span);
    for line in has {
        assert!(shown.lines().any(|one| one == *line), "{line} is not in\n{shown}");
    }
    for part in has_not {
        assert!(!shown.contains(part), "{part} is in\n{shown}");
    }
}

#[test]
fn the_end_of_a_client_s_run_is_its_span_s_status() {
    let told = |status, said: Option<&str>| {
        let outcome = said.map(|said| json(serde_json::json!({"status": said, "summary": "words"})));
        let run = ClientRun { outcome, ..run(status) };
        of_client_run(&run, (Some("its client is gone"), Content::Withheld), at(2000))
    };
    for (status, said, first, error) in [
        (RunStatus::Done, Some("success"), "invoke_agent builder: ok", None),
        (RunStatus::Failed, Some("give_up"), "invoke_agent builder: error(give_up)", Some("give_up")),
        (RunStatus::Failed, None, "invoke_agent builder: error(failed)", Some("failed")),
        (RunStatus::Incomplete, None, "invoke_agent builder: error(incomplete)", Some("incomplete")),
        (RunStatus::Cancelled, None, "invoke_agent builder: error(cancelled)", Some("cancelled")),
    ] {
        let span = told(status, said);
        let status = format!("adjutant.run.status={}", status.as_str());
        let is = [
            first,
            &status,
            "adjutant.run.id=nightly",
            "adjutant.run.turns=2",
            "gen_ai.operation.name=invoke_agent",
            "gen_ai.agent.id=builder",
            "gen_ai.agent.name=builder",
        ];
        check(&span, &is, &["to build", "words", "is gone"]);
        let error = error.map(|error| format!("error.type={error}"));
        assert_eq!(shown(&span).lines().find(|line| line.starts_with("error.type")), error.as_deref());
        assert_eq!((span.start_time, span.end_time), (instant(at(1000)), instant(at(2000))));
        assert_eq!(span.parent_span_id, SpanId::INVALID);
    }
}

#[test]
fn a_client_s_turn_is_told_by_what_it_was_and_how_it_ended() {
    let rejected = PolicyRejected { rule: "no `compile` of all".to_owned(), param: None };
    let usage = serde_json::json!({"exit_code": 3, "usage": {"model": "claude-x", "input_tokens": 7, "output_tokens": 5}});
    let failed = ClientTurn { error: Some("it is broken".to_owned()), ..turn(TurnStatus::Failed) };
    let cases: [(ClientTurn, &[&str], &[&str]); 9] = [
        (
            turn(TurnStatus::Succeeded),
            &[
                "execute_tool compile: ok",
                "gen_ai.operation.name=execute_tool",
                "gen_ai.tool.name=compile",
                "gen_ai.tool.call.id=a1",
                "adjutant.run.id=nightly",
                "adjutant.turn.index=1",
                "adjutant.turn.status=succeeded",
                "adjutant.turn.attempt=2",
                "adjutant.proposal.id=p1",
                "adjutant.action.id=a1",
            ],
            &["error.type", "target"],
        ),
        (failed, &["execute_tool compile: error()", "error.type=failed"], &["it is broken"]),
        (
            ClientTurn { policy_rejected: Some(rejected), ..turn(TurnStatus::Rejected) },
            &["execute_tool compile: error()", "error.type=rejected"],
            &["no `compile`"],
        ),
        (turn(TurnStatus::Cancelled), &["execute_tool compile: unset"], &["error.type"]),
        (
            ClientTurn { tool: Some("state_write".to_owned()), ..turn(TurnStatus::Succeeded) },
            &["state_write: ok", "adjutant.action.type=state_write"],
            &["gen_ai."],
        ),
        (
            ClientTurn { tool: None, prompt: Some(Value::from("a prompt")), ..turn(TurnStatus::Succeeded) },
            &["turn: ok"],
            &["gen_ai.", "a prompt"],
        ),
        (
            ClientTurn {
                cli_outcome: Some(CliOutcome::Exited { code: 3 }),
                output: Some(json(usage.clone())),
                ..turn(TurnStatus::Succeeded)
            },
            &[
                "adjutant.cli.outcome=exited",
                "process.exit.code=3",
                "gen_ai.response.model=claude-x",
                "gen_ai.provider.name=anthropic",
                "gen_ai.usage.input_tokens=7",
                "gen_ai.usage.output_tokens=5",
            ],
            &["exit_code"],
        ),
        // A tool that drives no program may mean anything by these words.
        (
            ClientTurn { output: Some(json(usage)), ..turn(TurnStatus::Succeeded) },
            &["execute_tool compile: ok"],
            &["gen_ai.usage", "claude"],
        ),
        (
            ClientTurn {
                cli_outcome: Some(CliOutcome::Timeout),
                verifier_verdict: VerifierVerdict::Fail,
                ..turn(TurnStatus::Succeeded)
            },
            &["adjutant.cli.outcome=timeout", "adjutant.verdict=fail"],
            &["process.exit.code"],
        ),
    ];
    for (turn, has, has_not) in cases {
        let span = of_client_turn(&run(RunStatus::Running), &turn, Content::Withheld);
        check(&span, has, has_not);
        assert_eq!((span.start_time, span.end_time), (instant(at(1100)), instant(at(1200))));
    }
}

#[test]
fn what_a_client_gave_and_got_is_told_where_a_setting_says_so() {
    let ended = ClientRun {
        outcome_description: Some("a build".to_owned()),
        outcome: Some(json(serde_json::json!({"status": "failure", "summary": "red"}))),
        ..run(RunStatus::Failed)
    };
    let root = of_client_run(&ended, (Some(&format!("gone with {KEY}")), Content::Told), at(2000));
    let has = [
        "adjutant.run.intent=to build",
        "adjutant.run.outcome_description=a build",
        r#"adjutant.run.outcome={"status":"failure","summary":"red"}"#,
    ];
    check(&root, &has, &[KEY]);
    let turn = ClientTurn {
        prompt: Some(Value::from("do it")),
        output: Some(Value::Null),
        error: Some("it is broken".to_owned()),
        policy_rejected: Some(PolicyRejected { rule: "never".to_owned(), param: None }),
        ..turn(TurnStatus::Rejected)
    };
    let has = [
        "execute_tool compile: error(it is broken)",
        r#"adjutant.turn.prompt="do it""#,
        r#"gen_ai.tool.call.arguments={"target":"all"}"#,
        // A null is a result like any other.
        "gen_ai.tool.call.result=null",
        "adjutant.policy.rule=never",
    ];
    check(&of_client_turn(&ended, &turn, Content::Told), &has, &[]);
    let said = ClientTurn { tool: None, parameters: Value::Null, output: Some(Value::from("done")), ..turn };
    let span = of_client_turn(&ended, &said, Content::Told);
    check(&span, &[r#"adjutant.turn.output="done""#], &["gen_ai.tool", "adjutant.turn.input"]);
}

#[test]
fn a_secret_in_a_client_s_name_of_something_is_in_no_span() {
    let secret = |text: &str| format!("{text} {KEY}");
    let named = ClientRun { id: secret("r").into(), agent_id: secret("a").into(), ..run(RunStatus::Done) };
    let turn = ClientTurn {
        tool: Some(secret("t")),
        action_id: Some(secret("a").into()),
        proposal_id: Some(secret("p").into()),
        ..turn(TurnStatus::Succeeded)
    };
    let spans = [
        of_client_run(&named, (None, Content::Told), at(2000)),
        of_client_turn(&named, &turn, Content::Told),
    ];
    spans.iter().for_each(|span| check(span, &[], &[KEY]));
}

#[test]
fn the_ids_of_a_client_s_run_follow_from_it_and_from_when_it_began() {
    let ids = |run: &ClientRun, turn: &ClientTurn| {
        let root = of_client_run(run, (None, Content::Withheld), at(2000));
        let span = of_client_turn(run, turn, Content::Withheld);
        assert_eq!(span.parent_span_id, root.span_context.span_id());
        assert_eq!(span.span_context.trace_id(), root.span_context.trace_id());
        (span.span_context.trace_id(), span.span_context.span_id())
    };
    let (first, one) = (run(RunStatus::Running), turn(TurnStatus::Succeeded));
    let known = ids(&first, &one);
    let later = ClientRun { status: RunStatus::Done, epoch: 3, owner: "next".to_owned(), ..first.clone() };
    assert_eq!(ids(&later, &ClientTurn { attempt: 3, ..one.clone() }), known);
    // A client may use its key again when the run was forgotten; another plane may know the same key.
    let again = ClientRun { started_at: at(1001), ..first.clone() };
    let (trace, span) = ids(&again, &one);
    assert!(trace != known.0 && span != known.1);
    let next = ids(&first, &ClientTurn { index: 2, ..one });
    assert!(next.0 == known.0 && next.1 != known.1);
}
