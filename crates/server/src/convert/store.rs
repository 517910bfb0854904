//! The care of the store, for the wire.

use adjutant_engine::care::restore::{RestoreBegun, RestoreEnded, RestoreOutcome};
use adjutant_engine::care::{BackupMade, CheckFinding, CheckReport, KindSize};
use adjutant_protocol::http;

pub(crate) fn backup(made: BackupMade) -> http::BackupView {
    let report = made.report;
    http::BackupView {
        file: made.file.to_string_lossy().into_owned(),
        bytes: made.bytes,
        journal_rows: report.journal_rows,
        journal_seq: report.journal_seq,
        journal_root: report.journal_root,
        bodies: report.bodies - made.lost_count,
        bodies_bytes: report.bodies_bytes,
        lost: made.lost,
        lost_count: made.lost_count,
    }
}

pub(crate) fn check(report: CheckReport) -> http::CheckView {
    let finding = |finding: &CheckFinding| http::CheckFindingView {
        matter: finding.matter.as_str().to_owned(),
        text: finding.text.clone(),
    };
    http::CheckView {
        ok: report.is_sound(),
        findings: report.findings.iter().map(finding).collect(),
        findings_count: report.findings_count,
        journal_rows: report.journal_rows,
        journal_removed: report.journal_removed,
        journal_seq: report.journal_seq,
        journal_root: report.journal_root,
        contents: report.contents,
        bodies: report.bodies,
        bodies_bytes: report.bodies_bytes,
        bodies_unnamed: report.bodies_unnamed,
    }
}

pub(crate) fn sizes(sizes: &[KindSize]) -> http::SizesView {
    let kind = |size: &KindSize| http::KindSizeView {
        kind: size.kind.as_str().to_owned(),
        rows: size.rows,
        bytes: size.bytes,
    };
    http::SizesView {
        kinds: sizes.iter().map(kind).collect(),
        bytes: sizes.iter().map(|size| size.bytes).sum(),
    }
}

pub(crate) fn restore_begun(begun: RestoreBegun) -> http::StoreRestoreBegunView {
    let report = begun.staged.report;
    http::StoreRestoreBegunView {
        id: begun.id,
        journal_rows: report.journal_rows,
        journal_root: report.journal_root,
        bodies: report.bodies,
        lost_count: begun.staged.lost_count,
    }
}

pub(crate) fn restore_ended(ended: RestoreEnded) -> http::StoreRestoreView {
    let (reason, kept, tokens_ended) = match ended.outcome {
        RestoreOutcome::Done { kept, tokens_ended } => {
            (None, Some(kept.to_string_lossy().into_owned()), tokens_ended)
        }
        RestoreOutcome::Failed { reason } => (Some(reason), None, 0),
    };
    http::StoreRestoreView {
        id: ended.id,
        at: ended.at.to_string(),
        file: ended.file,
        ok: reason.is_none(),
        reason,
        kept,
        tokens_ended,
    }
}
