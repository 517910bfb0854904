//! Errors and their reports on their way out.

use adjutant_engine::reports::{self, Consent, ErrorInfo, ErrorList, Reported, ShownPreview};
use adjutant_model::report::{ErrorRecord, Filing, ScrubChange};
use adjutant_protocol::http;

pub(crate) fn errors(list: &ErrorList) -> http::ErrorsView {
    http::ErrorsView { errors: list.errors.iter().map(error).collect(), total: list.total, limit: list.limit }
}

fn error(error: &ErrorRecord) -> http::ErrorView {
    http::ErrorView {
        fingerprint: error.fingerprint.clone(),
        crate_target: error.target.clone(),
        crate_version: error.version.clone(),
        summary: reports::summary(error),
        occurrences: error.occurrences,
        timestamp_secs: error.last_seen_at.unix_ms() / 1000,
        first_seen_at: error.first_seen_at.to_string(),
        last_seen_at: error.last_seen_at.to_string(),
        os: error.os.clone(),
        arch: error.arch.clone(),
    }
}

pub(crate) fn error_detail(info: &ErrorInfo) -> http::ErrorDetailView {
    http::ErrorDetailView {
        error: error(&info.error),
        message: info.error.message.clone(),
        fields: info.error.fields.clone(),
        location: info.error.location.clone(),
        scrub_changes: scrub_changes(&info.error.scrub_changes),
        report: info.filing.as_ref().map(filing),
    }
}

fn scrub_changes(changes: &[ScrubChange]) -> Vec<http::ScrubChangeView> {
    let view = |change: &ScrubChange| http::ScrubChangeView {
        pattern: change.pattern.clone(),
        hint: change.hint.clone(),
    };
    changes.iter().map(view).collect()
}

fn filing(filing: &Filing) -> http::FilingView {
    http::FilingView {
        preview: filing.preview.clone(),
        state: filing.state.as_str().to_owned(),
        begun_at: filing.begun_at.to_string(),
        issue_url: filing.issue.as_ref().map(|issue| issue.url.clone()),
        issue_number: filing.issue.as_ref().map(|issue| issue.number),
    }
}

pub(crate) fn report_preview(shown: &ShownPreview) -> http::ReportPreviewView {
    let preview = &shown.preview;
    http::ReportPreviewView {
        fingerprint: preview.fingerprint.clone(),
        hash: preview.hash.clone(),
        destination: preview.destination.clone(),
        title: preview.draft.title.clone(),
        body: preview.draft.body.clone(),
        labels: preview.draft.labels.clone(),
        scrub_changes: scrub_changes(&preview.scrub_changes),
        note: shown.note.clone(),
    }
}

pub(crate) fn consent(params: http::ReportParams) -> Consent {
    match (params.confirm, params.preview) {
        (false, _) => Consent::None,
        (true, Some(hash)) => Consent::Preview(hash),
        (true, None) => Consent::LastShown,
    }
}

pub(crate) fn reported(reported: Reported) -> http::ReportedView {
    match reported {
        Reported::Asked(shown) => http::ReportedView {
            note: Some("nobody has agreed to it; nothing was filed".to_owned()),
            preview: Some(report_preview(&shown)),
            ..http::ReportedView::default()
        },
        Reported::Waits { approval_id, shown } => http::ReportedView {
            note: Some(format!(
                "a person has to agree, nothing was filed: `adjutant approvals approve {approval_id}`"
            )),
            preview: Some(report_preview(&shown)),
            approval_id: Some(approval_id),
            ..http::ReportedView::default()
        },
        Reported::Limited { note } => {
            http::ReportedView { rate_limited: Some(true), note: Some(note), ..http::ReportedView::default() }
        }
        Reported::Unsent { note } => http::ReportedView { note: Some(note), ..http::ReportedView::default() },
        Reported::Filed(issue) => http::ReportedView {
            filed: true,
            deduped: Some(issue.deduped),
            issue_url: Some(issue.url),
            issue_number: Some(issue.number),
            ..http::ReportedView::default()
        },
    }
}
