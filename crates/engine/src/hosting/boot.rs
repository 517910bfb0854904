//! After a restart: what lives is adopted, what is gone is told as it is, what was under way is done again.

use super::owner;
use crate::error::EngineError;
use crate::plane::Core;
use adjutant_model::session::DriverKind;
use adjutant_rules::session;
use adjutant_store::SessionFilter;
use std::sync::Arc;

/// Gives every session that is not at rest its owner again.
pub(crate) async fn resume_open(core: &Arc<Core>) -> Result<(), EngineError> {
    // Those of a daemon that was killed.
    core.hosting.drivers.tidy();
    let filter = SessionFilter { is_live: true, ..SessionFilter::default() };
    let entries = core.store.sessions(filter).await?;
    // Listed once for all of them; a server that does not answer now is asked again for each.
    let has_terminals = entries
        .iter()
        .any(|entry| entry.session.handle.as_ref().is_some_and(|handle| handle.driver == DriverKind::Tmux));
    let terminals = match has_terminals {
        true => core.hosting.drivers.terminals().await.map(Arc::new).map_err(|error| {
            tracing::warn!(%error, "the terminals cannot be listed; they are looked for until they can");
        }),
        false => Err(()),
    }
    .ok();
    let mut count = 0_usize;
    for entry in entries {
        let id = entry.session.id;
        if session::is_at_rest(&entry.session) {
            continue;
        }
        if session::is_alive(&entry.session) {
            // More than may be alive now were alive before: none of them is ended for that.
            core.hosting.place_take(id, usize::MAX)?;
        }
        // At once: whoever tells it something finds this owner.
        let mut owners = core.hosting.owners();
        let handle = owner::start(core, entry, terminals.clone());
        owners.insert(id, handle);
        count += 1;
    }
    if count > 0 {
        tracing::info!(count, "sessions go on");
    }
    Ok(())
}
