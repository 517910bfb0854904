//! The daemon: one process that owns a data folder and answers until it is told to stop.
//!
//! Order matters. The lock first, so that nobody else touches the store; then the store; then the listeners, because
//! agents of resumed runs ask the gate; then the runs; and `daemon.json` last, when everything answers.

use crate::cli::demo;
use crate::config;
use crate::exit::Failure;
use adjutant_engine::care::restore::{NotRestored, put_in_place};
use adjutant_engine::error::chain;
use adjutant_engine::plane::StartError;
use adjutant_engine::reports::ErrorTap;
use adjutant_engine::{Plane, Settings};
use adjutant_protocol::ExitCode as Code;
use adjutant_protocol::discovery::{DAEMON_FILE, DaemonFile, TOKEN_FILE};
use adjutant_server::{Authentication, Listeners};
use adjutant_store::{LockError, RestoreOrder, StoreLock};
use anyhow::{Context, Result};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How the daemon serves.
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// The loopback address to listen on; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    /// Take whoever reaches the door for the owner; for experiments on a machine that nobody else uses.
    #[arg(long)]
    no_auth: bool,
    /// How long a client's run waits for its client to come back, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    client_lease: u64,
    /// How long a person has to answer an approval, in seconds; over what `config.toml` says.
    #[arg(long, value_name = "SECONDS")]
    approval_deadline: Option<u64>,
}

/// Runs the daemon until it is told to stop by a signal. It lives again over another store when one is restored: the
/// lock and the doors stay, so whoever comes meanwhile waits, and finds it at the same address.
pub(crate) async fn serve(folder: &Path, args: ServeArgs, errors: ErrorTap) -> Result<Code> {
    let _lock = lock(folder)?;
    // What an earlier daemon left behind points at nobody.
    remove(&folder.join(DAEMON_FILE))?;
    let doors = Doors::open(folder, &args.listen).await?;
    let mut told = Told::listen()?;
    let mut failed = None;
    while let Ended::Restoring(order) =
        live(folder, &args, &errors, &doors, (&mut told, failed.take())).await?
    {
        tracing::info!(file = order.file, kept = order.kept, "another store takes this one's place");
        failed = put_in_place(folder, order).await.err();
    }
    remove(&doors.socket)?;
    Ok(Code::Ok)
}

/// How a life of the daemon ended.
enum Ended {
    /// It was told to stop.
    Stopped,
    /// A store is ready to take its store's place.
    Restoring(RestoreOrder),
}

/// One life of the daemon: from opening the store to closing it.
async fn live(
    folder: &Path,
    args: &ServeArgs,
    errors: &ErrorTap,
    doors: &Doors,
    (told, failed): (&mut Told, Option<NotRestored>),
) -> Result<Ended> {
    let settings = Settings { errors: errors.clone(), ..settings(folder, args)? };
    let plane = Plane::open(settings).await.map_err(|error| not_started(error, folder))?;
    token(&plane, folder).await?;
    plane.endpoint_set(doors.address.clone());
    plane.resume().await?;
    if let Some(failed) = failed {
        tracing::error!(?failed, "the store is what it was");
        plane.not_restored(failed).await?;
    }
    let shutdown = CancellationToken::new();
    let authentication = if args.no_auth { Authentication::Off } else { Authentication::Required };
    let serving = tokio::spawn(adjutant_server::serve(
        doors.listeners()?,
        adjutant_server::router(plane.clone(), authentication),
        shutdown.clone(),
    ));
    // Before others are told, so that the log of a daemon that was found says so.
    tracing::info!(address = doors.address, folder = %folder.display(), "ready");
    announce(folder, doors, &plane)?;
    look_at_the_store(plane.clone());

    let ended = tokio::select! {
        () = told.heard() => Ended::Stopped,
        order = plane.restore_wanted() => Ended::Restoring(order),
    };
    tracing::info!("stopping; open runs go on at the next start");
    remove(&folder.join(DAEMON_FILE))?;
    plane.stop().await;
    shutdown.cancel();
    serving.await.context("the door panicked")??;
    Ok(ended)
}

/// Where the daemon listens, for all of its lives.
struct Doors {
    tcp: std::net::TcpListener,
    unix: std::os::unix::net::UnixListener,
    socket: PathBuf,
    address: String,
}

impl Doors {
    async fn open(folder: &Path, listen: &str) -> Result<Doors> {
        let tcp = listen_tcp(listen).await?;
        let address = format!("http://{}", tcp.local_addr().context("the listener has no address")?);
        let socket = config::socket_path(folder);
        let unix = listen_unix(&socket)?;
        let held = "the listeners cannot be held";
        Ok(Doors {
            tcp: tcp.into_std().context(held)?,
            unix: unix.into_std().context(held)?,
            socket,
            address,
        })
    }

    /// Gives the listeners to a life; whoever comes between two of them waits in line.
    fn listeners(&self) -> Result<Listeners> {
        let opened = || -> io::Result<Listeners> {
            Ok(Listeners {
                tcp: TcpListener::from_std(self.tcp.try_clone()?)?,
                unix: UnixListener::from_std(self.unix.try_clone()?)?,
            })
        };
        opened().context("the listeners cannot be used")
    }
}

pub(crate) fn lock(folder: &Path) -> Result<StoreLock> {
    StoreLock::acquire(folder).map_err(|error| {
        let hint = match &error {
            LockError::Held { .. } => "`adjutant status` talks to it, `adjutant stop` ends it",
            LockError::Folder { .. } | LockError::NotWritable { .. } | LockError::Lock { .. } => {
                "check the folder's owner and mode, or choose another with ADJUTANT_HOME or --home"
            }
        };
        Failure::new(Code::Failed, chain(&error)).hinted(hint).into()
    })
}

fn not_started(error: StartError, folder: &Path) -> anyhow::Error {
    match &error {
        StartError::Config { source, .. } => Failure::usage(chain(&error))
            .hinted(format!("correct it, or take it away; the daemon starts without it. {}", source.hint()))
            .into(),
        StartError::Open(_)
        | StartError::Restore(_)
        | StartError::Policy { .. }
        | StartError::Read { .. }
        | StartError::Resume(_) => anyhow::Error::new(error).context(unusable(folder)),
    }
}

fn unusable(folder: &Path) -> String {
    format!("the data folder {} cannot be used", folder.display())
}

fn settings(folder: &Path, args: &ServeArgs) -> Result<Settings> {
    let exe = std::env::current_exe().context("Adjutant's own program is not found")?;
    let mut settings = Settings::new(folder.to_owned(), exe);
    settings.env = Arc::from(config::environment());
    settings.client_lease_ms = args.client_lease.saturating_mul(1000);
    if let Some(secs) = args.approval_deadline {
        settings.approval_ms = secs.saturating_mul(1000);
        settings.pinned.insert("approvals.deadline_secs");
    }
    settings.socket = Some(config::socket_path(folder));
    settings.tmux_socket = Some(config::socket_in(folder, "tmux"));
    settings.blueprints.extend(demo::builtin_blueprints());
    Ok(settings)
}

async fn listen_tcp(listen: &str) -> Result<TcpListener> {
    let address: std::net::SocketAddr = listen.parse().map_err(|_| {
        Failure::usage(format!("`{listen}` is no address to listen on"))
            .hinted("such as 127.0.0.1:0, which picks a free port")
    })?;
    if !address.ip().is_loopback() {
        let failure = Failure::usage(format!("{address} is not on loopback, and there is no TLS yet"));
        return Err(failure.hinted("listen on 127.0.0.1 and forward the port over ssh").into());
    }
    TcpListener::bind(address).await.map_err(|error| {
        Failure::new(Code::Failed, format!("cannot listen on {address}: {error}"))
            .hinted("port 0 picks a free one")
            .into()
    })
}

fn listen_unix(path: &Path) -> Result<UnixListener> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(|| unusable(folder))?;
    }
    // We hold the lock, so whoever bound this is gone.
    remove(path)?;
    let listener =
        UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).with_context(|| unusable(path))?;
    Ok(listener)
}

/// Sees that the `token` file holds an owner's token that the store knows; makes both when there is none.
async fn token(plane: &Plane, folder: &Path) -> Result<()> {
    let path = folder.join(TOKEN_FILE);
    if let Some(secret) = read_if_there(&path)? {
        if plane.authenticate(secret.trim()).await?.is_some() {
            return Ok(());
        }
        tracing::warn!("the token file does not belong to this store; it gets a new token");
    }
    let secret = plane.owner_token_create().await?;
    write_private(&path, secret.reveal().as_bytes())
}

fn announce(folder: &Path, doors: &Doors, plane: &Plane) -> Result<()> {
    let status = plane.status();
    let file = DaemonFile {
        address: doors.address.clone(),
        socket: doors.socket.to_string_lossy().into_owned(),
        pid: std::process::id(),
        version: status.version,
        started_at: status.started_at.to_string(),
    };
    write_private(&folder.join(DAEMON_FILE), serde_json::to_string_pretty(&file)?.as_bytes())
}

/// Puts a file in place in one move, readable by its owner alone.
fn write_private(path: &Path, content: &[u8]) -> Result<()> {
    let folder = path.parent().context("a file is in a folder")?;
    let write = || -> io::Result<()> {
        let mut file =
            tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o600)).tempfile_in(folder)?;
        file.write_all(content)?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().with_context(|| format!("{} cannot be written", path.display()))
}

/// Reads a file; `None` when it is not there.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        // Below something that is no folder there is nothing either.
        Err(error) if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind()) => {
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn look_at_the_store(plane: Plane) {
    tokio::spawn(async move {
        match plane.quick_check().await {
            Ok(wrong) if wrong.is_empty() => tracing::debug!("the store is whole"),
            Ok(wrong) => {
                tracing::error!(
                    ?wrong,
                    "the store is damaged; `adjutant store restore FILE` puts a backup in its place"
                )
            }
            Err(error) => tracing::warn!(%error, "the store could not be looked at"),
        }
    });
}

/// The signals that tell the daemon to stop; what comes between two lives counts in the next.
struct Told {
    term: Signal,
    int: Signal,
}

impl Told {
    fn listen() -> Result<Told> {
        Ok(Told { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    async fn heard(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}
