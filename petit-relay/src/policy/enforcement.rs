//! Whether what a policy asks for is in force.

/// Whether a policy is in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Enforcement {
    /// Who does not keep it is refused.
    #[default]
    Enforce,
    /// Nobody is refused; who would be is counted and logged.
    CountOnly,
}
