//! What is wrong with a file, as a value.

/// What is wrong, for whoever has words of their own for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not TOML.
    Syntax,
    /// A key that there is not.
    UnknownKey {
        /// As it is written.
        key: String,
        /// The table that it is in; empty for the file itself.
        place: String,
        /// A key that there is, with a name like it.
        nearest: Option<&'static str>,
    },
    /// A key that has to be there is not.
    Missing {
        /// Its name.
        key: String,
        /// The table that it should be in, as it is written, such as `[[client.service]]`, or by its name where it has no
        /// heading; empty for the file itself.
        place: String,
    },
    /// A value that does not fit.
    Value,
}
