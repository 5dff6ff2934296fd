//! Invites in the operator's sentences.

use std::time::Duration;

use petit_host::cli::{ago, table};
use petit_server::api::{InviteList, InviteMade};
use petit_server::registry::InviteState;
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

use super::show::{date, joined, key_words, or_nothing, without_certificate};

/// `all`: so many there are, those that are not shown among them.
pub(crate) fn invites(list: &InviteList, all: usize) -> String {
    if list.invites.is_empty() {
        return match all {
            0 => "No invites. Make one with: petit-server invite".to_owned(),
            _ => "No invites match; see all with: petit-server invite --list".to_owned(),
        };
    }
    let mut rows =
        vec![["INVITE", "STATE", "SERVICE", "ALIAS", "UNTIL", "TAGS", "NOTE"].map(str::to_owned).to_vec()];
    for invite in &list.invites {
        let state = match invite.state {
            InviteState::Open => "open",
            InviteState::Used => "used",
            InviteState::Expired => "expired",
            InviteState::Withdrawn => "withdrawn",
        };
        rows.push(vec![
            invite.id.clone(),
            state.to_owned(),
            invite.service.to_string(),
            or_nothing(invite.alias.as_ref()),
            date(invite.not_after),
            joined(&invite.tags),
            invite.note.to_string(),
        ]);
    }
    table(&rows)
}

/// Whether an invite is shown as a QR code too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QrShown {
    Yes,
    No,
}

pub(crate) fn invite(invite: &InviteMade, qr: QrShown) -> String {
    let InviteMade { link, app_link, server, .. } = invite;
    let mut out = format!(
        "Invite for one client, service {:?}. It works once, within {}. Hand it over like a password.\n\n{link}\n",
        invite.service.as_str(),
        ago(Duration::from_secs(invite.lifetime_seconds)),
    );
    if let Some(app_link) = app_link {
        out.push_str(&format!("\nWhere the tray app is installed already, this opens it:\n\n{app_link}\n"));
    }
    if qr == QrShown::Yes
        && let Ok(code) = QrCode::with_error_correction_level(link.as_bytes(), EcLevel::L)
    {
        out.push('\n');
        // Light modules are drawn, because most terminals are dark.
        out.push_str(
            &code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build(),
        );
        out.push('\n');
    }
    let server = server.to_string();
    out.push_str(&format!("\nThe client will connect to {server}.\n"));
    match &invite.vendor {
        None => out.push_str("It shows no name beside it; set name in [server.vitae], so that customers see who invites them.\n"),
        Some(vendor) => out.push_str(&format!("It says that you call yourself {vendor}.\n")),
    }
    if server.starts_with("localhost:") || server.starts_with("127.") {
        out.push_str(
            "That is this computer only; for others set endpoint or tunnel_address in the config.\n",
        );
    }
    out.push_str(&format!(
        "\nBefore it goes on it shows these six words. Tell them to the customer in another way, such as by telephone:\n\n{}\n",
        key_words(invite.key_words.as_ref(), "  ")
    ));
    out.push_str("The customer types: petit-client register");
    out.push_str(&without_certificate(invite.without_certificate.as_ref()));
    out
}
