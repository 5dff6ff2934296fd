//! `petit://` links: they open a page and fill in an invite. They never do anything by themselves, whatever is in
//! them: no target, no setting and no command can stand in a link, because nothing of that kind is read.

use petit_engine::invite::{InvalidInvite, Invite};
use petit_host::brand::{self, Brand};
use secrecy::SecretString;

use super::contract::{Opening, Page};

/// More characters than the longest invite has with everything that a mail program may put around it.
const LONGEST: usize = 4096;

/// True when an argument is a link of ours: any Petit's, or this brand's alone.
pub fn is_link(text: &str) -> bool {
    is_link_of(brand::here(), text)
}

fn is_link_of(brand: &Brand, text: &str) -> bool {
    let scheme = text.split_once(':').map(|(scheme, _)| scheme);
    scheme.is_some_and(|it| it.eq_ignore_ascii_case("petit") || it.eq_ignore_ascii_case(&brand.scheme()))
}

/// Where a link leads. An invite that cannot be read is shown all the same, so that the page says what is wrong
/// with it; everything else leads to the first page.
pub fn opening(link: &str) -> Opening {
    // Nothing else may stand in a link (RFC 3986, 2), and some of it looks like something that it is not.
    let text: String = link.chars().filter(char::is_ascii_graphic).take(LONGEST).collect();
    if !is_link(&text) {
        return Opening::default();
    }
    match Invite::parse(&SecretString::from(text.as_str())) {
        Ok(invite) => {
            // Made anew from what was read: nothing else of the link goes any further. Where the vendor's page about
            // it is, such a link does not say.
            let link = invite.to_app_link();
            let text = secrecy::ExposeSecret::expose_secret(&link).to_owned();
            Opening { page: Page::Setup, invite: Some(text) }
        }
        Err(InvalidInvite::Version { .. } | InvalidInvite::Damaged { .. }) => {
            Opening { page: Page::Setup, invite: Some(text) }
        }
        Err(InvalidInvite::NotAnInvite) => Opening::default(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use petit_engine::secret::{Fingerprint, InviteId, InviteSecret};
    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    use super::*;

    fn fragment() -> String {
        let invite = Invite {
            server: "tunnel.example.com:8453".parse().unwrap(),
            pins: vec![Fingerprint([1; 32])],
            id: InviteId([2; 16]),
            secret: InviteSecret::from_bytes([3; 32]),
            not_after: UNIX_EPOCH + Duration::from_secs(4_000_000_000),
            vendor: Some("Nordlicht".parse().unwrap()),
        };
        invite.to_app_link().expose_secret().split_once('#').unwrap().1.to_owned()
    }

    #[test]
    fn an_invite_is_filled_in_and_nothing_beside_it() {
        let opening = opening(&format!("petit://enroll?target=evil:1&start=1#{}", fragment()));
        assert_eq!(opening.page, Page::Setup);
        let invite = opening.invite.unwrap();
        assert_eq!(invite, format!("petit://enroll#{}", fragment()));
    }

    #[test]
    fn what_is_no_invite_opens_the_first_page() {
        for link in [
            "petit://",
            "petit://quit",
            "petit://settings?log_level=trace",
            "https://example.com/x",
            "petit",
            "",
        ] {
            assert_eq!(opening(link), Opening::default(), "{link}");
        }
        let damaged = opening(&format!("PETIT:enroll#{}", &fragment()[..40]));
        assert_eq!(damaged.page, Page::Setup);
        let disguised = opening("petit://enroll#v1.a\u{202e}b\u{1b}[31mc\nd\u{430}");
        assert_eq!(disguised.invite.unwrap(), "petit://enroll#v1.ab[31mcd");
    }

    #[test]
    fn a_brand_has_links_of_its_own_and_takes_those_of_every_petit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("brand.toml");
        std::fs::write(&path, "id = \"north\"\nname = \"North\"").unwrap();
        let brands = [Brand::read(&path).unwrap(), Brand::petit()];
        let taken = |link: &str| brands.each_ref().map(|brand| is_link_of(brand, link));
        assert_eq!(taken("petit://enroll#v1."), [true, true]);
        assert_eq!(taken("Petit-North://enroll#v1."), [true, false]);
        assert_eq!(taken("petit-south://enroll#v1."), [false, false]);
        assert_eq!(taken("north:x"), [false, false]);
    }

    #[test]
    fn a_link_is_not_printed() {
        let opening = opening(&format!("petit://enroll#{}", fragment()));
        assert!(!format!("{opening:?}").contains("v1."));
    }

    proptest! {
        #[test]
        fn any_link_is_met_without_a_panic(text in ".{0,200}") {
            for link in [text.clone(), format!("petit://{text}"), format!("petit://enroll#v1.{text}")] {
                let opening = opening(&link);
                prop_assert!(matches!(opening.page, Page::Overview | Page::Setup));
                prop_assert!(opening.invite.is_none_or(|invite| invite.len() <= 4 * LONGEST));
            }
        }
    }
}
