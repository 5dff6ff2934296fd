//! What programs are called by those who use them: by the title of their page, or in the menu of the desktop.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use petit_engine::proto::control::Text;

/// More of a name would not fit into a line.
const MOST_BYTES: usize = 80;

/// The title of a page, from an HTTP answer as far as it was read. That of an error page is no name.
pub(super) fn title(answer: &[u8]) -> Option<String> {
    let end = find(answer, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(answer.get(..end)?).to_ascii_lowercase();
    let is_success = head.split(' ').nth(1).is_some_and(|status| status.starts_with('2'));
    let header = |name: &str| {
        head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default().trim()
    };
    if !is_success || !header("content-type").contains("html") || !header("content-encoding").is_empty() {
        return None;
    }
    let body = answer.get(end + 4..)?;
    let body = if header("transfer-encoding").contains("chunked") { joined(body) } else { body.to_vec() };
    let page = String::from_utf8_lossy(&body).into_owned();
    // The same length in bytes: only ASCII letters are made small.
    let lower = page.to_ascii_lowercase();
    let begin = lower.find("<title")?;
    let begin = begin + lower.get(begin..)?.find('>')? + 1;
    let end = begin + lower.get(begin..)?.find("</title")?;
    name(&plain(page.get(begin..end)?))
}

/// True when nothing of an answer behind this can be part of its title.
pub(super) fn has_title(answer: &[u8]) -> bool {
    let end = answer.to_ascii_lowercase();
    find(&end, b"</title").is_some() || find(&end, b"<body").is_some()
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// The body of an answer that comes in chunks (RFC 9112, section 7.1), as far as it is there.
fn joined(mut body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(line) = find(body, b"\r\n") {
        let size = std::str::from_utf8(body.get(..line).unwrap_or_default()).unwrap_or_default();
        let size = size.split(';').next().unwrap_or_default().trim();
        let Ok(size @ 1..) = usize::from_str_radix(size, 16) else { break };
        let chunk = body.get(line + 2..).unwrap_or_default();
        out.extend_from_slice(chunk.get(..size).unwrap_or(chunk));
        // Behind each chunk there is an empty line end.
        body = size.checked_add(2).and_then(|next| chunk.get(next..)).unwrap_or_default();
    }
    out
}

/// The five characters that have to be written by name in HTML, as they are.
fn plain(text: &str) -> String {
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&apos;", "'"), ("&amp;", "&")]
        .into_iter()
        .fold(text.to_owned(), |text, (code, character)| text.replace(code, character))
}

/// A name in one line, without marks that change how the text around it is shown.
fn name(text: &str) -> Option<String> {
    let harmless = Text::<1024>::lossy(text);
    let words: Vec<&str> = harmless.as_str().split_whitespace().collect();
    let line = Text::<MOST_BYTES>::lossy(&words.join(" ")).as_str().trim().to_owned();
    (!line.is_empty()).then_some(line)
}

/// Programs that start others: the menu's names for those are not the names of these.
const STARTERS: [&str; 12] =
    ["bash", "dotnet", "env", "flatpak", "java", "node", "perl", "php", "python", "ruby", "sh", "snap"];

/// What the desktop's menu calls programs, by the file that is run.
pub(super) fn in_menu() -> BTreeMap<String, String> {
    let home = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/share")));
    let others = std::env::var("XDG_DATA_DIRS").unwrap_or_default();
    let others = if others.is_empty() { "/usr/local/share:/usr/share".to_owned() } else { others };
    let folders = home.into_iter().chain(others.split(':').map(PathBuf::from));
    let mut names = BTreeMap::new();
    for folder in folders {
        for (file, name) in entries(&folder.join("applications")) {
            // The first folder is the one that counts.
            names.entry(file).or_insert(name);
        }
    }
    names
}

/// The entries of one folder (the Desktop Entry Specification of freedesktop.org).
fn entries(folder: &Path) -> Vec<(String, String)> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|file| file.path());
    let entries = files.filter(|file| file.extension().is_some_and(|end| end == "desktop"));
    entries.filter_map(|file| entry(&std::fs::read_to_string(file).ok()?)).collect()
}

/// The program that an entry runs, and its name.
fn entry(text: &str) -> Option<(String, String)> {
    let group =
        text.split("\n[").find(|group| group.trim_start_matches('[').starts_with("Desktop Entry]"))?;
    let value = |key: &str| {
        group.lines().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix('=')).map(str::trim)
    };
    let run = value("Exec")?.split_whitespace().next()?.trim_matches('"');
    let run = Path::new(run).file_name()?.to_str()?;
    let is_starter = STARTERS.iter().any(|starter| {
        run.strip_prefix(starter)
            .is_some_and(|version| version.chars().all(|c| c.is_ascii_digit() || c == '.'))
    });
    if is_starter {
        return None;
    }
    Some((run.to_owned(), name(value("Name")?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(head: &str, body: &str) -> Vec<u8> {
        format!("HTTP/1.1 {head}\r\n\r\n{body}").into_bytes()
    }

    #[test]
    fn a_program_is_called_what_its_page_is_called() {
        let html = "200 OK\r\nContent-Type: text/html; charset=utf-8";
        let body = "<!doctype html><html><head>\n<TITLE lang=en>\n Lexwright &amp; Söhne </Title>";
        assert_eq!(title(&page(html, body)).as_deref(), Some("Lexwright & Söhne"));
        let long = format!("<title>{}</title>", "ü".repeat(500));
        assert_eq!(title(&page(html, &long)).unwrap().len(), MOST_BYTES);
        // A name that would turn the text behind it around, or the line.
        assert_eq!(title(&page(html, "<title>a\u{202e}b\nc</title>")).as_deref(), Some("a b c"));
        for (head, body) in [
            ("404 Not Found\r\nContent-Type: text/html", "<title>Not Found</title>"),
            ("200 OK\r\nContent-Type: application/json", "{\"a\":\"<title>x</title>\"}"),
            ("200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip", "<title>x</title>"),
            ("200 OK\r\nContent-Type: text/html", "<title>cut of"),
            ("200 OK\r\nContent-Type: text/html", "<title> </title>"),
            ("200 OK\r\nContent-Type: text/html", "no head"),
        ] {
            assert_eq!(title(&page(head, body)), None, "{head} {body}");
        }
        assert_eq!(title(b"HTTP/1.1 200 OK\r\n"), None);
    }

    #[test]
    fn a_title_that_comes_in_pieces_is_whole() {
        let head = "200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked";
        let body = "9;x=y\r\n<title>Le\r\n11\r\nxwright</title>rest\r\n0\r\n\r\n";
        assert_eq!(title(&page(head, body)).as_deref(), Some("Lexwright"));
        // Cut off in a chunk, behind one, and what is no size at all.
        assert_eq!(title(&page(head, "fff\r\n<title>Lex</title>")).as_deref(), Some("Lex"));
        assert_eq!(title(&page(head, "4\r\n<tit\r\n")), None);
        assert_eq!(title(&page(head, &format!("{}\r\nx", "f".repeat(16)))), None);
    }

    #[test]
    fn a_program_of_the_menu_is_known_by_the_file_that_is_run() {
        let text = "[Desktop Entry]\nType=Application\nName=Lexwright\nName[de]=Lexwright Büro\n\
            Exec=\"/opt/lex/bin/lexwright-server\" --menu %U\n\n[Desktop Action new]\nName=New\nExec=other\n";
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("lex.desktop"), text).unwrap();
        std::fs::write(dir.path().join("read.me"), text.replace("lexwright-server", "other")).unwrap();
        let known = [("lexwright-server".to_owned(), "Lexwright".to_owned())];
        assert_eq!(entries(dir.path()), known);
        assert_eq!(entries(&dir.path().join("nowhere")), []);
        for starter in ["python3 /opt/x.py", "/usr/bin/python3.12 x", "env A=b x", "sh -c x"] {
            assert_eq!(entry(&format!("[Desktop Entry]\nName=X\nExec={starter}\n")), None, "{starter}");
        }
        assert!(entry("[Desktop Entry]\nName=X\nExec=shell\n").is_some(), "only begins like one");
        assert_eq!(entry("[Desktop Entry]\nName=X\n"), None);
    }
}
