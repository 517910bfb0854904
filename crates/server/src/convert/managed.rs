//! Managed sessions and the inbox.

use super::approval;
use adjutant_engine::cost::Cost;
use adjutant_engine::delegations::DelegationInfo;
use adjutant_engine::hosting::Managed;
use adjutant_engine::hosting::Screen;
use adjutant_engine::inbox::{GoalItem, Inbox, InboxItem, InboxKind};
use adjutant_engine::pressure::SessionContext;
use adjutant_engine::roster::RosterEntry;
use adjutant_model::handoff::Handoff;
use adjutant_model::session::{
    ActivityReport, AgentQuestion, Desired, Session, SessionBudget, SessionPhase, SessionSource, SessionUsage,
};
use adjutant_protocol::http;

pub(crate) fn managed(managed: &Managed) -> http::ManagedView {
    let Managed { session, workspace, cost, context, attach_command } = managed;
    let (project, repo_url, git_ref) = match &session.source {
        SessionSource::Project { path, git_ref } => (Some(path.clone()), None, git_ref.clone()),
        SessionSource::Remote { url, git_ref } => (None, Some(url.clone()), git_ref.clone()),
        SessionSource::Directory { .. } => (workspace.as_ref().and_then(|it| it.project.clone()), None, None),
    };
    let (pending_decision, proposed_default) = pending(session);
    http::ManagedView {
        id: session.id.to_string(),
        name: session.name.clone(),
        state: session.state.as_str().to_owned(),
        phase: phase(session.phase).to_owned(),
        desired: desired(session.desired).to_owned(),
        reason: session.reason.clone(),
        activity: activity(&session.activity),
        questions: session.questions.iter().map(question).collect(),
        pending_decision,
        proposed_default,
        agent: session.agent.clone(),
        runtime: session.agent.clone(),
        driver: session.driver.as_str().to_owned(),
        tier: session.tier.map(|tier| tier.as_str().to_owned()),
        model: session.model_used.clone().or_else(|| session.model.clone()),
        project,
        repo_url,
        git_ref,
        workspace_path: workspace.as_ref().map(|workspace| workspace.path.clone()),
        branch: workspace.as_ref().and_then(|workspace| workspace.branch.clone()),
        task: session.task.clone(),
        delivered_at: session.delivered_at.map(|at| at.to_string()),
        goal_id: session.goal_id.as_ref().map(ToString::to_string),
        parent: session.parent.map(|parent| parent.to_string()),
        agent_session: session.agent_session.clone(),
        pid: session.handle.as_ref().map(|handle| handle.pid),
        attach_cmd: attach_command.as_deref().map(shell_line),
        launches: session.launches,
        turns: session.turns,
        parked_until: session.parked_until.map(|at| at.to_string()),
        usage: usage(&session.usage, *cost),
        context: context.as_ref().map(self::context),
        budget: budget(&session.budget),
        snapshot_ref: session.snapshot_ref.clone(),
        node: session.node.clone(),
        created_at: session.created_at.to_string(),
        updated_at: session.updated_at.to_string(),
        last_activity_at: session.last_activity_at.map(|at| at.to_string()),
    }
}

fn context(context: &SessionContext) -> http::SessionContextView {
    http::SessionContextView {
        used_tokens: context.used_tokens,
        window_tokens: context.window_tokens,
        fraction: context.fraction,
        pressure: context.pressure.as_str().to_owned(),
    }
}

/// Gives a session, whoever has begun it.
pub(crate) fn session(entry: &RosterEntry) -> http::SessionView {
    let token = entry.token.as_ref();
    http::SessionView {
        kind: entry.kind.as_str().to_owned(),
        id: entry.id.to_string(),
        name: entry.name.clone(),
        agent_id: entry.agent.clone(),
        role: token.map(|token| token.role.as_str().to_owned()),
        state: entry.state.to_owned(),
        activity: activity(&entry.activity),
        questions: entry.questions.iter().map(question).collect(),
        goal_id: entry.goal_id.as_ref().map(ToString::to_string),
        usage: usage(&entry.usage, entry.cost),
        cwd: entry.cwd.clone(),
        created_at: entry.created_at.to_string(),
        expires_at: token.and_then(|token| token.expires_at).map(|at| at.to_string()),
        uses: token.map(|token| token.uses),
        last_seen_at: entry.heard_at.map(|at| at.to_string()),
    }
}

pub(crate) fn delegation(info: &DelegationInfo) -> http::DelegationView {
    let DelegationInfo { delegation, circuit } = info;
    http::DelegationView {
        delegation_id: delegation.id.to_string(),
        session_id: delegation.session.to_string(),
        child_session_id: delegation.child.to_string(),
        agent: delegation.agent.clone(),
        profile: delegation.profile.clone(),
        tier: delegation.tier.as_str().to_owned(),
        model: delegation.model.clone(),
        circuit: (*circuit).to_owned(),
        status: delegation.status.as_str().to_owned(),
        reason: delegation.reason.clone(),
        task: delegation.task.clone(),
        result: delegation.result.clone(),
        approval_id: delegation.approval_id.clone(),
        created_at: delegation.created_at.to_string(),
        ended_at: delegation.ended_at.map(|at| at.to_string()),
        told_at: delegation.told_at.map(|at| at.to_string()),
    }
}

pub(crate) fn handoff(handoff: &Handoff, successor: &Managed) -> http::HandoffView {
    http::HandoffView {
        handoff_id: handoff.id.to_string(),
        session_id: handoff.session.to_string(),
        successor: managed(successor),
        git_ref: handoff.git_ref.clone(),
        brief: handoff.brief.clone(),
    }
}

pub(crate) fn managed_activity(managed: &Managed, screen: &Screen) -> http::ManagedActivityView {
    let session = &managed.session;
    let (pending_decision, proposed_default) = pending(session);
    http::ManagedActivityView {
        id: session.id.to_string(),
        name: session.name.clone(),
        state: session.state.as_str().to_owned(),
        activity: activity(&session.activity),
        runtime_active: session.handle.is_some(),
        raw_pane: screen.lines.join("\n"),
        lines: screen.lines.len(),
        questions: session.questions.iter().map(question).collect(),
        pending_decision,
        proposed_default,
        usage: usage(&session.usage, managed.cost),
    }
}

pub(crate) fn screen(screen: Screen) -> http::ScreenView {
    let Screen { lines, size: (columns, rows), cursor } = screen;
    http::ScreenView { lines, columns, rows, cursor }
}

pub(crate) fn inbox(inbox: &Inbox) -> http::InboxView {
    http::InboxView {
        approvals: inbox.approvals.iter().map(approval).collect(),
        sessions: inbox.sessions.iter().map(inbox_item).collect(),
        goals: inbox.goals.iter().map(inbox_goal).collect(),
    }
}

fn inbox_goal(item: &GoalItem) -> http::InboxGoal {
    http::InboxGoal {
        goal_id: item.goal_id.to_string(),
        description: item.description.clone(),
        kind: item.alert.what.as_str().to_owned(),
        text: item.alert.text.clone(),
        since: item.alert.since.to_string(),
    }
}

fn inbox_item(item: &InboxItem) -> http::InboxItem {
    http::InboxItem {
        session_id: item.session_id.to_string(),
        name: item.name.clone(),
        kind: item.what.as_str().to_owned(),
        text: item.text.clone(),
        question: match &item.what {
            InboxKind::Asks(asked) => Some(question(asked)),
            InboxKind::Quota | InboxKind::Errored | InboxKind::Untold | InboxKind::Context => None,
        },
        since: item.since.to_string(),
    }
}

/// Gives words as a shell reads them.
pub(crate) fn shell_line(words: &[String]) -> String {
    let is_plain = |word: &String| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./=:@%+,".contains(&b))
    };
    let quoted = |word: &String| match is_plain(word) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

pub(crate) fn pending(session: &Session) -> (Option<String>, Option<String>) {
    let first = session.questions.first();
    let default = first.and_then(|question| question.options.first()).map(|option| option.name.clone());
    (first.map(|question| question.text.clone()), default)
}

fn question(question: &AgentQuestion) -> http::QuestionView {
    http::QuestionView {
        ask_id: question.ask_id.clone(),
        kind: question.what.as_str().to_owned(),
        text: question.text.clone(),
        tool: question.tool.clone(),
        options: question.options.iter().map(|option| option.name.clone()).collect(),
        subagent: question.subagent.clone(),
        asked_at: question.asked_at.to_string(),
    }
}

pub(crate) fn activity(report: &ActivityReport) -> http::ActivityView {
    http::ActivityView {
        activity: report.activity.as_str().to_owned(),
        waiting_for: report.activity.waiting_for().map(|what| what.as_str().to_owned()),
        since: report.since.to_string(),
        source: report.source.as_str().to_owned(),
        evidence: report.evidence.clone(),
    }
}

fn usage(usage: &SessionUsage, cost: Option<Cost>) -> http::SessionUsageView {
    http::SessionUsageView {
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        cache_read_tokens: usage.cache_read_tokens,
        cache_write_tokens: usage.cache_write_tokens,
        cost_usd: cost.map(|cost| cost.usd),
        cost_is_estimated: cost.is_some_and(|cost| cost.is_estimated),
        context_used: usage.context_used,
        context_window: usage.context_window,
    }
}

pub(super) fn budget(budget: &SessionBudget) -> http::BudgetView {
    let SessionBudget { max_cost_usd, max_tokens, max_minutes } = *budget;
    http::BudgetView { max_cost_usd, max_tokens, max_minutes }
}

fn phase(phase: SessionPhase) -> &'static str {
    match phase {
        SessionPhase::Provisioning => "provisioning",
        SessionPhase::Launching => "launching",
        SessionPhase::Running => "running",
        SessionPhase::Ending => "ending",
        SessionPhase::Removing => "removing",
        SessionPhase::Parked => "parked",
        SessionPhase::Resting => "resting",
    }
}

fn desired(desired: Desired) -> &'static str {
    match desired {
        Desired::Running => "running",
        Desired::Stopped => "stopped",
        Desired::Decommissioned => "decommissioned",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_pasted_into_a_shell_whatever_is_in_it() {
        for (words, line) in [
            (vec!["tmux", "-S", "/a/b.sock", "attach", "-t", "=adj-x"], "tmux -S /a/b.sock attach -t =adj-x"),
            (vec!["tmux", "-S", "/a b/it's"], r"tmux -S '/a b/it'\''s'"),
            (vec!["x", "", "$(y)"], "x '' '$(y)'"),
        ] {
            let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
            assert_eq!(shell_line(&words), line);
        }
    }
}
