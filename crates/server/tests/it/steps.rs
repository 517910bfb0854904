//! The steps of runs, what came out of them, filtered traces, bindings, and runs that are removed.

use crate::harness::{Daemon, endless, identity, one_step, refused, task};
use serde_json::{Value, json};

fn at(path: &str) -> Value {
    json!({"op": "path", "at": path})
}

fn step(agent: &str, input: &str, out: &str) -> Value {
    json!({"kind": "step", "ref": agent, "in": at(input), "out": at(out)})
}

fn get(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A text, an object, a step that fails twice, one that takes too long, and a fanout.
fn several() -> Value {
    let command = |line: &str| json!({"kind": "command", "spec": {"argv": ["sh", "-c", line]}});
    let agents = [
        ("say", command("printf '%s' 'a text'")),
        ("id", json!({"kind": "function", "spec": {"fn_id": "identity"}})),
        ("fails", command("echo broken >&2; exit 3")),
        ("slow", command("sleep 60")),
    ];
    let agents: Vec<Value> = agents
        .into_iter()
        .map(|(name, mut agent)| {
            agent["name"] = json!(name);
            agent
        })
        .collect();
    let tried = |body: Value| json!({"kind": "try", "body": body, "catch": {"kind": "seq", "children": []}});
    let mut fails = step("fails", "$.in", "$.x");
    fails["retry"] = json!({"max": 1});
    let mut slow = step("slow", "$.in", "$.x");
    slow["timeout_ms"] = json!(50);
    json!({"id": "several", "agents": agents, "flow": {"kind": "seq", "children": [
        step("say", "$.in", "$.said"), tried(fails), tried(slow),
        {"kind": "fanout", "items": {"op": "lit", "value": [1, 2]}, "bind": at("$.item"), "join": "all", "out": at("$.o"),
         "body": step("id", "$", "$.o")}]}})
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_are_listed_with_how_they_went_and_what_did_them() {
    let daemon = Daemon::start().await;
    let done = daemon.client.task_run(&task(several(), json!({"in": 1}))).await.expect("it is done");
    let steps = daemon.client.steps(&done.run_id, None).await.expect("they are listed").steps;
    let told: Vec<_> = steps
        .iter()
        .map(|step| {
            (
                &*step.step_ref,
                &*step.path,
                step.attempt,
                &*step.status,
                step.worker_kind.as_deref().unwrap_or(""),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("say", "0", 1, "passed", "command"),
            ("fails", "1/body", 1, "blocked", "command"),
            ("fails", "1/body", 2, "blocked", "command"),
            ("slow", "2/body", 1, "timeout", "command"),
            ("id", "3/body#0", 1, "passed", "function"),
            ("id", "3/body#1", 1, "passed", "function"),
        ]
    );
    for step in &steps {
        let (began, took) = (step.started_at_ms, step.duration_ms.expect("it settled"));
        assert_eq!(step.completed_at_ms, Some(began + i64::try_from(took).expect("it fits")));
        assert!(step.step_id.starts_with(&done.run_id) && !step.superseded);
    }
    let page =
        get(&daemon.send(&format!("GET /v1/runs/{}/steps?limit=2&after=0", done.run_id), "").await.body);
    assert_eq!((&page["run_id"], &page["next_after"]), (&json!(done.run_id), &json!(2)));
    assert_eq!(daemon.send("GET /v1/runs/run_00000000000000000000000000000000/steps", "").await.status, 404);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_out_of_a_step_is_found_by_its_agent_or_its_path_and_read_in_parts() {
    let daemon = Daemon::start().await;
    let context = json!({"in": {"deep": [1, "é"]}});
    let done = daemon.client.task_run(&task(several(), context)).await.expect("it is done");
    let of = format!("GET /v1/tasks/{}/runs", done.task_id);
    let listed = daemon.client.step_outputs(&done.task_id, "latest").await.expect("they are listed");
    assert_eq!((&listed.task_id, &listed.run_id), (&done.task_id, &done.run_id));
    let names: Vec<&str> = listed.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["say", "3/body#0", "3/body#1"], "an agent's name where it is enough");
    let said = &listed.steps[0];
    assert_eq!((said.preview.as_str(), said.truncated, said.size_bytes), ("a text", false, 6));
    for output in &listed.steps {
        let answer = daemon.send(&format!("GET {}", output.content_url), "").await;
        assert_eq!(
            (answer.status, answer.body.len() as u64),
            (200, output.size_bytes),
            "{}",
            output.content_url
        );
        assert!(answer.head.contains(&format!("content-type: {}", output.content_type)), "{}", answer.head);
        assert!(answer.head.contains("x-content-type-options: nosniff"), "{}", answer.head);
        let alone = get(&daemon
            .send(&format!("GET {}", output.content_url.trim_end_matches("/content")), "")
            .await
            .body);
        assert_eq!((&alone["sha256"], &alone["name"]), (&json!(output.sha256), &json!(output.name)));
    }
    for (step, path, status, body) in [
        ("say", "", 200, "a text"),
        ("3%2Fbody%230", "?path=/in/deep/1", 200, "é"),
        ("3%2Fbody%230", "?path=$.in.deep", 200, "[1,\"é\"]"),
        ("id", "?path=$.item", 200, "2"),
        ("id", "?path=$.nope", 404, ""),
        ("id", "?path=/in/deep/9", 404, ""),
        ("id", "?path=in.deep", 400, ""),
        ("id", "?part=/in", 400, ""),
        ("fails", "", 404, ""),
        ("nobody", "", 404, ""),
    ] {
        let answer = daemon.send(&format!("{of}/{}/steps/{step}/content{path}", done.run_id), "").await;
        assert_eq!(answer.status, status, "{step} {path}: {answer:?}");
        if status == 200 {
            assert_eq!(answer.body, body, "{step} {path}");
        }
    }
    let other = daemon.client.task_run(&task(identity(), json!({"in": 1}))).await.expect("it is done");
    let foreign = daemon.send(&format!("{of}/{}/steps", other.run_id), "").await;
    assert_eq!((foreign.status, foreign.error().code.as_str()), (404, "not_found"), "a run of another task");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_can_be_narrowed_to_what_is_looked_for() {
    let daemon = Daemon::start().await;
    let done = daemon.client.task_run(&task(several(), json!({"in": 1}))).await.expect("it is done");
    for (query, expected) in [
        ("", vec![0, 1, 2, 3, 4, 5]),
        ("kind=step", vec![0, 1, 2, 3, 4, 5]),
        ("kind=tool", vec![]),
        ("kind=tool,step&limit=1", vec![0]),
        ("step=fails", vec![1, 2]),
        ("step=fails&attempt=2", vec![2]),
        ("step=3%2Fbody%231", vec![5]),
        ("latest=true&limit=2", vec![4, 5]),
        ("after=1&step=id", vec![4, 5]),
        ("step=nobody", vec![]),
    ] {
        let answer = daemon.send(&format!("GET /v1/runs/{}/trace?{query}", done.run_id), "").await;
        let found: Vec<_> =
            answer.body.lines().map(|line| get(line)["index"].as_u64().expect("a number")).collect();
        assert_eq!(found, expected, "{query}");
    }
    for wrong in ["kind=core.step", "attempt=first", "colour=red"] {
        assert_eq!(
            daemon.send(&format!("GET /v1/runs/{}/trace?{wrong}", done.run_id), "").await.status,
            400,
            "{wrong}"
        );
    }
    let late =
        daemon.send(&format!("GET /v1/runs/{}/trace?after=18446744073709551615", done.run_id), "").await;
    assert_eq!((late.status, late.body.as_str()), (200, ""), "a page behind the end is empty");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_over_is_removed_with_its_turns_and_its_journal_stays_sound() {
    let daemon = Daemon::start().await;
    let kept = daemon.client.task_run(&task(identity(), json!({"in": 1}))).await.expect("it is done");
    let gone = daemon.client.task_run(&task(identity(), json!({"in": 2}))).await.expect("it is done");
    let open = daemon.client.task_start(&task(endless(), json!({}))).await.expect("it is accepted");
    let command = one_step(json!({"kind": "command", "spec": {"argv": ["true"]}}));
    let works = daemon.client.task_run(&task(command, json!({"in": 2}))).await.expect("it is done");
    for (run_id, status) in [(&open.run_id, 409), (&works.run_id, 409), (&"run_00".to_owned(), 400)] {
        assert_eq!(daemon.send(&format!("DELETE /v1/runs/{run_id}"), "").await.status, status);
    }
    daemon.client.run_delete(&gone.run_id).await.expect("it is removed");
    let (status, _) = refused(daemon.client.run_delete(&gone.run_id).await);
    assert_eq!(status, 404);
    let (status, _) = refused(daemon.client.trace(&gone.run_id, None).await);
    assert_eq!(status, 404);
    let left: Vec<_> =
        daemon.client.runs(10).await.expect("they are listed").runs.into_iter().map(|run| run.id).collect();
    assert_eq!(left, [works.run_id.clone(), open.run_id, kept.run_id.clone()]);
    assert!(daemon.client.task(&gone.task_id).await.expect("the task stays").task.status.is_none());

    // The next run takes no place of the one that is gone, also under the next daemon.
    let daemon = daemon.restarted().await;
    let next = daemon.client.task_run(&task(identity(), json!({"in": 3}))).await.expect("it is done");
    assert_eq!(daemon.client.trace(&next.run_id, None).await.expect("the trace").len(), 1);
    daemon.client.run_delete(&next.run_id).await.expect("it is removed");
    assert_eq!(daemon.client.trace(&kept.run_id, None).await.expect("the trace").len(), 1);
    let report = daemon.home.journal_report();
    assert!(report.is_sound() && report.removed > 4, "{report:?}");
    daemon.stop().await;
}
