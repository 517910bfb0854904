//! Metrics in the form that Prometheus reads.
//!
//! What happens often is counted while it happens ([`Meters`], since the daemon's start); the rest is looked at when
//! somebody asks ([`look`]). No label names a run, a session, an agent or a path: each has a fixed set of values.

mod look;
mod process;
mod text;

use crate::hooks::HookAnswered;
use crate::plane::{Core, Plane};
use crate::telemetry::TelemetryMeters;
use adjutant_model::policy::{GateStage, Judgement, PolicyEffect};
use adjutant_model::run::TurnStatus;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

/// Bounds for seconds that a hook takes: what the gate takes, and what a person does.
const HOOK_SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 120.0, 600.0];

/// One label and its value, out of a fixed set.
type Label = [(&'static str, &'static str); 1];
type TwoLabels = [(&'static str, &'static str); 2];

/// In which form metrics are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsForm {
    /// Prometheus' text format, version 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

/// At which door the gate was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AskedFor {
    /// A step of a flow.
    Step,
    /// A tool call of an agent.
    Tool,
    /// An action of an outside client.
    Action,
}

impl AskedFor {
    fn as_str(self) -> &'static str {
        match self {
            AskedFor::Step => "step",
            AskedFor::Tool => "tool",
            AskedFor::Action => "action",
        }
    }
}

/// What is counted while it happens; a clone counts on in the same numbers.
#[derive(Debug, Clone)]
pub(crate) struct Meters {
    steps: Family<Label, Counter>,
    decisions: Family<TwoLabels, Counter>,
    hooks: Family<Label, Histogram, fn() -> Histogram>,
    /// Agents that died by themselves and were started again.
    pub(crate) auto_resumed: Counter,
    /// Those that could not be.
    pub(crate) resume_failures: Counter,
    pub(crate) telemetry: TelemetryMeters,
}

impl Default for Meters {
    fn default() -> Self {
        Meters {
            steps: Family::default(),
            decisions: Family::default(),
            hooks: Family::new_with_constructor(|| Histogram::new(HOOK_SECONDS)),
            auto_resumed: Counter::default(),
            resume_failures: Counter::default(),
            telemetry: TelemetryMeters::default(),
        }
    }
}

impl Meters {
    /// Counts steps whose end is durable.
    pub(crate) fn steps_settled(&self, settled: &[TurnStatus]) {
        for status in settled {
            self.steps.get_or_create(&[("outcome", status.as_str())]).inc();
        }
    }

    /// Counts what the gate said.
    pub(crate) fn judged(&self, asked_for: AskedFor, judgement: &Judgement) {
        let decision = match judgement.effect {
            PolicyEffect::Allow => "allow",
            PolicyEffect::Deny => "deny",
            PolicyEffect::Ask => "ask",
        };
        self.decisions.get_or_create(&[("of", asked_for.as_str()), ("decision", decision)]).inc();
    }

    /// Counts a hook that was answered.
    pub(crate) fn hook_answered(&self, answered: &HookAnswered, took: Duration) {
        let by = match &answered.decision {
            None => "nobody",
            Some(decision) if decision.judgement.decided_by == GateStage::Approval => "person",
            Some(_) => "gate",
        };
        self.hooks.get_or_create(&[("answered_by", by)]).observe(took.as_secs_f64());
    }

    fn register(&self, registry: &mut Registry) {
        registry.register("steps", "Steps of flows that have ended, by how", self.steps.clone());
        let help = "What the gate said, by what was asked";
        registry.register("gate_decisions", help, self.decisions.clone());
        let help = "How long an agent's hook was answered in, by who decided; a person takes a person's time";
        registry.register_with_unit("hook", help, Unit::Seconds, self.hooks.clone());
        let help = "Agents that died by themselves and were started again";
        registry.register("sessions_auto_resumed", help, self.auto_resumed.clone());
        let help = "Agents that died by themselves and could not be started again";
        registry.register("sessions_resume_failures", help, self.resume_failures.clone());
        self.telemetry.register(registry);
    }
}

impl Plane {
    /// Gives all metrics as a text. What cannot be read is left out, so that whoever asks always hears.
    pub async fn metrics(&self, form: MetricsForm) -> String {
        let mut registry = Registry::with_prefix("adjutant");
        self.core.meters.register(&mut registry);
        commits_register(&self.core, &mut registry);
        registry.register_collector(Box::new(look::of(&self.core).await));
        let mut whole = Registry::default();
        if let Some(process) = process::look() {
            whole.register_collector(Box::new(process));
        }
        let mut text = String::new();
        // A text grows as it needs to.
        prometheus_client::encoding::text::encode_registry(&mut text, &registry)
            .expect("a text takes a text");
        encode(&mut text, &whole).expect("a text takes a text");
        match form {
            MetricsForm::OpenMetrics => text,
            MetricsForm::Prometheus => text::of_open_metrics(&text),
        }
    }

    /// Tells whether whoever asks for metrics shows a token.
    pub fn metrics_need_token(&self) -> bool {
        self.core.live().metrics_need_token
    }
}

fn commits_register(core: &Core, registry: &mut Registry) {
    let commits = core.store.commits();
    let help = "How long a commit of the store took";
    registry.register_with_unit("store_commit", help, Unit::Seconds, commits.seconds.clone());
    registry.register("store_commit_writes", "How many writes shared a commit", commits.writes.clone());
}
