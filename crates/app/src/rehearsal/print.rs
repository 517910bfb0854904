//! Print mode: one prompt, one turn, and the end.

use super::play::{End, Player};
use super::stream::{Ending, Head, Outcome, Stream};
use std::io::{self, Write};
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// Plays the script once for a prompt.
///
/// # Errors
/// What the stream said when it could not be written.
pub(super) async fn play<W: Write>(player: &mut Player<Stream<W>>, prompt: &str) -> io::Result<End> {
    let began = Instant::now();
    let head = Head { gate: Some(player.gate.describe()), ..head(player) };
    player.stage.init(&head)?;
    player.open().await?;
    let end = player.turn(prompt, &CancellationToken::new()).await?;
    if let Some(ending) = ending(&end, began) {
        player.stage.result(&ending)?;
        player.close("other").await?;
    }
    Ok(end)
}

/// Gives how a player's stream opens.
pub(super) fn head<S>(player: &Player<S>) -> Head {
    Head {
        cwd: player.session.cwd(),
        gate: None,
        permission_mode: player.session.permission_mode().to_owned(),
        earlier_turns: player.session.earlier(),
    }
}

/// Gives what the `result` line says of an end; none for an agent that ends as no agent should.
pub(super) fn ending(end: &End, began: Instant) -> Option<Ending> {
    let (outcome, result) = match end {
        End::Done => (Outcome::Success, None),
        End::Stopped(reason) => (Outcome::Success, Some(reason.clone())),
        End::Interrupted => (Outcome::Error, None),
        End::Limited { message, .. } => (Outcome::Limited, Some(message.clone())),
        End::Exited { code: 0, result } => (Outcome::Success, result.clone()),
        End::Exited { result, .. } => (Outcome::Error, result.clone()),
        End::Crashed(_) | End::Hung(_) => return None,
    };
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Some(Ending { outcome, result, duration_ms })
}
