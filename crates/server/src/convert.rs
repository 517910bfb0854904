//! Between the plane's nouns and the wire, by hand, so that either side can change alone.

mod console;
mod errors;
mod goals;
mod hooks;
mod managed;
mod memory;
mod operators;
mod store;

pub(crate) use console::{auto_resume, config, console, cost, supervisor};
pub(crate) use errors::{consent, error_detail, errors, report_preview, reported};
pub(crate) use goals::{goal, goal_shown, goals};
pub(crate) use hooks::{breaker, hook_answer};
pub(crate) use managed::{
    delegation, handoff, inbox, managed, managed_activity, screen, session, shell_line,
};
pub(crate) use memory::{fact, found_fact};
pub(crate) use operators::{assignees, handover, operator, operator_frame, operator_reply, worker_prompt};
pub(crate) use store::{backup, check, restore_begun, restore_ended, sizes};

use adjutant_engine::data;
use adjutant_engine::doctor::{AgentFinding, Finding, Grade};
use adjutant_engine::jobs::JobStatus;
use adjutant_engine::registry::{BlueprintDocument, ListedBlueprint};
use adjutant_engine::steps::{Bindings, OutputInfo, StepInfo};
use adjutant_engine::workspaces::{CheckedInfo, MergedInfo, RestoredInfo, UsageInfo, WorkspaceInfo};
use adjutant_engine::{ExplainedKind, Explanation, Lint, Rerun, Resumed, TaskEntry};
use adjutant_engine::{LeftOut, LeftOutWhy, Snapshot};
use adjutant_model::action::TokenRecord;
use adjutant_model::client_run::Approval;
use adjutant_model::data::OutputRecord;
use adjutant_model::event::JournalRow;
use adjutant_model::issue::{EnhanceEntry, EnhanceOutcome, EnhanceSetting, Issue, Verdict};
use adjutant_model::policy::{GateStage, Judgement};
use adjutant_model::registry::{BlueprintVersion, VersionSelector};
use adjutant_model::run::{
    ErrorClass, FlowError, RunRecord, StepFailure, TtlSource, TurnKind, TurnRecord, TurnStatus, Usage,
    WorkspaceKind, WorkspaceRecord,
};
use adjutant_model::{Holder, RunId, TaskId};
use adjutant_protocol::http;
use serde_json::{Value, json};

pub(crate) fn job(job: &JobStatus) -> http::JobView {
    let last = job.last.as_ref();
    http::JobView {
        name: job.name.to_owned(),
        period_secs: u64::try_from(job.period.as_millis().div_ceil(1000)).unwrap_or(u64::MAX),
        enabled: !job.period.is_zero(),
        runs: job.runs,
        errors: job.errors,
        panics: job.panics,
        acted_total: job.acted_total,
        last_started_secs: last.map(|round| round.started_at.unix_ms() / 1000),
        last_finished_secs: last.map(|round| round.finished_at.unix_ms() / 1000),
        last_duration_ms: last.map(|round| round.finished_at.ms_since(round.started_at)),
        last_outcome: last.map(|round| round.outcome.clone()),
    }
}

pub(crate) fn finding(finding: &Finding) -> http::FindingView {
    let Finding { name, grade, detail } = finding.clone();
    http::FindingView { name, finding: self::grade(grade).to_owned(), detail }
}

pub(crate) fn agent_finding(finding: &AgentFinding) -> http::AgentFindingView {
    let AgentFinding { name, grade, probed } = finding;
    http::AgentFindingView {
        name: name.clone(),
        finding: self::grade(*grade).to_owned(),
        program: probed.program.clone(),
        path: probed.path.as_ref().map(|path| path.to_string_lossy().into_owned()),
        version: probed.version.clone(),
        drivers: probed.drivers.iter().map(|kind| kind.as_str().to_owned()).collect(),
        warnings: probed.warnings.clone(),
    }
}

fn grade(grade: Grade) -> &'static str {
    match grade {
        Grade::Fine => "ok",
        Grade::Worse => "warn",
        Grade::Bad => "fail",
    }
}

pub(crate) fn issue(issue: &Issue) -> http::IssueView {
    let epoch = issue.epoch.as_ref();
    http::IssueView {
        issue_id: issue.id.to_string(),
        status: issue.state.status().as_str().to_owned(),
        blueprint_id: issue.blueprint_id.clone(),
        intent: issue.intent.clone(),
        reason: issue.state.reason().map(str::to_owned),
        new_version: issue.state.new_version().map(str::to_owned),
        run_id: epoch.map(|epoch| epoch.run_id.to_string()),
        base_version: epoch.map(|epoch| epoch.base_version.clone()),
        conflicts: issue.conflicts,
        author: issue.author.clone(),
        created_at: issue.created_at.to_string(),
        updated_at: issue.updated_at.to_string(),
    }
}

pub(crate) fn enhance_setting(setting: &EnhanceSetting) -> http::EnhanceSettingView {
    http::EnhanceSettingView {
        id: setting.id.clone(),
        blueprint_id: setting.blueprint_id.clone(),
        version: match &setting.version {
            VersionSelector::Latest => http::VersionSelectorParams::Latest,
            VersionSelector::Fixed(value) => http::VersionSelectorParams::Fixed { value: value.clone() },
            VersionSelector::SemverReq(req) => http::VersionSelectorParams::SemverReq { req: req.clone() },
        },
        ttl_secs: setting.ttl_secs,
        verifier_axes: setting.verifier_axes.clone(),
        spawner: setting.spawner.as_ref().map(Into::into),
        meta: (&setting.meta).into(),
    }
}

pub(crate) fn enhance_entry(entry: &EnhanceEntry) -> http::EnhanceEntryView {
    let (status, fault) = match entry.outcome {
        EnhanceOutcome::Applied => ("applied", false),
        EnhanceOutcome::Rejected => ("rejected", false),
        EnhanceOutcome::Faulted => ("rejected", true),
    };
    let verdict = |verdict: &Verdict| http::AxisVerdictView {
        axis: verdict.axis.clone(),
        status: verdict.status.as_str().to_owned(),
        detail: verdict.detail.clone(),
    };
    http::EnhanceEntryView {
        issue_id: entry.issue_id.to_string(),
        blueprint_id: entry.blueprint_id.clone(),
        run_id: entry.run_id.as_ref().map(ToString::to_string),
        prev_hash: entry.prev_hash.clone(),
        new_hash: entry.new_hash.clone(),
        intent: entry.intent.clone(),
        rationale: entry.rationale.clone(),
        verdicts: entry.verdicts.iter().map(verdict).collect(),
        status: status.to_owned(),
        fault,
        reasons: entry.reasons.clone(),
        ts_ms: entry.at.unix_ms(),
    }
}

pub(crate) fn token(token: &TokenRecord) -> http::TokenEntryView {
    let step = token.step.as_ref();
    http::TokenEntryView {
        id: token.id.to_string(),
        role: token.role.as_str().to_owned(),
        agent_id: token.agent_id.as_deref().map(str::to_owned),
        session: token.session_id.map(|id| id.to_string()),
        run_id: step.map(|step| step.run_id.to_string()),
        path: step.map(|step| step.path.to_string()),
        attempt: step.map(|step| step.attempt),
        created_at: token.created_at.to_string(),
        expires_at: token.expires_at.map(|at| at.to_string()),
        revoked_at: token.revoked_at.map(|at| at.to_string()),
        uses: token.uses,
        last_seen_at: token.last_seen_at.map(|at| at.to_string()),
    }
}

pub(crate) fn output(output: &OutputRecord) -> http::OutputView {
    http::OutputView {
        out_id: output.id.to_string(),
        name: output.name.clone(),
        size_bytes: output.size_bytes,
        sha256: output.sha256.clone(),
        content_type: output.content_type.clone(),
        run_id: output.run_id.as_ref().map(ToString::to_string),
        path: output.path.as_ref().map(ToString::to_string),
        attempt: output.attempt,
        producer_agent: output.producer.clone(),
        parent_refs: output.parents.iter().map(ToString::to_string).collect(),
        created_at: output.created_at.to_string(),
        r#ref: (&data::reference(output)).into(),
    }
}

/// Gives the record of an output that was emitted.
pub(crate) fn output_record(output: &OutputRecord) -> Option<http::OutputRecordView> {
    Some(http::OutputRecordView {
        id: output.id.to_string(),
        task_id: output.task_id.clone(),
        attempt: output.attempt,
        producer_agent: output.producer.clone(),
        event: output.event.as_ref()?.into(),
        parent_refs: output.parents.iter().map(ToString::to_string).collect(),
    })
}

pub(crate) fn task(entry: &TaskEntry) -> http::TaskView {
    let task = &entry.task;
    let said = |key: &str| task.request.get(key);
    let text = |key: &str| said(key).and_then(|value| value.as_str()).map(str::to_owned);
    http::TaskView {
        id: task.id.to_string(),
        goal: task.goal.clone(),
        blueprint_id: task.blueprint_id.clone(),
        bound_version: task.blueprint_hash.clone(),
        blueprint_ref: said("blueprint").map_or_else(|| json!({"kind": "inline"}), Into::into),
        input_ctx: (&task.input).into(),
        task_input_spec: http::TaskInputParams {
            project_root: text("project_root"),
            work_dir: text("work_dir"),
            task_metadata: said("task_metadata").map(Value::from).filter(|metadata| !metadata.is_null()),
        },
        status: entry.status.map(|status| status.as_str().to_owned()),
        created_at: task.created_at.to_string(),
        updated_at: entry.updated_at.to_string(),
    }
}

pub(crate) fn run(run: &RunRecord) -> http::RunView {
    http::RunView {
        id: run.id.to_string(),
        task_id: run.task_id.to_string(),
        status: run.status.as_str().to_owned(),
        blueprint_id: run.blueprint_id.clone(),
        bound_version: run.blueprint_hash.clone(),
        epoch: run.epoch,
        ttl_secs: run.ttl_ms / 1000,
        ttl_source: ttl_source(run.ttl_source).to_owned(),
        workspace: run.workspace.as_ref().map(workspace),
        goal_id: run.goal_id.as_ref().map(ToString::to_string),
        agent: run.agent_override.clone(),
        error: run.error.as_ref().map(flow_error),
        final_ctx: run.result.as_ref().map(Into::into),
        usage: None,
        created_at: run.created_at.to_string(),
        ended_at: run.ended_at.map(|at| at.to_string()),
    }
}

pub(crate) fn ttl_source(source: TtlSource) -> &'static str {
    match source {
        TtlSource::RequestBody => "request_body",
        TtlSource::BpMetadata => "bp_metadata",
        TtlSource::ServerDefault => "server_default",
    }
}

pub(crate) fn flow_error(error: &FlowError) -> http::FlowErrorView {
    http::FlowErrorView {
        code: error.code.as_str().to_owned(),
        message: error.message.clone(),
        step: error.step.as_ref().map(ToString::to_string),
        agent: error.reference.as_ref().map(ToString::to_string),
        value: error.value.as_ref().map(Into::into),
    }
}

pub(crate) fn workspace(workspace: &WorkspaceRecord) -> http::WorkspaceView {
    let kind = match workspace.kind {
        WorkspaceKind::Worktree => "worktree",
        WorkspaceKind::Scratch => "scratch",
        WorkspaceKind::Given => "given",
    };
    http::WorkspaceView {
        kind: kind.to_owned(),
        path: workspace.path.clone(),
        project: workspace.project.clone(),
        branch: workspace.branch.clone(),
        base: workspace.base.clone(),
        node: workspace.node.clone(),
    }
}

fn holder_name(holder: &Holder) -> &'static str {
    match holder {
        Holder::Run(_) => "run",
        Holder::Session(_) => "session",
    }
}

pub(crate) fn workspace_entry(info: &WorkspaceInfo) -> http::WorkspaceEntryView {
    http::WorkspaceEntryView {
        id: info.holder.to_string(),
        holder: holder_name(&info.holder).to_owned(),
        run_status: info.run_status.map(|status| status.as_str().to_owned()),
        workspace: workspace(&info.workspace),
        changed_files: info.unsaved.as_ref().map(|unsaved| (unsaved.changed + unsaved.untracked) as u64),
        unmerged_commits: info.unsaved.as_ref().map(|unsaved| unsaved.commits as u64),
    }
}

pub(crate) fn left_out(out: &LeftOut) -> http::LeftOutView {
    let why = match out.why {
        LeftOutWhy::Artefact => "artefact",
        LeftOutWhy::TooLarge => "too_large",
        LeftOutWhy::TooMuch => "too_much",
        LeftOutWhy::Repository => "repository",
        LeftOutWhy::Unreadable => "unreadable",
    };
    http::LeftOutView { path: out.path.clone(), why: why.to_owned() }
}

pub(crate) fn snapshot(snapshot: &Snapshot) -> http::SnapshotView {
    let content = &snapshot.content;
    http::SnapshotView {
        number: snapshot.number,
        refname: snapshot.refname.clone(),
        commit: snapshot.commit.clone(),
        at: snapshot.at.to_string(),
        head: content.head.clone(),
        branch: content.branch.clone(),
        left_out: content.left_out.iter().map(left_out).collect(),
        left_out_count: content.left_out_count as u64,
    }
}

pub(crate) fn restored(restored: &RestoredInfo) -> http::RestoredView {
    http::RestoredView {
        workspace: workspace(&restored.workspace),
        snapshot_ref: restored.snapshot_ref.clone(),
        before_ref: restored.before_ref.clone(),
    }
}

pub(crate) fn merged(merged: &MergedInfo) -> http::MergedView {
    let checked = |check: &CheckedInfo| http::CheckedView {
        command: check.command.clone(),
        summary: check.summary.clone(),
    };
    http::MergedView {
        into: merged.into.clone(),
        commit: merged.commit.clone(),
        is_unchanged: merged.is_unchanged,
        checks: merged.checks.iter().map(checked).collect(),
        followed: merged.followed.as_ref().map(|path| path.to_string_lossy().into_owned()),
    }
}

pub(crate) fn workspaces_usage(usage: &UsageInfo) -> http::RoomView {
    let workspaces = usage.workspaces.iter().map(|one| http::WorkspaceUsageView {
        id: one.holder.as_ref().map(ToString::to_string),
        path: one.path.to_string_lossy().into_owned(),
        bytes: one.bytes,
    });
    let repositories = usage.repositories.iter();
    let repositories =
        repositories.map(|one| http::RepositoryUsageView { name: one.name.clone(), bytes: one.bytes });
    http::RoomView {
        workspaces: workspaces.collect(),
        repositories: repositories.collect(),
        snapshots: usage.snapshots,
        bytes: usage.bytes,
        bytes_max: usage.bytes_max,
    }
}

pub(crate) fn turn(turn: &TurnRecord) -> http::TurnView {
    let kind = match turn.kind {
        TurnKind::Step => "step",
        TurnKind::Tool => "tool",
    };
    http::TurnView {
        index: turn.index,
        kind: kind.to_owned(),
        path: turn.path.to_string(),
        attempt: turn.attempt,
        name: turn.name.clone(),
        status: turn.status.as_str().to_owned(),
        parameters: (&turn.parameters).into(),
        output: turn.output.as_ref().map(Into::into),
        error: turn.error.as_ref().map(turn_error),
        rule: turn.rule.clone(),
        usage: turn.usage.as_ref().map(usage),
        superseded: turn.superseded,
        started_at: turn.started_at.to_string(),
        ended_at: turn.ended_at.map(|at| at.to_string()),
    }
}

pub(crate) fn resumed(run_id: &RunId, resumed: &Resumed) -> http::ResumedView {
    http::ResumedView {
        run_id: run_id.to_string(),
        task_id: resumed.task_id.to_string(),
        replayed_steps: resumed.replayed_steps,
    }
}

pub(crate) fn rerun(run_id: &RunId, rerun: &Rerun) -> http::RerunView {
    http::RerunView {
        run_id: run_id.to_string(),
        task_id: rerun.task_id.to_string(),
        replayed_steps: rerun.replayed_steps,
        dropped_steps: rerun.dropped_steps,
    }
}

pub(crate) fn step(run_id: &RunId, info: &StepInfo) -> http::StepEntryView {
    let turn = &info.turn;
    let ended = turn.ended_at;
    http::StepEntryView {
        step_id: format!("{run_id}/{}", turn.index),
        step_ref: turn.name.clone(),
        path: turn.path.to_string(),
        attempt: turn.attempt,
        status: step_status(turn).to_owned(),
        superseded: turn.superseded.is_some(),
        worker_kind: info.worker_kind.map(str::to_owned),
        model: turn.usage.as_ref().and_then(|usage| usage.model.clone()),
        usage: turn.usage.as_ref().map(usage),
        at: ended.unwrap_or(turn.started_at).to_string(),
        started_at_ms: turn.started_at.unix_ms(),
        completed_at_ms: ended.map(|at| at.unix_ms()),
        duration_ms: ended.map(|at| at.ms_since(turn.started_at)),
    }
}

/// Gives how a step went in the words that clients of steps know. A worker that said no gave a value with it.
fn step_status(turn: &TurnRecord) -> &'static str {
    let value = turn.error.as_ref().and_then(|error| error.value.as_ref());
    match (turn.status, value) {
        (TurnStatus::Started, _) => "running",
        (TurnStatus::Succeeded, _) => "passed",
        (TurnStatus::Skipped, _) => "skipped",
        (TurnStatus::Rejected, _) => "blocked",
        (TurnStatus::Cancelled, _) => "cancelled",
        (TurnStatus::Failed, Some(value)) if value.get("timed_out").is_some() => "timeout",
        (TurnStatus::Failed, Some(_)) => "blocked",
        (TurnStatus::Failed, None) => "failed",
    }
}

pub(crate) fn step_output((task_id, run_id): (&TaskId, &RunId), output: &OutputInfo) -> http::StepOutputView {
    let name = adjutant_protocol::escaped(&output.name);
    http::StepOutputView {
        name: output.name.clone(),
        path: output.path.clone(),
        size_bytes: output.size_bytes,
        content_type: output.content_type.to_owned(),
        sha256: output.sha256.clone(),
        source: format!("turn {}", output.turn),
        content_url: format!("/v1/tasks/{task_id}/runs/{run_id}/steps/{name}/content"),
        preview: output.preview.clone(),
        truncated: output.truncated,
    }
}

pub(crate) fn bindings(bindings: &Bindings) -> http::BindingsView {
    let calls = bindings.calls.iter().map(|pin| http::CallPinView {
        blueprint: pin.blueprint.clone(),
        version: pin.version.clone(),
        bound_version: pin.hash.clone(),
    });
    let agents = bindings.agents.iter().map(|agent| http::BindingView {
        blueprint_id: agent.blueprint.clone(),
        bound_version: agent.version.clone(),
        agent: agent.agent.clone(),
        kind: agent.kind.to_owned(),
        program: agent.program.clone(),
    });
    http::BindingsView {
        run_id: bindings.run.id.to_string(),
        task_id: bindings.run.task_id.to_string(),
        blueprint_id: bindings.run.blueprint_id.clone(),
        bound_version: bindings.run.blueprint_hash.clone(),
        calls: calls.collect(),
        bindings: agents.collect(),
    }
}

pub(crate) fn usage(usage: &Usage) -> http::UsageView {
    http::UsageView {
        model: usage.model.clone(),
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        num_turns: usage.num_turns,
        cost_usd: usage.cost_usd,
    }
}

pub(crate) fn lint(lint: &Lint) -> http::LintView {
    http::LintView {
        name: lint.name.to_owned(),
        pointer: lint.pointer.clone(),
        message: lint.message.clone(),
        hint: lint.hint.clone(),
    }
}

pub(crate) fn blueprint_document(found: BlueprintDocument) -> http::BlueprintDocumentView {
    http::BlueprintDocumentView {
        id: found.id,
        version: found.version,
        blueprint: (&found.document).into(),
        built_in: found.entry.is_none(),
        entry: found.entry.map(blueprint_version),
        archived_at: found.archived_at.map(|at| at.to_string()),
    }
}

pub(crate) fn blueprint_version(version: BlueprintVersion) -> http::BlueprintVersionView {
    http::BlueprintVersionView {
        number: version.number,
        hash: version.version.clone(),
        version: version.version,
        version_label: version.label,
        rationale: version.rationale,
        author: version.author,
        parent: version.parent,
        created_at: version.created_at.to_string(),
    }
}

pub(crate) fn blueprint_entry(listed: ListedBlueprint) -> http::BlueprintEntryView {
    http::BlueprintEntryView {
        id: listed.id,
        version: listed.version,
        version_label: listed.label,
        description: listed.about.description,
        tags: listed.about.tags,
        built_in: listed.entry.is_none(),
        author: listed.entry.as_ref().map(|entry| entry.author.clone()),
        created_at: listed.entry.as_ref().map(|entry| entry.created_at.to_string()),
        archived_at: listed.archived_at.map(|at| at.to_string()),
    }
}

fn turn_error(failure: &StepFailure) -> http::TurnErrorView {
    let class = match failure.class {
        ErrorClass::Retry => "retry",
        ErrorClass::User => "user",
        ErrorClass::Gone => "gone",
        ErrorClass::Bug => "bug",
    };
    http::TurnErrorView {
        message: failure.message.clone(),
        class: class.to_owned(),
        value: failure.value.as_ref().map(Into::into),
    }
}

pub(crate) fn event(row: &JournalRow) -> http::EventView {
    let mut payload = serde_json::to_value(&row.event).expect("an event is JSON");
    if let Value::Object(fields) = &mut payload {
        fields.remove("kind");
    }
    http::EventView {
        seq: row.seq,
        at: row.at.to_string(),
        actor: row.actor.clone(),
        subject: row.subject.clone(),
        kind: row.event.kind().to_owned(),
        payload,
    }
}

pub(crate) fn gate_stage(stage: GateStage) -> &'static str {
    match stage {
        GateStage::Capability => "capability",
        GateStage::Validation => "validation",
        GateStage::Policy => "policy",
        GateStage::Breaker => "breaker",
        GateStage::Approval => "approval",
    }
}

pub(crate) fn explanation(explanation: &Explanation) -> http::ExplanationView {
    let kind = match explanation.kind {
        ExplainedKind::Step => "step",
        ExplainedKind::Tool => "tool",
        ExplainedKind::Action => "action",
        ExplainedKind::Narrated => "narrated",
    };
    http::ExplanationView {
        run_id: explanation.run_id.clone(),
        turn: explanation.turn,
        kind: kind.to_owned(),
        name: explanation.name.clone(),
        status: explanation.status.as_str().to_owned(),
        judgements: explanation.judgements.iter().map(verdict).collect(),
    }
}

fn verdict(judgement: &Judgement) -> http::VerdictView {
    let matched = judgement.matched.iter().map(|hit| http::RuleMatchView {
        rule: hit.rule.clone(),
        scope: hit.scope.as_str().to_owned(),
        effect: hit.effect.as_str().to_owned(),
        why: hit.why.clone(),
    });
    http::VerdictView {
        allowed: judgement.allowed,
        effect: judgement.effect.as_str().to_owned(),
        decided_by: gate_stage(judgement.decided_by).to_owned(),
        rule: judgement.rule.clone(),
        reason: judgement.reason.clone(),
        matched: matched.collect(),
    }
}

pub(crate) fn approval(approval: &Approval) -> http::ApprovalView {
    http::ApprovalView {
        id: approval.id.clone(),
        run_id: approval.run_id.as_deref().map(str::to_owned),
        agent_id: approval.agent_id.as_deref().map(str::to_owned),
        tool: approval.tool.clone(),
        parameters: (&approval.parameters).into(),
        fingerprint: approval.fingerprint.clone(),
        reason: approval.reason.clone(),
        status: approval.status.as_str().to_owned(),
        deadline: approval.deadline.to_string(),
        created_at: approval.created_at.to_string(),
        resolved_at: approval.resolved_at.map(|at| at.to_string()),
        resolved_by: approval.resolved_by.clone(),
        option: approval.option.clone(),
    }
}

/// Gives an approval as the runtime door shows it: as HTTP does, and by the name that its methods take.
pub(crate) fn approval_json(of: &Approval) -> Value {
    let mut json = serde_json::to_value(approval(of)).expect("an approval is JSON");
    json["approval_id"] = json["id"].clone();
    json
}
