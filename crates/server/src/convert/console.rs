//! The console's view and the settings, for the wire.

use adjutant_engine::config::{AutoResume, Config, ConfigSetting};
use adjutant_engine::console::{Console, Fleet, PendingDecision};
use adjutant_engine::cost::CostSum;
use adjutant_model::Value;
use adjutant_model::session::SessionState;
use adjutant_protocol::http;

/// Where workspaces stand; `{data}` is the data folder.
const WORKSPACE_ROOT: &str = "{data}/workspaces";

pub(crate) fn console(console: &Console) -> http::ConsoleView {
    let status = if console.problems.is_empty() { "ok" } else { "degraded" };
    http::ConsoleView {
        service_id: "adjutant".to_owned(),
        display_name: "Adjutant".to_owned(),
        version: console.version.clone(),
        status: status.to_owned(),
        problems: console.problems.clone(),
        metrics: supervisor(&console.fleet, console.auto_resume),
        metrics_schema_version: 1,
        started_at: console.started_at.to_string(),
        uptime_secs: console.at.ms_since(console.started_at) / 1000,
        generated_at: console.at.to_string(),
    }
}

pub(crate) fn supervisor(fleet: &Fleet, resume: AutoResume) -> http::SupervisorView {
    http::SupervisorView { fleet: self::fleet(fleet), auto_resume: auto_resume(resume) }
}

fn fleet(fleet: &Fleet) -> http::FleetView {
    http::FleetView {
        provisioning: fleet.count(SessionState::Provisioning),
        active: fleet.count(SessionState::Active),
        stopped: fleet.count(SessionState::Stopped),
        errored: fleet.count(SessionState::Errored),
        decommissioned: fleet.count(SessionState::Decommissioned),
        total: fleet.total(),
        pending_decisions: fleet.pending_decisions.iter().map(decision).collect(),
        last_activity_at: fleet.last_activity_at.map(|at| at.to_string()),
        run_stats: http::RunStatsView {
            auto_resumed: fleet.auto_resumed,
            resume_failures: fleet.resume_failures,
            sweeps: 0,
            classified: 0,
        },
    }
}

fn decision(decision: &PendingDecision) -> http::PendingDecisionView {
    http::PendingDecisionView {
        session_id: decision.session_id.to_string(),
        name: decision.name.clone(),
        tmux_name: decision.terminal.clone(),
        question: decision.question.clone(),
        proposed_default: decision.proposed_default.clone(),
        asked_at: decision.asked_at.to_string(),
    }
}

pub(crate) fn auto_resume(resume: AutoResume) -> http::AutoResumeView {
    http::AutoResumeView {
        desired: resume.desired,
        env: resume.in_force,
        pending_restart: resume.pending_restart(),
    }
}

pub(crate) fn config(config: &Config) -> http::ConfigView {
    let value = |key| config.setting(key).map(|setting| &setting.value);
    http::ConfigView {
        path: config.path.to_string_lossy().into_owned(),
        settings: config.settings.iter().map(setting).collect(),
        auto_resume: value("sessions.auto_resume") == Some(&Value::Bool(true)),
        default_model: value("sessions.default_model").and_then(Value::as_str).map(str::to_owned),
        workspace_root_template: WORKSPACE_ROOT.to_owned(),
        workspace_root: config.workspace_root.to_string_lossy().into_owned(),
    }
}

fn setting(setting: &ConfigSetting) -> http::SettingView {
    http::SettingView {
        key: setting.key.clone(),
        value: (&setting.value).into(),
        default: (&setting.default).into(),
        in_force: (&setting.in_force).into(),
        is_set: setting.is_set,
        is_secret: setting.is_secret,
        takes_effect: setting.takes_effect.as_str().to_owned(),
        pending_restart: setting.pending_restart,
        about: setting.about.to_owned(),
    }
}

pub(crate) fn cost(sum: &CostSum) -> http::CostView {
    http::CostView {
        cost_usd: sum.usd,
        is_estimated: sum.is_estimated,
        input_tokens: sum.input_tokens,
        output_tokens: sum.output_tokens,
        unpriced_tokens: sum.unpriced_tokens,
        sessions: sum.sessions,
        runs: sum.runs,
    }
}
