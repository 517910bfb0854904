//! `adjutant config`: the settings of `config.toml`, shown and changed.

use super::print;
use super::table::{Cell, Column, Paper, Tone, lines};
use crate::exit::Failure;
use adjutant_protocol::http::{ConfigView, SettingView};
use adjutant_protocol::{Client, ExitCode as Code};
use anyhow::Result;
use clap::Subcommand;
use serde_json::Value;
use std::collections::BTreeMap;

/// What to do with settings.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show all settings: what they are, where that is from, and what holds only after a restart.
    Show {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the value of a setting.
    Get {
        /// Its key, such as `sessions.max_alive`.
        key: String,
    },
    /// Change a setting; comments and all else in the file stay.
    Set {
        /// Its key, such as `sessions.max_alive`.
        key: String,
        /// The value, as it would stand in the file; a text needs no quotes.
        value: String,
    },
    /// Take a setting out of the file: its default holds again.
    Unset {
        /// Its key.
        key: String,
    },
}

pub(crate) async fn run(client: &Client, command: ConfigCommand) -> Result<Code> {
    match command {
        ConfigCommand::Show { json: true } => print(&serde_json::to_string(&client.config().await?)?),
        ConfigCommand::Show { json: false } => show(&client.config().await?),
        ConfigCommand::Get { key } => {
            let config = client.config().await?;
            let setting = found(&config, &key).ok_or_else(|| {
                Failure::new(Code::NotFound, format!("`{key}` is no setting, or has no value"))
                    .hinted("`adjutant config show` lists the settings")
            })?;
            print(&value_text(setting))
        }
        ConfigCommand::Set { key, value } => change(client, key, value_of(&value)).await,
        ConfigCommand::Unset { key } => change(client, key, Value::Null).await,
    }
}

async fn change(client: &Client, key: String, value: Value) -> Result<Code> {
    let config = client.config_set(BTreeMap::from([(key.clone(), value)])).await?;
    let Some(setting) = found(&config, &key) else { return print(&format!("{key} is not set any more")) };
    let (value, key) = (value_text(setting), &setting.key);
    match (setting.pending_restart, setting.takes_effect.as_str()) {
        (false, _) => print(&format!("{key} = {value}")),
        (true, "restart") => print(&format!(
            "{key} = {value}, when the daemon is started again; `adjutant stop` ends it, open work goes on"
        )),
        (true, _) => {
            print(&format!("{key} = {value}, when the daemon is started without an option that goes over it"))
        }
    }
}

/// Finds a setting by its key, in whatever form its parts are quoted.
fn found<'a>(config: &'a ConfigView, key: &str) -> Option<&'a SettingView> {
    let plain = |key: &str| key.replace(['"', '\''], "");
    config.settings.iter().find(|setting| plain(&setting.key) == plain(key))
}

/// Reads a value as it would stand in the file; what is none there is a text.
fn value_of(text: &str) -> Value {
    let read: Option<toml::Table> = toml::from_str(&format!("value = {text}")).ok();
    let value = read.and_then(|mut table| table.remove("value"));
    value.and_then(|value| serde_json::to_value(value).ok()).unwrap_or_else(|| Value::from(text))
}

fn value_text(setting: &SettingView) -> String {
    match &setting.value {
        Value::Null if setting.is_secret && setting.is_set => "(secret)".to_owned(),
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

fn show(config: &ConfigView) -> Result<Code> {
    let columns = [
        Column { title: "SETTING", width_min: None, rank: 9 },
        Column { title: "VALUE", width_min: Some(8), rank: 8 },
        Column { title: "FROM", width_min: None, rank: 6 },
        Column { title: "FOR", width_min: Some(12), rank: 5 },
    ];
    let rows: Vec<Vec<Cell>> = config.settings.iter().map(row).collect();
    let paper = Paper::of_stdout();
    for line in lines(&columns, &rows, paper) {
        print(&line)?;
    }
    let pending: Vec<&str> = config
        .settings
        .iter()
        .filter(|setting| setting.pending_restart)
        .map(|setting| setting.key.as_str())
        .collect();
    if !pending.is_empty() {
        print(&paper.painted(&format!("only after a restart: {}", pending.join(", ")), Tone::Waits))?;
    }
    print(&paper.painted(&config.path, Tone::Quiet))
}

fn row(setting: &SettingView) -> Vec<Cell> {
    let from = if setting.is_set { "file" } else { "default" };
    let tone = if setting.pending_restart { Tone::Waits } else { Tone::Plain };
    vec![
        (setting.key.clone(), Tone::Plain),
        (value_text(setting), tone),
        (from.to_owned(), Tone::Quiet),
        (setting.about.clone(), Tone::Quiet),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_is_read_as_it_would_stand_in_the_file() {
        for (text, value) in [
            ("32", json!(32)),
            ("true", json!(true)),
            ("[3.0, 15]", json!([3.0, 15])),
            ("'32'", json!("32")),
            ("claude-sonnet-4-5", json!("claude-sonnet-4-5")),
            ("http://127.0.0.1:4318", json!("http://127.0.0.1:4318")),
            ("", json!("")),
            ("1\nother = 2", json!(1)),
        ] {
            assert_eq!(value_of(text), value, "{text}");
        }
    }
}
