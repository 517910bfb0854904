//! `adjutant data`: large results beside a flow.
//!
//! Within a step, whose agent has the plane's address and a token in its environment, the commands act as the step;
//! elsewhere as the owner.

use super::{ids, print};
use crate::config;
use crate::exit::Failure;
use crate::launch;
use adjutant_protocol::http::OutputView;
use adjutant_protocol::{Client, ExitCode as Code};
use anyhow::{Context, Result};
use clap::Subcommand;
use futures_util::StreamExt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What to do with outputs.
#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Put a file under a name, and print the reference that stands for it in a step's value.
    Put {
        /// The name: letters, digits and `._-`.
        name: String,
        /// The file; `-` for standard input.
        file: PathBuf,
        /// The run; a step has its own.
        #[arg(long)]
        run: Option<String>,
        /// What the bytes are.
        #[arg(long = "type", value_name = "TYPE", default_value = "application/octet-stream")]
        content_type: String,
    },
    /// Fetch an output by its id, or the latest of a name.
    Get {
        /// The id or the name.
        key: String,
        /// Where to; standard output when nothing is said.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Only one that this run refers to.
        #[arg(long)]
        run: Option<String>,
    },
    /// List the outputs of a run, or all, the newest first.
    Ls {
        /// A run's id, or a part that only one has.
        run: Option<String>,
    },
}

/// Gives a client that acts as the step that this runs in, or else as the owner.
pub(crate) async fn client(folder: &Path) -> Result<Client> {
    match (config::var("ADJUTANT_URL"), config::token()?) {
        (Some(address), Some(token)) => Ok(Client::new(address, token)?),
        (None | Some(_), _) => launch::client(folder).await,
    }
}

pub(crate) async fn run(client: &Client, command: DataCommand) -> Result<Code> {
    match command {
        DataCommand::Put { name, file, run, content_type } => {
            let run = whole(client, run).await?;
            let body =
                tokio::fs::File::open(if file == Path::new("-") { Path::new("/dev/stdin") } else { &file });
            let body = body.await.map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
            let put = client.data_put(&name, run.as_deref(), &content_type, body).await?;
            print(&put.r#ref.to_string())
        }
        DataCommand::Get { key, output, run } => {
            let run = whole(client, run).await?;
            let mut chunks = client.data_get(&key, run.as_deref()).await?;
            let Some(path) = output else {
                let mut out = io::stdout().lock();
                while let Some(chunk) = chunks.next().await {
                    out.write_all(&chunk?)?;
                }
                out.flush()?;
                return Ok(Code::Ok);
            };
            let said = || format!("{} cannot be written", path.display());
            // Beside its place until it is whole, so that nobody takes half of it for the output.
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let mut file =
                tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).with_context(said)?;
            while let Some(chunk) = chunks.next().await {
                file.write_all(&chunk?).with_context(said)?;
            }
            file.persist(&path).with_context(said)?;
            Ok(Code::Ok)
        }
        DataCommand::Ls { run } => {
            let run = whole(client, run).await?;
            for output in client.data_list(run.as_deref()).await?.outputs {
                print(&line(&output))?;
            }
            Ok(Code::Ok)
        }
    }
}

/// Finds the run that is meant, when one is.
async fn whole(client: &Client, given: Option<String>) -> Result<Option<String>> {
    match given {
        Some(given) => Ok(Some(ids::run(client, &given).await?)),
        None => Ok(None),
    }
}

fn line(output: &OutputView) -> String {
    let name = output.name.as_deref().unwrap_or("(emitted)");
    let run = output.run_id.as_deref().unwrap_or("no run");
    let step = output.path.as_deref().unwrap_or_default();
    format!(
        "{}  {name:<24} {:>12} bytes  {}  {run} {step}",
        output.out_id, output.size_bytes, output.content_type
    )
}
