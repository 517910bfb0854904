//! The runtime door of the real daemon, which is killed under its client.

use crate::BINARY;
use adjutant_protocol::rpc::{
    Action, Proposal, ProposalResult, RpcClient, RpcClientError, RunOutcome, RunStart, SubmitOptions,
    ToolAnswer, ToolRequest, ToolSpec, Tools,
};
use adjutant_testkit::TestEnv;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Kills the daemon shortly after it has answered.
struct KillsAfterwards {
    daemon: Pid,
    after: Duration,
    calls: Arc<AtomicU32>,
}

impl Tools for KillsAfterwards {
    fn call(&self, _: ToolRequest) -> ToolAnswer {
        let (daemon, after) = (self.daemon, self.after);
        self.calls.fetch_add(1, Ordering::Relaxed);
        std::thread::spawn(move || {
            // The moments differ by less than a timer can tell, so the clock is watched.
            let began = Instant::now();
            while began.elapsed() < after {
                std::hint::spin_loop();
            }
            kill_process(daemon, Signal::KILL).unwrap();
        });
        Box::pin(async { Ok(json!({"n": 1})) })
    }
}

struct AtOnce;

impl Tools for AtOnce {
    fn call(&self, _: ToolRequest) -> ToolAnswer {
        Box::pin(async { Ok(json!({"n": 2})) })
    }
}

async fn connect(env: &TestEnv, tools: impl Tools) -> RpcClient {
    let address = env.daemon_json().unwrap()["address"].as_str().unwrap().to_owned();
    let token = fs::read_to_string(env.home().join("token")).unwrap();
    let (rpc, _notices) = RpcClient::connect(&address, token.trim(), tools).await.unwrap();
    let tool = ToolSpec { name: "count".to_owned(), parameters: json!({}), ..ToolSpec::default() };
    rpc.tools_register(&[tool]).await.unwrap();
    rpc
}

async fn count(rpc: &RpcClient) -> Result<ProposalResult, RpcClientError> {
    let proposal = Proposal { actions: vec![Action::tool_call("count", json!({}))], ..Proposal::default() };
    rpc.proposal_submit(&proposal, &SubmitOptions::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_killed_between_an_answer_and_the_reply_has_the_turn_once_and_its_run_goes_on() {
    let env = TestEnv::new(BINARY);
    let mut ends = Vec::new();
    for moment in 0..12 {
        env.run(&["runs"]).expect(0);
        let (daemon, calls) = (env.daemon_pid().unwrap(), Arc::new(AtomicU32::new(0)));
        let after = Duration::from_micros(moment * 250);
        let rpc = connect(&env, KillsAfterwards { daemon, after, calls: calls.clone() }).await;
        let start = RunStart {
            intent: "count".to_owned(),
            agent_id: Some("counter".to_owned()),
            ..RunStart::default()
        };
        let run_id = rpc.run_start(&start).await.unwrap().run_id;
        // Whether the reply still came is not what is looked at.
        let replied = count(&rpc).await.is_ok();

        env.run(&["runs"]).expect(0);
        let rpc = connect(&env, AtOnce).await;
        assert_eq!(rpc.run_resume(&run_id).await.unwrap().run_id, run_id);
        assert_eq!(count(&rpc).await.unwrap().results[0].output, Some(json!({"n": 2})));
        let outcome = RunOutcome { status: "success".to_owned(), ..RunOutcome::default() };
        rpc.run_complete(&run_id, &outcome).await.unwrap();

        let page = rpc.run_trace(&run_id, 0).await.unwrap().unwrap();
        let turns: Vec<&Value> = page.records.iter().filter(|record| record["record"] == "turn").collect();
        assert_eq!(turns.iter().map(|turn| &turn["index"]).collect::<Vec<_>>(), [0, 1], "{turns:?}");
        assert_eq!(calls.load(Ordering::Relaxed), 1, "what was called is not called again");
        let first = turns[0];
        match first["status"].as_str() {
            Some("succeeded") => assert_eq!(first["output"], json!({"n": 1})),
            // The answer had not reached the store: the trace says that it is not known what was done.
            Some("cancelled") => {
                assert!(!replied, "what was replied is kept");
                assert!(first["error"].as_str().unwrap().contains("not known"), "{first}");
            }
            other => panic!("{other:?}: {first}"),
        }
        ends.push(first["status"].clone());
        assert_eq!(page.records.last().unwrap()["termination"]["status"], "success");
    }
    assert!(ends.contains(&json!("succeeded")), "at some moment the answer was kept: {ends:?}");
    env.run(&["journal", "verify"]).expect(0);
}
