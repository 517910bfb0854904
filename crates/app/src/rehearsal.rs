//! placeholder while it is written
use adjutant_protocol::ExitCode as Code;
#[derive(Debug, clap::Args)]
pub(crate) struct RehearsalArgs { script: Option<String> }
pub(crate) async fn run(_args: RehearsalArgs) -> anyhow::Result<Code> { anyhow::bail!("not there") }
