//! placeholder
use super::cast::Cast;
use super::play::End;
use super::session::Session;
use anyhow::Result;
pub(super) async fn run(_cast: &Cast, _session: Session, _asks: bool) -> Result<End> {
    Ok(End::Done)
}
