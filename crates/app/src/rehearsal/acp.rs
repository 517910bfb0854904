//! placeholder
use super::cast::Cast;
use adjutant_protocol::ExitCode as Code;
use anyhow::Result;
pub(super) async fn run(_cast: Cast) -> Result<Code> {
    Ok(Code::Ok)
}
