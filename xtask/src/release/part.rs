//! The parts of a release.

/// What a release is made of: each part is built by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Programs and packages for a machine like this one.
    Linux,
    /// Those for arm64, of a cross compiler.
    LinuxArm64,
    Windows,
    Images,
}

impl Part {
    pub(super) const ALL: [Self; 4] = [Self::Linux, Self::LinuxArm64, Self::Windows, Self::Images];

    /// What it is asked for by.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::LinuxArm64 => "linux-arm64",
            Self::Windows => "windows",
            Self::Images => "images",
        }
    }
}
