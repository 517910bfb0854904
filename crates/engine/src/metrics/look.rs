//! What is looked at when somebody asks for metrics: the fleet, runs, approvals, the store, jobs.

use crate::clock;
use crate::jobs::JobStatus;
use crate::load::{self, PlaneLoad};
use crate::plane::Core;
use adjutant_model::run::RunStatus;
use adjutant_model::session::{Activity, Session, SessionState};
use adjutant_store::{RunKind, SessionFilter};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;

/// What agents can be seen to do.
const ACTIVITIES: [&str; 4] = ["working", "waiting", "idle", "unknown"];

/// What was looked at.
#[derive(Debug)]
pub(super) struct Look {
    version: String,
    load: PlaneLoad,
    runs_open: u64,
    journal_rows: i64,
    takes_writes: bool,
    uptime_ms: u64,
    sessions: Option<Vec<(SessionState, u64)>>,
    agents: Option<Vec<(&'static str, u64)>>,
    runs: Vec<(&'static str, RunStatus, u64)>,
}

/// Looks.
pub(super) async fn of(core: &Core) -> Look {
    let store = &core.store;
    let live = SessionFilter { state: Some(SessionState::Active), ..SessionFilter::default() };
    let (load, sessions, active, flows, clients) = tokio::join!(
        load::of(core),
        store.sessions_by_state(),
        store.sessions(live),
        store.runs_by_status(RunKind::Flow),
        store.runs_by_status(RunKind::Client),
    );
    let agents = active.ok().map(|entries| {
        let sessions: Vec<Session> = entries.into_iter().map(|entry| entry.session).collect();
        ACTIVITIES.map(|name| (name, doing(&sessions, name))).to_vec()
    });
    let by = |driver, found: Option<Vec<(RunStatus, u64)>>| {
        found.into_iter().flat_map(move |found| {
            RunStatus::ALL.map(|status| {
                let count = found.iter().find(|(is, _)| *is == status).map_or(0, |(_, count)| *count);
                (driver, status, count)
            })
        })
    };
    Look {
        version: core.settings.version.clone(),
        load,
        runs_open: core.runs.len() as u64,
        journal_rows: *store.committed().borrow(),
        takes_writes: store.health().writes_failing.is_none(),
        uptime_ms: clock::now().ms_since(core.started_at()),
        sessions: sessions.ok(),
        agents,
        runs: by("flow", flows.ok()).chain(by("client", clients.ok())).collect(),
    }
}

fn doing(sessions: &[Session], name: &str) -> u64 {
    sessions.iter().filter(|session| Activity::as_str(session.activity.activity) == name).count() as u64
}

/// Writes metrics that each have one description.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: i64) -> Result<(), fmt::Error> {
        let metric = ConstGauge::new(value);
        metric.encode(self.0.encode_descriptor(name, help, None, metric.metric_type())?)
    }

    fn gauges<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = ([(&'static str, &'static str); N], u64)>,
    ) -> Result<(), fmt::Error> {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in rows {
            ConstGauge::new(signed(value)).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn of_jobs(
        &mut self,
        (name, help): (&str, &str),
        jobs: &[JobStatus],
        count: fn(&JobStatus) -> u64,
    ) -> Result<(), fmt::Error> {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for job in jobs {
            ConstCounter::new(count(job)).encode(family.encode_family(&[("job", job.name)])?)?;
        }
        Ok(())
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Collector for Look {
    /// Long because it is a flat list.
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut page = Page(encoder);
        let mut build =
            page.0.encode_descriptor("build_info", "Adjutant's version", None, MetricType::Gauge)?;
        ConstGauge::new(1_i64).encode(build.encode_family(&[("version", self.version.as_str())])?)?;
        page.gauge("uptime_seconds", "How long the daemon runs", signed(self.uptime_ms / 1000))?;
        if let Some(sessions) = &self.sessions {
            let count = |state| sessions.iter().find(|(is, _)| *is == state).map_or(0, |(_, count)| *count);
            let rows = SessionState::ALL.map(|state| ([("state", state.as_str())], count(state)));
            page.gauges("sessions", "Managed sessions by where they stand", rows)?;
        }
        if let Some(agents) = &self.agents {
            let rows = agents.iter().map(|(activity, count)| ([("activity", *activity)], *count));
            page.gauges("session_agents", "Agents of active sessions by what they do", rows)?;
        }
        let rows = self
            .runs
            .iter()
            .map(|(driver, status, count)| ([("driver", *driver), ("status", status.as_str())], *count));
        page.gauges("runs", "Runs by who drives them and where they stand", rows)?;
        let PlaneLoad { tables_bytes, wal_bytes, blobs_bytes, .. } = self.load;
        page.gauge("runs_open", "Runs of flows that are not over", signed(self.runs_open))?;
        page.gauge("operators", "Operators that are known", signed(self.load.operators_attached))?;
        page.gauge(
            "approvals_waiting",
            "Approvals that wait for a person",
            signed(self.load.approvals_waiting),
        )?;
        page.gauge(
            "bodies_arriving",
            "Bodies that arrive on the data path",
            signed(self.load.bodies_arriving),
        )?;
        page.gauge("store_takes_writes", "Whether the store takes writes", i64::from(self.takes_writes))?;
        page.gauge(
            "store_writes_waiting",
            "Writes that wait for a commit",
            signed(self.load.writes_waiting),
        )?;
        page.gauge("store_journal_rows", "The place of the journal's last row", self.journal_rows)?;
        let parts = [("tables", tables_bytes), ("log", wal_bytes), ("outputs", blobs_bytes)];
        let rows = parts.map(|(part, bytes)| ([("part", part)], bytes));
        page.gauges("store_bytes", "What the store takes on the disk", rows)?;
        let jobs = &self.load.jobs;
        page.of_jobs(("job_rounds", "Rounds of periodic jobs that have ended"), jobs, |job| job.runs)?;
        page.of_jobs(("job_errors", "Rounds that failed"), jobs, |job| job.errors)?;
        page.of_jobs(("job_panics", "Rounds that panicked"), jobs, |job| job.panics)?;
        page.of_jobs(("job_acted", "Things that rounds acted on"), jobs, |job| job.acted_total)
    }
}
