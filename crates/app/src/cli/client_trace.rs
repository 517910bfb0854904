//! Runs that clients drive, read through the runtime door.

use super::print;
use super::runs::short;
use crate::exit::Failure;
use crate::progress::visible;
use adjutant_protocol::rpc::{NoTools, RunSummary};
use adjutant_protocol::{Client, ExitCode as Code};
use anyhow::Result;
use serde_json::Value;

/// Lists clients' runs, the newest first.
pub(super) async fn runs(client: &Client, limit: usize) -> Result<Vec<RunSummary>> {
    let (rpc, _notices) = client.rpc(NoTools).await?;
    Ok(rpc.run_list(None, limit).await?)
}

/// Prints every record of a client's run, or says that there is no such run.
pub(super) async fn print_all(client: &Client, run_id: &str, json: bool) -> Result<Code> {
    let (rpc, _notices) = client.rpc(NoTools).await?;
    let mut cursor = 0;
    loop {
        let Some(page) = rpc.run_trace(run_id, cursor).await? else {
            let failure = Failure::new(Code::NotFound, format!("there is no run `{}`", visible(run_id)));
            return Err(failure.hinted("`adjutant runs` lists them").into());
        };
        for record in &page.records {
            let line = if json { record.to_string() } else { line(record) };
            print(&line)?;
        }
        if !page.more {
            return Ok(Code::Ok);
        }
        cursor = page.cursor;
    }
}

fn line(record: &Value) -> String {
    let text = |key: &str| visible(record[key].as_str().unwrap_or_default());
    match record["record"].as_str() {
        Some("started") => format!("started  {}: {}", text("agent_id"), text("intent")),
        Some("turn") => turn_line(record),
        Some("ended") => format!("ended    {}", short(&record["termination"])),
        _ => short(record),
    }
}

fn turn_line(turn: &Value) -> String {
    let status = turn["status"].as_str().unwrap_or_default();
    let tool = turn["tool"].as_str().unwrap_or("-");
    let asked = turn["prompt"].as_str().map(str::to_owned);
    let asked = asked.map_or_else(|| short(&turn["parameters"]), |prompt| short(&Value::from(prompt)));
    let rejected = turn["policy_rejected"]["rule"].as_str();
    let outcome = match (turn["cli_outcome"]["kind"].as_str(), turn["verifier_verdict"].as_str()) {
        (Some("exited"), _) => format!("exit {}", turn["cli_outcome"]["code"]),
        (Some(kind), _) => kind.to_owned(),
        (None, Some(verdict @ ("pass" | "fail"))) => verdict.to_owned(),
        (None, _) => String::new(),
    };
    let what = rejected.or_else(|| turn["error"].as_str()).map_or_else(
        || turn.get("output").filter(|output| !output.is_null()).map_or_else(String::new, short),
        visible,
    );
    format!("{:>5}  {status:<9} {:<14} {asked}  {outcome}  {what}", turn["index"].to_string(), visible(tool))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_record_is_a_line() {
        for (record, expected) in [
            (json!({"record": "started", "agent_id": "a", "intent": "fix\nit"}), "started  a: fix it"),
            (
                json!({"record": "turn", "index": 0, "status": "succeeded", "tool": "drive_cli", "prompt": "p",
                    "cli_outcome": {"kind": "exited", "code": 0}, "verifier_verdict": "not_run", "output": {"a": 1}}),
                "    0  succeeded drive_cli      \"p\"  exit 0  {\"a\":1}",
            ),
            (
                json!({"record": "turn", "index": 1, "status": "succeeded", "tool": "check_outcome",
                    "parameters": {"command": "true"}, "verifier_verdict": "fail"}),
                "    1  succeeded check_outcome  {\"command\":\"true\"}  fail  ",
            ),
            (
                json!({"record": "turn", "index": 2, "status": "rejected", "tool": "t", "verifier_verdict": "not_run",
                    "policy_rejected": {"rule": "no"}}),
                "    2  rejected  t              null    no",
            ),
            (
                json!({"record": "ended", "termination": {"kind": "incomplete"}}),
                "ended    {\"kind\":\"incomplete\"}",
            ),
        ] {
            assert!(line(&record).starts_with(expected), "{}", line(&record));
        }
    }
}
