//! `config show`: the settings of a config file, what is in force of them, and what a change of each takes.
//!
//! Which settings there are, and what puts a change in force, each program says itself; how the file and the running
//! program are compared, and how that is shown, is the same for both.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cli::Failure;
use crate::exit::ExitCode;

/// What is said of a setting stands from this column on.
const COLUMN: usize = 44;

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The file says so.
    File,
    /// The file says nothing.
    Default,
}

/// Where a setting's table stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TablePlace {
    /// Below the program's own.
    #[default]
    Below,
    /// Beside it.
    Beside,
}

impl TablePlace {
    fn is_below(&self) -> bool {
        *self == Self::Below
    }
}

/// A setting and its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SettingValue {
    /// Its table below the program's own; empty for that itself.
    pub table: String,
    /// Where that table stands.
    #[serde(default, skip_serializing_if = "TablePlace::is_below")]
    pub place: TablePlace,
    /// Which one of a list of tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// Its key.
    pub name: String,
    /// As the file would say it; null where nothing is set, and the system or nobody decides.
    pub value: Value,
}

impl SettingValue {
    /// A setting of the program's own table, or of one below it.
    pub fn new(table: &str, name: &str, value: Value) -> Self {
        let (table, name) = (table.to_owned(), name.to_owned());
        Self { table, place: TablePlace::Below, entry: None, name, value }
    }

    /// The same, in a table beside the program's own.
    #[must_use]
    pub fn beside(self) -> Self {
        Self { place: TablePlace::Beside, ..self }
    }

    /// The same, in an entry of a list of tables beside the program's own.
    #[must_use]
    pub fn of_entry_beside(self, entry: &str) -> Self {
        self.of_entry(entry).beside()
    }

    /// The same, in an entry of a list of tables.
    #[must_use]
    pub fn of_entry(self, entry: &str) -> Self {
        Self { entry: Some(entry.to_owned()), ..self }
    }

    fn is_same_setting(&self, other: &Self) -> bool {
        (&self.table, &self.entry, &self.name) == (&other.table, &other.entry, &other.name)
    }

    /// As the file would say it.
    fn line(&self) -> String {
        let Self { name, value, .. } = self;
        match value {
            Value::Null => format!("# {name} ="),
            value => format!("{name} = {value}"),
        }
    }

    /// The head of its table.
    fn head(&self, program: &str) -> String {
        match (self.table.as_str(), &self.entry) {
            ("", _) => format!("[{program}]"),
            (table, Some(_)) if self.place == TablePlace::Beside => format!("[[{table}]]"),
            (table, None) if self.place == TablePlace::Beside => format!("[{table}]"),
            (table, None) => format!("[{program}.{table}]"),
            (table, Some(_)) => format!("[[{program}.{table}]]"),
        }
    }
}

/// A setting as the file has it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setting<T> {
    #[serde(flatten)]
    pub said: SettingValue,
    /// Where that comes from.
    pub origin: Origin,
    /// What puts a change in force.
    pub takes: T,
}

/// What a running program answers to the question for its settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SettingsInForce {
    /// Why the file is not in force, when it has a mistake.
    pub problem: Option<String>,
    pub settings: Vec<SettingValue>,
}

/// What is in force.
#[derive(Clone, Debug, PartialEq)]
pub enum InForce {
    /// Nothing: the program does not run.
    Nothing,
    /// What the running program says.
    Known(SettingsInForce),
    /// It runs and did not say it.
    Unknown(Failure),
}

impl InForce {
    /// What a running program has answered; `None` where none runs.
    pub fn of(answer: Result<Option<SettingsInForce>, Failure>) -> Self {
        match answer {
            Ok(Some(settings)) => Self::Known(settings),
            Ok(None) => Self::Nothing,
            Err(failure) => Self::Unknown(failure),
        }
    }
}

/// A setting of the file beside what is in force.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShownSetting<T> {
    #[serde(flatten)]
    pub setting: Setting<T>,
    /// The value in force; left out where that is not known, or nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_force: Option<Value>,
    /// What has to happen for the file's value to be in force; null where it is, or where it is not known.
    pub waits_for: Option<T>,
}

/// All settings of a file beside those in force.
#[derive(Clone, Debug, PartialEq)]
pub struct ShownSettings<T> {
    pub settings: Vec<ShownSetting<T>>,
    /// In force, and not in the file any more.
    pub gone: Vec<SettingValue>,
    in_force: InForce,
}

/// The words in which settings are shown.
pub trait Words<T> {
    /// The program does not run.
    fn not_running(&self) -> String;

    /// The running program does not use the file, and why.
    fn problem(&self, why: &str) -> String;

    /// It is not known what is in force.
    fn unknown(&self) -> String;

    /// Where a value comes from.
    fn origin(&self, origin: Origin) -> String;

    /// What a change takes.
    fn takes(&self, takes: T) -> String;

    /// What the file's value waits for.
    fn waits_for(&self, takes: T) -> String;

    /// The value in force where it is another one.
    fn in_force(&self, value: &Value) -> String;

    /// A setting in force that is not in the file any more.
    fn gone(&self, setting: &str) -> String;
}

impl<T: Copy> ShownSettings<T> {
    /// Compares the settings of a file with those in force.
    pub fn new(file: Vec<Setting<T>>, in_force: InForce) -> Self {
        let InForce::Known(known) = &in_force else {
            let shown = |setting| ShownSetting { setting, in_force: None, waits_for: None };
            return Self { settings: file.into_iter().map(shown).collect(), gone: Vec::new(), in_force };
        };
        let is_gone = |one: &&SettingValue| !file.iter().any(|setting| setting.said.is_same_setting(one));
        let gone = known.settings.iter().filter(is_gone).cloned().collect();
        let shown = |setting: Setting<T>| {
            let found = known.settings.iter().find(|one| setting.said.is_same_setting(one));
            let value = found.map(|found| found.value.clone()).unwrap_or_default();
            let waits_for = (value != setting.said.value).then_some(setting.takes);
            ShownSetting { setting, in_force: Some(value), waits_for }
        };
        Self { settings: file.into_iter().map(shown).collect(), gone, in_force }
    }

    /// The values by their keys, tables within; without lists of tables.
    pub fn values(&self) -> Map<String, Value> {
        let mut values = Map::new();
        for SettingValue { table, entry, name, value, place: _ } in
            self.settings.iter().map(|one| &one.setting.said)
        {
            let place = match (table.as_str(), entry) {
                ("", _) => &mut values,
                (_, Some(_)) => continue,
                (table, None) => match values.entry(table).or_insert_with(|| Value::Object(Map::new())) {
                    Value::Object(nested) => nested,
                    _ => continue,
                },
            };
            place.insert(name.clone(), value.clone());
        }
        values
    }

    /// Why it is not known what is in force.
    pub fn unknown(&self) -> Option<&Failure> {
        match &self.in_force {
            InForce::Unknown(failure) => Some(failure),
            InForce::Nothing | InForce::Known(_) => None,
        }
    }

    /// Whether the program runs; `None` when that is not known.
    pub fn is_running(&self) -> Option<bool> {
        match self.in_force {
            InForce::Nothing => Some(false),
            InForce::Known(_) => Some(true),
            InForce::Unknown(_) => None,
        }
    }

    /// How a command that has shown them ends: it fails where it is not known what is in force. With `--json` the failure
    /// stands in what it has shown.
    ///
    /// # Errors
    /// Why that is not known.
    pub fn outcome(&self, json: bool) -> Result<ExitCode, Failure> {
        match self.unknown() {
            None => Ok(ExitCode::Ok),
            Some(failure) if json => Ok(failure.exit),
            Some(failure) => Err(failure.clone()),
        }
    }

    /// As a config file would say it, with what is known of each setting behind it. `program` is the name of the
    /// program's table.
    pub fn text(&self, path: &Path, program: &str, words: &impl Words<T>) -> String {
        let mut out = format!("# {}\n", path.display());
        match &self.in_force {
            InForce::Nothing => out.push_str(&format!("# {}\n", words.not_running())),
            InForce::Unknown(_) => out.push_str(&format!("# {}\n", words.unknown())),
            InForce::Known(SettingsInForce { problem: Some(problem), .. }) => {
                out.push_str(&format!("# {}\n", words.problem(problem)));
            }
            InForce::Known(SettingsInForce { problem: None, .. }) => {}
        }
        let mut before: Option<&SettingValue> = None;
        for shown in &self.settings {
            let said = &shown.setting.said;
            if before.is_none_or(|one| (&one.table, &one.entry) != (&said.table, &said.entry)) {
                let gap = if before.is_some() { "\n" } else { "" };
                out.push_str(&format!("{gap}{}\n", said.head(program)));
            }
            before = Some(said);
            shown.write(words, &mut out);
        }
        for one in &self.gone {
            let setting = format!("{} {}", one.head(program), one.line());
            out.push_str(&format!("\n# {}\n", words.gone(&setting)));
        }
        out
    }
}

impl<T: Copy> ShownSetting<T> {
    fn write(&self, words: &impl Words<T>, out: &mut String) {
        let Self { setting: Setting { said, origin, takes }, in_force, waits_for } = self;
        let change = waits_for.map_or_else(|| words.takes(*takes), |takes| words.waits_for(takes));
        let line = said.line();
        out.push_str(&format!("{line:<COLUMN$} # {}; {change}\n", words.origin(*origin)));
        if let (Some(value), Some(_)) = (in_force, waits_for) {
            out.push_str(&format!("#   {}\n", words.in_force(value)));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Serialize)]
    struct Restart;

    struct English;

    impl Words<Restart> for English {
        fn not_running(&self) -> String {
            "not running".to_owned()
        }

        fn problem(&self, why: &str) -> String {
            format!("not used: {why}")
        }

        fn unknown(&self) -> String {
            "unknown".to_owned()
        }

        fn origin(&self, origin: Origin) -> String {
            format!("{origin:?}")
        }

        fn takes(&self, takes: Restart) -> String {
            format!("{takes:?}")
        }

        fn waits_for(&self, takes: Restart) -> String {
            format!("waits for {takes:?}")
        }

        fn in_force(&self, value: &Value) -> String {
            format!("now {value}")
        }

        fn gone(&self, setting: &str) -> String {
            format!("gone {setting}")
        }
    }

    fn file() -> Vec<Setting<Restart>> {
        let settings = [
            SettingValue::new("", "level", json!("info")),
            SettingValue::new("", "name", Value::Null),
            SettingValue::new("vitae", "brand", json!("ce")),
            SettingValue::new("service", "port", json!(1)).of_entry("a"),
            SettingValue::new("service", "port", json!(2)).of_entry("b"),
        ];
        settings.map(|said| Setting { said, origin: Origin::File, takes: Restart }).to_vec()
    }

    fn text(in_force: InForce) -> String {
        ShownSettings::new(file(), in_force).text(Path::new("/c.toml"), "client", &English)
    }

    #[test]
    fn what_the_file_says_is_shown_beside_what_is_in_force() {
        let settings = vec![
            SettingValue::new("", "level", json!("debug")),
            SettingValue::new("", "name", Value::Null),
            SettingValue::new("vitae", "region", json!("eu")),
            SettingValue::new("service", "port", json!(1)).of_entry("a"),
            SettingValue::new("service", "port", json!(1)).of_entry("b"),
        ];
        let said = text(InForce::Known(SettingsInForce { problem: None, settings }));
        let line = |said: &str, rest: &str| format!("{said:<COLUMN$} # {rest}");
        let expected = [
            "# /c.toml".to_owned(),
            "[client]".to_owned(),
            line("level = \"info\"", "File; waits for Restart"),
            "#   now \"debug\"".to_owned(),
            line("# name =", "File; Restart"),
            String::new(),
            "[client.vitae]".to_owned(),
            line("brand = \"ce\"", "File; waits for Restart"),
            "#   now null".to_owned(),
            String::new(),
            "[[client.service]]".to_owned(),
            line("port = 1", "File; Restart"),
            String::new(),
            "[[client.service]]".to_owned(),
            line("port = 2", "File; waits for Restart"),
            "#   now 1".to_owned(),
            String::new(),
            "# gone [client.vitae] region = \"eu\"".to_owned(),
        ];
        assert_eq!(said.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn where_nothing_is_in_force_or_nobody_says_what_is_nothing_waits() {
        let failure = Failure::new(ExitCode::Failed, "deaf");
        for (in_force, said, is_running) in [
            (InForce::Nothing, "# not running\n", Some(false)),
            (InForce::Unknown(failure), "# unknown\n", None),
        ] {
            let shown = ShownSettings::new(file(), in_force.clone());
            assert_eq!(shown.is_running(), is_running);
            assert_eq!(shown.unknown().is_some(), is_running.is_none());
            assert!(shown.settings.iter().all(|one| one.in_force.is_none() && one.waits_for.is_none()));
            let text = text(in_force);
            assert!(text.starts_with(&format!("# /c.toml\n{said}")) && !text.contains("waits"), "{text}");
        }
        let problem = Some("line 3".to_owned());
        let said = text(InForce::Known(SettingsInForce { problem, settings: Vec::new() }));
        assert!(said.starts_with("# /c.toml\n# not used: line 3\n"), "{said}");
    }

    #[test]
    fn values_are_found_by_their_keys() {
        let values = ShownSettings::new(file(), InForce::Nothing).values();
        assert_eq!(
            Value::Object(values),
            json!({ "level": "info", "name": null, "vitae": { "brand": "ce" } })
        );
    }
}
