//! The brand: whose Petit this is. A vendor may hand Petit out under a name of its own; what says so is the file
//! `brand.toml` beside the program, which the vendor's installer puts there. Without it the program is Petit itself.
//!
//! Whatever the computer tells one Petit from another by follows from the brand's `id` alone, and is made here. What a
//! brand cannot change is not here either: the wire, the log, the names of commands and settings.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::Deserialize;

use crate::files;
use crate::toml_file::{self, Key, Table, TomlError, ValueKind};

/// The file beside the program.
pub const FILE: &str = "brand.toml";

/// A brand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brand {
    /// `None` for Petit itself.
    id: Option<BrandId>,
    name: BrandName,
    publisher: Publisher,
    icon: Option<PathBuf>,
    roots: Option<PathBuf>,
    colour: Option<Colour>,
    server: Option<ServerName>,
}

/// Why a brand's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BrandError {
    #[error("{} cannot be read", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// It would decide which folder and whose invites the program takes.
    #[error("{} can be changed by others than whose the program beside it is", .0.display())]
    OfSomebodyElse(PathBuf),
    #[error(transparent)]
    Toml(#[from] TomlError),
}

/// A brand's file has some hundred bytes.
const MAX_BYTES: u64 = 64 * 1024;

static HERE: OnceLock<Brand> = OnceLock::new();

/// Finds out whose program this process runs. The first thing that a customer's program does: [`here`] is Petit's own
/// before.
///
/// # Errors
/// [`BrandError`] when there is a file and it cannot be used: a program that went on would take another one's folder.
pub fn begin() -> Result<(), BrandError> {
    let program = std::env::current_exe();
    let program = program.map_err(|source| BrandError::Io { path: PathBuf::from("this program"), source })?;
    let _ = HERE.set(Brand::of(&program)?);
    Ok(())
}

/// Where a program's brand would be said: beside it; in an app of macOS, beside what is no code.
fn file_of(program: &Path) -> PathBuf {
    let folder = program.parent().unwrap_or(Path::new(""));
    match folder.parent() {
        Some(contents) if contents.ends_with("Contents") && folder.ends_with("MacOS") => {
            contents.join("Resources").join(FILE)
        }
        _ => folder.join(FILE),
    }
}

/// The brand of this process.
pub fn here() -> &'static Brand {
    static PETIT: OnceLock<Brand> = OnceLock::new();
    HERE.get().unwrap_or_else(|| PETIT.get_or_init(Brand::petit))
}

impl Brand {
    /// Petit itself.
    pub fn petit() -> Self {
        let name = "Petit".to_owned();
        Self {
            id: None,
            publisher: Publisher(name.clone()),
            name: BrandName(name),
            icon: None,
            roots: None,
            colour: None,
            server: None,
        }
    }

    /// That of a program: by the file beside it, Petit itself where there is none.
    ///
    /// # Errors
    /// [`BrandError`] when there is a file and it cannot be used.
    pub fn of(program: &Path) -> Result<Self, BrandError> {
        let file = file_of(program);
        // One that cannot be looked at may be there.
        let io = |source| BrandError::Io { path: file.clone(), source };
        if !file.try_exists().map_err(io)? {
            return Ok(Self::petit());
        }
        match files::is_of_programs_owner(&file, program).map_err(io)? {
            true => Self::read(&file),
            false => Err(BrandError::OfSomebodyElse(file)),
        }
    }

    /// The brand of a vendor's file.
    ///
    /// # Errors
    /// [`BrandError`].
    pub fn read(path: &Path) -> Result<Self, BrandError> {
        let text = files::read_text(path, MAX_BYTES);
        let text = text.map_err(|source| BrandError::Io { path: path.to_owned(), source })?;
        let (form, _) = toml_file::parse::<Form>(path, &text, KEYS)?;
        let Form { id, name, publisher, icon, roots, colour, server } = form;
        let publisher = publisher.unwrap_or_else(|| Publisher(name.0.clone()));
        Ok(Self { id: Some(id), name, publisher, icon, roots, colour, server })
    }

    /// True for Petit itself.
    pub fn is_petit(&self) -> bool {
        self.id.is_none()
    }

    /// What tells it from other brands; `None` for Petit itself.
    pub fn id(&self) -> Option<&str> {
        self.id.as_ref().map(|id| id.0.as_str())
    }

    /// What its users call it.
    pub fn name(&self) -> &str {
        &self.name.0
    }

    /// Who hands it out.
    pub fn publisher(&self) -> &str {
        &self.publisher.0
    }

    /// Its picture, as an `.ico` file; relative to the brand's file.
    pub fn icon(&self) -> Option<&Path> {
        self.icon.as_deref()
    }

    /// The public halves of the root keys that its updates are known by, for whoever packs it; relative to the brand's file.
    pub fn roots(&self) -> Option<&Path> {
        self.roots.as_deref()
    }

    /// The colour of its buttons and of what is chosen, as `#rrggbb`. White letters can be read on it.
    pub fn colour(&self) -> Option<&str> {
        self.colour.as_ref().map(|colour| colour.0.as_str())
    }

    /// The one server whose invites a new config takes.
    pub fn server(&self) -> Option<&str> {
        self.server.as_ref().map(|server| server.0.as_str())
    }

    /// The folder of config, registration and logs, in that of the user. Lock, control socket and the name of the pipe
    /// follow from it.
    pub fn folder(&self) -> String {
        self.with_id(".petit", "-")
    }

    /// What the system knows the installed program by: its folder, its entry among the programs, its autostart value.
    pub fn installed_as(&self) -> String {
        self.with_id("Petit", "-")
    }

    /// The AppUserModelID, by which Windows puts windows and notifications together.
    pub fn app_id(&self) -> String {
        self.with_id("dev.petit.desktop", ".")
    }

    /// The scheme of links that are its alone. `petit:` is understood by every brand.
    pub fn scheme(&self) -> String {
        self.with_id("petit", "-")
    }

    /// A text in which Petit is called by this brand's name.
    pub fn named(&self, text: &str) -> String {
        text.replace("Petit", self.name())
    }

    /// A text for people in which the folder is called by its name.
    pub fn placed(&self, text: &str) -> String {
        text.replace("~/.petit/", &format!("~/{}/", self.folder()))
    }

    fn with_id(&self, petit: &str, between: &str) -> String {
        match &self.id {
            Some(id) => format!("{petit}{between}{}", id.0),
            None => petit.to_owned(),
        }
    }
}

#[derive(Deserialize)]
struct Form {
    id: BrandId,
    name: BrandName,
    publisher: Option<Publisher>,
    icon: Option<PathBuf>,
    roots: Option<PathBuf>,
    colour: Option<Colour>,
    server: Option<ServerName>,
}

const KEYS: Table = Table(&[
    key("id"),
    key("name"),
    key("publisher"),
    key("icon"),
    key("roots"),
    key("colour"),
    key("server"),
]);

const fn key(name: &'static str) -> Key {
    Key { name, kind: ValueKind::Value }
}

/// Part of file names, registry keys and a link's scheme (RFC 3986, 3.1), so only what all of them allow.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct BrandId(String);

impl TryFrom<String> for BrandId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_right = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if (2..=20).contains(&text.len()) && text.chars().all(is_right) {
            Ok(Self(text))
        } else {
            Err("an id has 2 to 20 letters a to z and digits".to_owned())
        }
    }
}

/// What its users call it, and a file in their list of programs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct BrandName(String);

impl TryFrom<String> for BrandName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // Windows drops a dot at the end of a file's name.
        match readable(text)? {
            text if text.ends_with('.') => Err("a name does not end in a dot".to_owned()),
            text => Ok(Self(text)),
        }
    }
}

/// Who hands it out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Publisher(String);

impl TryFrom<String> for Publisher {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        readable(text).map(Self)
    }
}

/// Words without the characters that file names or the installer's language give a meaning to.
fn readable(text: String) -> Result<String, String> {
    const MOST: usize = 40;
    let is_right = |c: char| c.is_alphanumeric() || " .,-&+()".contains(c);
    let is_short = (1..=MOST).contains(&text.chars().count());
    if is_short && text.trim() == text && text.chars().all(is_right) {
        Ok(text)
    } else {
        Err(format!("it may have {MOST} letters, digits, spaces and .,-&+(), and no space at its ends"))
    }
}

/// `#rrggbb`, in lower case, on which white letters can be read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Colour(String);

impl TryFrom<String> for Colour {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        /// What letters need against their ground (WCAG 2.2, 1.4.3 "Contrast (Minimum)", AA).
        const READABLE: f64 = 4.5;
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6);
        let colour = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let Some(colour) = colour else {
            return Err("a colour is written #rrggbb, such as #0a6b4f".to_owned());
        };
        let contrast = contrast_to_white(colour);
        if contrast < READABLE {
            return Err(format!(
                "white letters cannot be read on it: their contrast is {contrast:.1}, and has to be {READABLE}; take a darker one"
            ));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

/// WCAG 2.2, "contrast ratio" and "relative luminance".
fn contrast_to_white(colour: u32) -> f64 {
    let [_, red, green, blue] = colour.to_be_bytes().map(|part| {
        let part = f64::from(part) / 255.0;
        if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    });
    1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)
}

/// A host name, as it stands in an invite.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct ServerName(String);

impl TryFrom<String> for ServerName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_right = |c: char| c.is_ascii_alphanumeric() || ".-".contains(c);
        if (1..=253).contains(&text.len()) && text.chars().all(is_right) {
            Ok(Self(text))
        } else {
            Err("a server is a host name such as tunnel.example.com, without a port".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Brand, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        std::fs::write(&path, text).unwrap();
        Brand::read(&path).map_err(|error| error.to_string())
    }

    #[cfg(unix)]
    #[test]
    fn a_brand_that_somebody_else_has_put_there_is_refused_and_never_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let (program, brand) = (dir.path().join("petit-client"), dir.path().join(FILE));
        std::fs::write(&program, "").unwrap();
        std::fs::write(&brand, "id = \"north\"\nname = \"North\"").unwrap();
        assert_eq!(Brand::of(&program).unwrap().id(), Some("north"));
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&brand, Some(12_345), None).unwrap();
            assert!(matches!(Brand::of(&program), Err(BrandError::OfSomebodyElse(path)) if path == brand));
        }
        std::fs::remove_file(&brand).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &brand, rustix::fs::Mode::RUSR).unwrap();
        assert!(Brand::of(&program).is_err());
        assert!(Brand::read(&brand).is_err());
    }

    #[test]
    fn two_brands_and_petit_share_nothing_that_a_computer_tells_them_apart_by() {
        let north = read("id = \"north\"\nname = \"North\"").unwrap();
        let south = read("id = \"south\"\nname = \"North\"").unwrap();
        let known_by = |brand: &Brand| [brand.folder(), brand.installed_as(), brand.app_id(), brand.scheme()];
        let all = [Brand::petit(), north, south].map(|brand| known_by(&brand));
        for (one, other) in [(0, 1), (0, 2), (1, 2)] {
            assert!(all[one].iter().zip(&all[other]).all(|(one, other)| one != other), "{all:?}");
        }
        assert_eq!(all[0], [".petit", "Petit", "dev.petit.desktop", "petit"]);
        assert_eq!(all[1], [".petit-north", "Petit-north", "dev.petit.desktop.north", "petit-north"]);
    }

    #[test]
    fn a_colour_is_one_that_white_letters_can_be_read_on() {
        let colour = |text: &str| read(&format!("id = \"north\"\nname = \"North\"\ncolour = \"{text}\""));
        assert_eq!(colour("#0A6B4F").unwrap().colour(), Some("#0a6b4f"));
        assert_eq!(colour("#767676").unwrap().colour(), Some("#767676"), "as grey as it may be (WCAG)");
        assert_eq!(read("id = \"north\"\nname = \"North\"").unwrap().colour(), None);
        for (bad, why) in [
            ("#777777", "contrast is 4.5, and has to be 4.5"),
            ("#ffcc00", "take a darker one"),
            ("green", "#rrggbb"),
            ("#0a6b4", "#rrggbb"),
            ("0a6b4f0", "#rrggbb"),
        ] {
            let error = colour(bad).unwrap_err();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }

    #[test]
    fn it_is_said_beside_the_program_and_in_an_app_among_its_resources() {
        let said = |program: &str| file_of(Path::new(program));
        assert_eq!(said("/opt/north/petit"), Path::new("/opt/north/brand.toml"));
        let app = "/Applications/North.app/Contents";
        assert_eq!(said(&format!("{app}/MacOS/petit")), Path::new(app).join("Resources/brand.toml"));
    }

    #[test]
    fn a_file_says_what_its_users_read_and_whose_invites_are_taken() {
        let brand = read(
            "id = \"north\"\nname = \"North & Söhne\"\npublisher = \"North Ltd.\"\nserver = \"t.example.com\"",
        );
        let brand = brand.unwrap();
        assert_eq!((brand.name(), brand.publisher()), ("North & Söhne", "North Ltd."));
        assert_eq!(brand.server(), Some("t.example.com"));
        assert_eq!(brand.named("Petit's log: open Petit"), "North & Söhne's log: open North & Söhne");
        assert!(!brand.is_petit() && Brand::petit().is_petit());
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_with_its_place() {
        for (text, said) in [
            ("name = \"North\"", "id"),
            ("id = \"North\"\nname = \"North\"", "2 to 20 letters"),
            ("id = \"n\"\nname = \"North\"", "2 to 20 letters"),
            ("id = \"north\"\nname = \"a\\\\b\"", "letters, digits"),
            ("id = \"north\"\nname = \"$INSTDIR\"", "letters, digits"),
            ("id = \"north\"\nname = \"North.\"", "end in a dot"),
            ("id = \"north\"\nname = \"North\"\nserver = \"x:1\"", "without a port"),
            ("id = \"north\"\nname = \"North\"\ncolor = \"red\"", "color"),
            ("id = ", "brand.toml:1:"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(said) && error.contains("brand.toml:"), "{text}: {error}");
        }
    }
}
