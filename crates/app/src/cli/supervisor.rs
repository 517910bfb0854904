//! `adjutant supervisor`: the fleet, and whether agents that died by themselves are started again.

use super::print;
use crate::progress::visible;
use adjutant_protocol::http::{AutoResumeParams, AutoResumeView, JobView, SupervisorView};
use adjutant_protocol::{Client, ExitCode as Code};
use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};

/// What to show, or to do.
#[derive(Debug, Args)]
pub(crate) struct SupervisorArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    command: Option<SupervisorCommand>,
}

#[derive(Debug, Subcommand)]
enum SupervisorCommand {
    /// Say whether agents that died by themselves are started again; it holds at once, and after a restart.
    AutoResume {
        /// Whether they are.
        enabled: Switch,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

pub(crate) async fn run(client: &Client, args: SupervisorArgs) -> Result<Code> {
    match args.command {
        Some(SupervisorCommand::AutoResume { enabled }) => {
            let params = AutoResumeParams { enabled: enabled == Switch::On };
            print(&resume_line(client.auto_resume_set(params).await?))
        }
        None if args.json => print(&serde_json::to_string(&client.supervisor().await?)?),
        None => {
            show(&client.supervisor().await?)?;
            jobs(&client.status().await?.periodic_jobs)
        }
    }
}

fn show(supervisor: &SupervisorView) -> Result<Code> {
    let fleet = &supervisor.fleet;
    let counts = [
        (fleet.active, "active"),
        (fleet.provisioning, "being made"),
        (fleet.stopped, "stopped"),
        (fleet.errored, "errored"),
        (fleet.decommissioned, "over"),
    ];
    let counts: Vec<String> = counts
        .iter()
        .filter(|(count, what)| *count > 0 || *what == "active")
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    print(&format!("sessions: {}", counts.join(", ")))?;
    print(&resume_line(supervisor.auto_resume))?;
    let stats = fleet.run_stats;
    if stats.auto_resumed + stats.resume_failures > 0 {
        print(&format!(
            "since the daemon's start {} were started again, {} could not be",
            stats.auto_resumed, stats.resume_failures
        ))?;
    }
    for decision in &fleet.pending_decisions {
        print(&format!("{} asks: {}", visible(&decision.name), visible(&decision.question)))?;
    }
    Ok(Code::Ok)
}

/// Tells of each job what it did last, and how often it could not.
fn jobs(jobs: &[JobView]) -> Result<Code> {
    let width = jobs.iter().map(|job| job.name.len()).max().unwrap_or(0);
    print("jobs:")?;
    for job in jobs {
        print(&format!("  {:<width$}  {}", job.name, job_line(job)))?;
    }
    Ok(Code::Ok)
}

fn job_line(job: &JobView) -> String {
    let pause = match job.period_secs {
        0 => "when there is something to do".to_owned(),
        secs => format!("every {secs} s"),
    };
    let last = job.last_outcome.as_deref().map_or("not yet", |outcome| outcome);
    let bad = match job.errors + job.panics {
        0 => String::new(),
        bad => format!("; {bad} of {} rounds failed", job.runs),
    };
    format!("{pause}; last: {}{bad}", visible(last))
}

fn resume_line(resume: AutoResumeView) -> String {
    let does = if resume.env { "are started again" } else { "stay as they are" };
    let pending = match (resume.pending_restart, resume.desired) {
        (false, _) => "",
        (true, true) => "; after a restart they are started again, as config.toml says",
        (true, false) => "; after a restart they stay as they are, as config.toml says",
    };
    format!("agents that die by themselves {does}{pending}")
}
