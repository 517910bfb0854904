//! Operators, seats and workers between the plane and the wire.

use adjutant_engine::operators::{
    Ack, Assignees, Handover, OperatorCall, OperatorInfo, OperatorReply, SeatInfo, SpawnCall, Unanswered,
    WorkerPrompt,
};
use adjutant_model::Value;
use adjutant_model::run::Usage;
use adjutant_protocol::http;
use adjutant_protocol::operator::{OperatorFrame, ReplyFrame, WorkerFrame};

pub(crate) fn operator(info: &OperatorInfo) -> http::OperatorView {
    let OperatorInfo { operator, connected, seen_at } = info;
    http::OperatorView {
        sid: operator.sid.to_string(),
        desc: operator.desc.clone(),
        roles: operator.roles.clone(),
        connected: *connected,
        joined_at_secs: operator.joined_at.unix_ms() / 1000,
        last_activity_secs: seen_at.unix_ms() / 1000,
        capability_manifest: operator.capability_manifest.as_ref().map(Into::into),
    }
}

pub(crate) fn assignees(assignees: &Assignees) -> http::AssigneesView {
    let is_declared = assignees.seats.iter().any(|seat| seat.declared);
    http::AssigneesView {
        run_id: assignees.run_id.to_string(),
        generation: assignees.generation,
        seats: assignees.seats.iter().map(seat).collect(),
        seats_source: if is_declared { "declared" } else { "run_current_only" }.to_owned(),
    }
}

fn seat(seat: &SeatInfo) -> http::SeatView {
    http::SeatView {
        slot: seat.slot.clone(),
        vacant: seat.holder.is_none(),
        holder: seat.holder.as_ref().map(|op| http::SeatHolderView {
            op: op.to_string(),
            desc: seat.desc.clone(),
            generation: seat.generation,
            connected: seat.connected,
        }),
        declared: seat.declared,
    }
}

pub(crate) fn handover(handover: &Handover) -> http::HandoverView {
    let http::AssigneesView { run_id, generation, seats, seats_source } = assignees(&handover.assignees);
    let route = format!("/v1/runs/{run_id}/trace");
    http::HandoverView {
        run_id,
        generation,
        seats,
        seats_source,
        trace: http::HandoverTraceView { route, latest_seq: handover.latest_seq },
        unanswered: handover.unanswered.iter().map(unanswered).collect(),
    }
}

fn unanswered(open: &Unanswered) -> http::UnansweredView {
    let Unanswered { key, op, given } = open;
    let (run_id, _, attempt) = key.step.names();
    http::UnansweredView {
        op: op.to_string(),
        generation: key.generation,
        req_id: key.to_string(),
        kind: key.kind.as_str().to_owned(),
        step_id: key.step.to_string(),
        attempt,
        final_present: given.is_some(),
        final_ok: *given,
        material_route: format!("/v1/runs/{run_id}/material?step_id={}", key.step),
    }
}

pub(crate) fn worker_prompt(prompt: &WorkerPrompt) -> http::WorkerPromptView {
    let (task_id, attempt) = (prompt.step.to_string(), prompt.attempt);
    let system_ref = prompt.system.as_ref().filter(|text| text.is_long()).map(|text| http::SystemRefView {
        uri: format!("/v1/worker/prompt/system?task_id={task_id}&attempt={attempt}"),
        sha256: text.sha256(),
        size_bytes: text.0.len(),
        mode: "http".to_owned(),
    });
    http::WorkerPromptView {
        system: prompt.system.as_ref().filter(|text| !text.is_long()).map(|text| text.0.clone()),
        system_ref,
        prompt: prompt.prompt.clone(),
        context: http::WorkerContextView {
            task_id: task_id.clone(),
            agent: prompt.agent.clone(),
            attempt,
            run_id: prompt.run_id.to_string(),
            work_dir: prompt.work_dir.clone(),
            project_root: prompt.project_root.clone(),
            task_metadata: prompt.task_metadata.as_ref().map(Into::into),
        },
        task_id,
        attempt,
        agent: prompt.agent.clone(),
    }
}

pub(crate) fn operator_frame(call: OperatorCall) -> OperatorFrame {
    match call {
        OperatorCall::Ask { key, step, question } => OperatorFrame::Ask {
            req_id: key.to_string(),
            task_id: step.to_string(),
            question: (&question).into(),
        },
        OperatorCall::HookBefore { key, step, agent, attempt } => {
            OperatorFrame::HookBefore { req_id: key.to_string(), task_id: step.to_string(), agent, attempt }
        }
        OperatorCall::HookAfter { id, step, agent, attempt, result } => OperatorFrame::HookAfter {
            req_id: id,
            task_id: step.to_string(),
            agent,
            attempt,
            result: (&result).into(),
        },
        OperatorCall::Spawn(spawn) => {
            let SpawnCall { key, step, agent, attempt, token, runner, directive } = *spawn;
            OperatorFrame::Spawn {
                req_id: key.to_string(),
                task_id: step.to_string(),
                agent,
                attempt,
                capability_token: token.reveal().to_owned(),
                worker_handle: token.reveal().to_owned(),
                worker: runner.map(|runner| WorkerFrame { variant: runner.variant, tools: runner.tools }),
                directive,
            }
        }
    }
}

/// Gives the request that a frame answers, and what it says.
pub(crate) fn operator_reply(frame: ReplyFrame) -> (String, OperatorReply) {
    match frame {
        ReplyFrame::Answer { req_id, value } => (req_id, OperatorReply::Answer(Value::from(value))),
        ReplyFrame::HookAck { req_id, ok, reason } => (req_id, OperatorReply::Hook { ok, reason }),
        ReplyFrame::SpawnAck { req_id, value, ok, error, stats } => {
            let (value, usage) = (Value::from(value), stats.and_then(used));
            let ack = match ok && error.is_none() {
                true => Ack::Done { value, usage },
                false => Ack::Failed { error, value, usage },
            };
            (req_id, OperatorReply::Step(ack))
        }
        ReplyFrame::SpawnHalt { req_id, value, reason } => {
            (req_id, OperatorReply::Step(Ack::Halted { reason, value: Value::from(value) }))
        }
    }
}

fn used(stats: http::WorkerStatsParams) -> Option<Usage> {
    let tokens = stats.usage.unwrap_or_default();
    let usage = Usage {
        model: stats.model,
        input_tokens: tokens.input_tokens,
        output_tokens: tokens.output_tokens,
        num_turns: stats.num_turns,
        cost_usd: None,
    };
    (!usage.is_empty()).then_some(usage)
}
