//! The events of one subject as they come, through restarts of the daemon.

use crate::exit::Failure;
use crate::launch;
use adjutant_protocol::http::EventView;
use adjutant_protocol::{Client, ClientError, EventStream, ExitCode as Code};
use anyhow::Result;
use futures_util::StreamExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a daemon that has gone is looked for before the command gives up.
const RECONNECTS_MAX: u32 = 50;
/// How long it waits before it tries again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

/// Follows a subject; the cursor finds the place again when the daemon is restarted under it.
pub(crate) struct Feed {
    folder: PathBuf,
    subject: String,
    client: Client,
    cursor: i64,
    lost: u32,
    events: Option<EventStream>,
}

impl Feed {
    /// Begins behind a place of the journal.
    pub(crate) async fn behind(cursor: i64, subject: &str, folder: &Path) -> Result<Feed> {
        let client = launch::client(folder).await?;
        let (folder, subject) = (folder.to_owned(), subject.to_owned());
        let mut feed = Feed { folder, subject, client, cursor, lost: 0, events: None };
        feed.open().await?;
        Ok(feed)
    }

    /// Gives a client of the daemon that runs now.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Gives the next event, however long that takes. Not cancel-safe: one who waits for something else besides keeps the
    /// future.
    pub(crate) async fn next(&mut self) -> Result<EventView> {
        loop {
            let event = match &mut self.events {
                Some(events) => events.next().await,
                None => None,
            };
            match event {
                Some(Ok(event)) => {
                    (self.cursor, self.lost) = (event.seq, 0);
                    return Ok(event);
                }
                // The daemon may be restarted under us.
                None | Some(Err(ClientError::Unreachable { .. })) => self.find_again().await?,
                Some(Err(error)) => return Err(error.into()),
            }
        }
    }

    async fn open(&mut self) -> Result<()> {
        self.events = match self.client.events(self.cursor, Some(&self.subject)).await {
            Ok(events) => Some(events),
            Err(ClientError::Unreachable { .. }) => None,
            Err(error @ (ClientError::Api { .. } | ClientError::Protocol(_) | ClientError::Id(_))) => {
                return Err(error.into());
            }
        };
        Ok(())
    }

    async fn find_again(&mut self) -> Result<()> {
        self.events = None;
        self.lost += 1;
        if self.lost > RECONNECTS_MAX {
            let message = format!("the daemon stopped before {} was over", self.subject);
            return Err(Failure::new(Code::Unreachable, message)
                .hinted("it goes on at the next start; every command starts the daemon")
                .into());
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
        if let Some(next) = again(&self.folder).await? {
            self.client = next;
        }
        self.open().await
    }
}

/// Finds the daemon again, which may have another address now.
///
/// One that was killed leaves its file behind and is replaced, so that what it did goes on. One that was stopped takes
/// its file with it, and stays stopped.
pub(crate) async fn again(folder: &Path) -> Result<Option<Client>> {
    match launch::running(folder).await? {
        Some(client) => Ok(Some(client)),
        None if launch::daemon_file(folder)?.is_some() => Ok(Some(launch::client(folder).await?)),
        None => Ok(None),
    }
}
