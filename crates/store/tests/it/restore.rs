//! Restores: what is refused, and that a crash between any two steps leaves the old store or the new one, whole.

use crate::backup::{made, put};
use crate::fixtures::{at, fresh, note_write, open};
use adjutant_model::action::{Role, TokenRecord};
use adjutant_model::id::Uuid;
use adjutant_model::{Timestamp, TokenId};
use adjutant_store::restore::{self, Step};
use adjutant_store::{
    Bodies, Interrupt, RestoreError, RestoreOrder, SizeKind, Store, TokenFilter, Write, check, journal,
};
use rusqlite::Connection;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn token(n: u128) -> TokenRecord {
    TokenRecord {
        id: TokenId::new(Uuid::from_u128(n)),
        hash: format!("{n:064x}"),
        role: Role::Worker,
        step: None,
        agent_id: None,
        session_id: None,
        of_session: None,
        created_at: at(n as i64),
        expires_at: None,
        revoked_at: None,
        uses: 0,
        last_seen_at: None,
    }
}

async fn token_put(store: &Store, n: u128) {
    let mut write = Write::default();
    write.token_put(&token(n));
    store.write(write).await.unwrap();
}

async fn tokens_good(store: &Store) -> Vec<u128> {
    let filter = TokenFilter { good_at: Some(at(1000)), limit: 100, ..TokenFilter::default() };
    let good = store.tokens(filter).await.unwrap();
    let mut good: Vec<u128> =
        good.iter().map(|token| u128::from_str_radix(&token.hash, 16).unwrap()).collect();
    good.sort_unstable();
    good
}

/// A data folder with the body `late`, and a backup of what it was before, with the body `early`.
async fn replaced_later() -> (TempDir, TempDir, PathBuf) {
    let (folder, store) = fresh();
    let bodies = Bodies::open(folder.path()).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("backup");
    store.write(note_write("x", "early")).await.unwrap();
    put(&store, &bodies, 1, b"early").await;
    made(&store, file.clone()).unwrap();
    store.write(note_write("x", "late")).await.unwrap();
    put(&store, &bodies, 2, b"late").await;
    store.close().await.unwrap();
    (folder, elsewhere, file)
}

fn order(file: &Path) -> RestoreOrder {
    RestoreOrder::new("0123456789abcdef".into(), file, "host".into(), at(7))
}

fn staged(folder: &Path, file: &Path) -> Result<restore::Staged, RestoreError> {
    restore::stage(folder, file, at(7), &Interrupt::default())
}

/// Tells which of the two stores a data folder has, which must be whole.
async fn is_new(folder: &Path) -> bool {
    let report = check::check(folder, &Interrupt::default()).unwrap();
    assert!(report.is_sound(), "{report:?}");
    let store = open(folder);
    let names = store.outputs(None, 10).await.unwrap().len();
    let notes = store.journal_of("x", 0, 10).await.unwrap().len();
    let restored = store.journal_of("plane", 0, 10).await.unwrap();
    store.close().await.unwrap();
    match (names, notes, restored.len()) {
        (2, 2, 0) => false,
        (1, 1, 1) => true,
        mix => panic!("{mix:?} is neither the old store nor the new one"),
    }
}

#[tokio::test]
async fn a_crash_behind_any_step_ends_with_one_store_or_the_other() {
    // How many steps there are is found by taking them.
    let mut steps_max = 0;
    for taken in 0.. {
        let (folder, _elsewhere, file) = replaced_later().await;
        staged(folder.path(), &file).unwrap();
        assert!(!is_new(folder.path()).await, "what is made ready changes nothing");
        restore::order(folder.path(), &order(&file), at(8)).await.unwrap();
        let mut steps = Vec::new();
        while steps.len() < taken
            && let Some(step) = restore::step(folder.path()).unwrap()
        {
            steps.push(step);
        }
        // Here the process dies; what is left is for the next start, which may die as well before its first step.
        let is_over = steps.len() < taken;
        assert_eq!(restore::finish(folder.path()).unwrap(), !steps.contains(&Step::Finish), "{steps:?}");
        assert!(is_new(folder.path()).await, "{steps:?}");
        assert!(!folder.path().join("restore").exists());
        let kept = folder.path().join(order(&file).kept);
        assert!(!is_new(&kept).await, "what was replaced is whole");
        assert!(!restore::finish(folder.path()).unwrap(), "there is nothing left to do");
        if is_over {
            steps_max = steps.len();
            // The log is empty: whoever reads a database leaves one.
            let all = [
                Step::KeepLog,
                Step::KeepDatabase,
                Step::KeepBodies,
                Step::TakeBodies,
                Step::TakeDatabase,
                Step::Finish,
            ];
            assert_eq!(steps, all);
            break;
        }
    }
    assert_eq!(steps_max, 6);
}

#[tokio::test]
async fn a_crash_before_the_order_leaves_the_old_store() {
    let (folder, _elsewhere, file) = replaced_later().await;
    staged(folder.path(), &file).unwrap();
    // The order is there only when it is whole: what was being written is none.
    restore::order(folder.path(), &order(&file), at(8)).await.unwrap();
    fs::remove_file(folder.path().join("restore/order.json")).unwrap();
    fs::write(folder.path().join("restore/order.part"), "{").unwrap();
    assert_eq!(restore::step(folder.path()).unwrap(), Some(Step::Discard));
    assert_eq!(restore::step(folder.path()).unwrap(), None);
    assert!(!folder.path().join(order(&file).kept).exists());
    assert!(!is_new(folder.path()).await);
}

#[tokio::test]
async fn a_log_that_a_crash_has_left_goes_with_its_database() {
    let (folder, _elsewhere, file) = replaced_later().await;
    staged(folder.path(), &file).unwrap();
    // The log of a store that was not closed in good order: the connection is leaked with the last row in it.
    let db = Connection::open(folder.path().join("store.db")).unwrap();
    db.execute_batch("CREATE TABLE only_in_the_log (x)").unwrap();
    std::mem::forget(db);
    assert!(fs::metadata(folder.path().join("store.db-wal")).unwrap().len() > 0);
    restore::order(folder.path(), &order(&file), at(8)).await.unwrap();
    assert_eq!(restore::step(folder.path()).unwrap(), Some(Step::KeepLog));
    restore::finish(folder.path()).unwrap();
    assert!(is_new(folder.path()).await, "the log of another store was not taken for its own");
    let sizes = open(folder.path()).sizes_by_kind(&Interrupt::default()).await.unwrap();
    let replaced = sizes.iter().find(|size| size.kind == SizeKind::Replaced).unwrap();
    assert!(replaced.rows == 1 && replaced.bytes > 100_000, "{replaced:?}");
    let kept = folder.path().join(order(&file).kept).join("store.db");
    let kept = Connection::open(kept).unwrap();
    kept.query_row("SELECT count(*) FROM only_in_the_log", (), |_| Ok(())).unwrap();
}

#[tokio::test]
async fn what_nobody_expects_is_not_overwritten() {
    let (folder, _elsewhere, file) = replaced_later().await;
    staged(folder.path(), &file).unwrap();
    restore::order(folder.path(), &order(&file), at(8)).await.unwrap();
    while restore::step(folder.path()).unwrap() != Some(Step::KeepDatabase) {}
    fs::write(folder.path().join("store.db"), "made by somebody else").unwrap();
    assert!(matches!(restore::finish(folder.path()), Err(RestoreError::InTheWay { .. })));
    assert_eq!(fs::read_to_string(folder.path().join("store.db")).unwrap(), "made by somebody else");
    fs::remove_file(folder.path().join("store.db")).unwrap();
    assert!(restore::finish(folder.path()).unwrap());
    assert!(is_new(folder.path()).await);

    // An order that leads out of the data folder is none of ours.
    fs::create_dir(folder.path().join("restore")).unwrap();
    let odd = RestoreOrder { kept: "replaced-/../../x".into(), ..order(&file) };
    let text = serde_json::to_string(&odd).unwrap();
    fs::write(folder.path().join("restore/order.json"), text).unwrap();
    assert!(matches!(restore::finish(folder.path()), Err(RestoreError::File { .. })));
}

#[tokio::test]
async fn no_token_comes_back_to_life() {
    let (folder, store) = fresh();
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("backup");
    for n in 1..=4 {
        token_put(&store, n).await;
    }
    made(&store, file.clone()).unwrap();
    let mut write = Write::default();
    write.token_revoke(&token(2).id, at(9));
    store.write(write).await.unwrap();
    token_put(&store, 5).await;
    // One was forgotten after its end, and one has the id of another secret now.
    let db = Connection::open(store.path()).unwrap();
    db.execute("DELETE FROM tokens WHERE id = ?1", (token(3).id.as_str(),)).unwrap();
    db.execute("UPDATE tokens SET hash = 'other' WHERE id = ?1", (token(4).id.as_str(),)).unwrap();
    drop(db);
    store.close().await.unwrap();
    staged(folder.path(), &file).unwrap();
    let ended = restore::order(folder.path(), &order(&file), at(10)).await.unwrap();
    restore::finish(folder.path()).unwrap();
    let store = open(folder.path());
    assert_eq!((tokens_good(&store).await, ended), (vec![1], 3));
    store.close().await.unwrap();
    drop(store);

    // Where the store that is replaced cannot be read, none is good.
    fs::write(folder.path().join("store.db"), "nonsense").unwrap();
    staged(folder.path(), &file).unwrap();
    let again = RestoreOrder::new("fedcba9876543210".into(), &file, "host".into(), at(11));
    assert_eq!(restore::order(folder.path(), &again, at(11)).await.unwrap(), 4);
    restore::finish(folder.path()).unwrap();
    assert_eq!(tokens_good(&open(folder.path())).await, Vec::<u128>::new());
    assert_eq!(fs::read_to_string(folder.path().join(again.kept).join("store.db")).unwrap(), "nonsense");
}

#[tokio::test]
async fn a_backup_is_restored_where_there_was_no_store_and_a_replaced_store_is_as_good() {
    let (folder, _elsewhere, file) = replaced_later().await;
    let new = tempfile::tempdir().unwrap();
    staged(new.path(), &file).unwrap();
    restore::order(new.path(), &order(&file), at(8)).await.unwrap();
    assert!(restore::finish(new.path()).unwrap());
    assert!(is_new(new.path()).await);

    let staged = staged(new.path(), &folder.path().join("store.db")).unwrap();
    assert_eq!((staged.lost_count, staged.report.bodies), (0, 2));
    restore::discard(new.path()).unwrap();
}

#[tokio::test]
async fn what_is_no_sound_backup_is_refused_and_leaves_nothing() {
    let (folder, elsewhere, file) = replaced_later().await;
    let harmed = |name: &str, sql: &str| {
        let harmed = elsewhere.path().join(name);
        fs::copy(&file, &harmed).unwrap();
        Connection::open(&harmed).unwrap().execute_batch(sql).unwrap();
        harmed
    };
    let link = elsewhere.path().join("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let text = elsewhere.path().join("text");
    fs::write(&text, "hello ".repeat(1000)).unwrap();
    let torn = elsewhere.path().join("torn");
    let whole = fs::read(&file).unwrap();
    fs::write(&torn, &whole[..whole.len() / 2]).unwrap();
    let cases = [
        (PathBuf::from("backup"), "the path is not absolute"),
        (elsewhere.path().join("nowhere"), "it is not there"),
        (elsewhere.path().to_owned(), "it is no file"),
        (link, "it is no file"),
        (text, "it cannot be restored"),
        (folder.path().join("store.db"), "it is the store that it would replace"),
        (torn, ""),
        (harmed("foreign", "PRAGMA application_id = 7"), "it cannot be restored"),
        (harmed("newer", "PRAGMA user_version = 999"), "it cannot be restored"),
        (harmed("format", "UPDATE backup SET format = 9"), "a newer version has made it"),
        (harmed("half", "DELETE FROM backup"), "it was not finished"),
        (harmed("row", "UPDATE journal SET payload = '{}' WHERE seq = 1"), "is damaged: journal: row 1 of x"),
        (harmed("gap", "DELETE FROM journal WHERE seq = 1"), "is damaged: journal"),
        (
            harmed("trigger", "CREATE TRIGGER t AFTER UPDATE ON tokens BEGIN DELETE FROM tokens; END"),
            "the trigger t is not as in a store of its version",
        ),
        (harmed("view", "CREATE VIEW v AS SELECT 1"), "the view v is not as"),
        (harmed("table", "DROP TABLE breakers"), "the table breakers is not as"),
    ];
    for (path, says) in cases {
        let error = staged(folder.path(), &path).unwrap_err().to_string();
        assert!(error.contains(says), "{path:?}: {error}");
        assert!(!folder.path().join("restore").exists(), "{path:?}");
    }
    assert!(!is_new(folder.path()).await);
    // A body that is not what it says is not there; everything else is.
    let body = harmed("body", "UPDATE backup_bodies SET content = x'00'");
    assert_eq!(staged(folder.path(), &body).unwrap().lost_count, 1);
    // What stops it leaves nothing either.
    let interrupt = Interrupt::default();
    interrupt.set();
    let stopped = restore::stage(folder.path(), &file, Timestamp::from_unix_ms(0), &interrupt);
    assert!(matches!(stopped, Err(RestoreError::Interrupted)), "{stopped:?}");
    assert!(!folder.path().join("restore").exists());
    assert!(journal::verify(&folder.path().join("store.db")).unwrap().is_sound());
}
