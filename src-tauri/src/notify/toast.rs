//! A note as the XML that Windows makes a toast from ("Toast content schema").

use petit_app::notes::Note;

/// The document: two lines, and a button that does what a click on the toast does.
pub(super) fn xml(note: &Note) -> String {
    let [title, body, button] = [&note.title, &note.body, &note.button].map(|text| escaped(text));
    format!(
        "<toast><visual><binding template=\"ToastGeneric\"><text>{title}</text><text>{body}</text></binding></visual>\
         <actions><action content=\"{button}\" arguments=\"open\"/></actions></toast>"
    )
}

/// As a text and as an attribute of XML 1.0, which knows no control characters but these.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' | '\r' => escaped.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use petit_app::contract::Page;
    use petit_app::notes::About;

    use super::*;

    #[test]
    fn what_a_note_says_is_text_and_never_markup() {
        let note = Note {
            about: About::Needed,
            title: "Petit ist nicht verbunden".to_owned(),
            body: "„Müller & Söhne“ <b>\u{7}\"".to_owned(),
            button: "\"Öffnen\"".to_owned(),
            page: Page::Overview,
        };
        assert_eq!(
            xml(&note),
            "<toast><visual><binding template=\"ToastGeneric\"><text>Petit ist nicht verbunden</text>\
             <text>„Müller &amp; Söhne“ &lt;b&gt;\u{fffd}&quot;</text></binding></visual>\
             <actions><action content=\"&quot;Öffnen&quot;\" arguments=\"open\"/></actions></toast>"
        );
    }
}
