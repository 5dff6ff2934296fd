//! Which of Debian's packages a program needs for the libraries that it is linked with.

use std::path::Path;
use std::process::Command;

/// The C library in the version that the programs ask for at least, and the compiler's own.
pub(super) fn of(programs: &[&Path]) -> Result<Vec<String>, String> {
    let mut version = (0, 0);
    let mut needs_gcc = false;
    for program in programs {
        let said = readelf(program)?;
        needs_gcc |= said.contains("[libgcc_s.so.1]");
        version = version.max(glibc(&said).ok_or_else(|| format!("{} names no glibc", program.display()))?);
    }
    let mut needs = vec![format!("libc6 (>= {}.{})", version.0, version.1)];
    if needs_gcc {
        needs.push("libgcc-s1".to_owned());
    }
    Ok(needs)
}

fn readelf(program: &Path) -> Result<String, String> {
    let output = Command::new("readelf").arg("-dVW").arg(program).output();
    let output = output.map_err(|error| format!("cannot run readelf: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The newest version of glibc that is asked for.
fn glibc(said: &str) -> Option<(u32, u32)> {
    let versions = said.split("Name: GLIBC_").skip(1).filter_map(|rest| {
        let text = rest.split_whitespace().next()?;
        let mut parts = text.split('.').map(str::parse);
        Some((parts.next()?.ok()?, parts.next()?.ok()?))
    });
    versions.max()
}

#[cfg(test)]
mod tests {
    use super::glibc;

    #[test]
    fn the_newest_version_is_found_by_its_numbers() {
        let said = "  0x0010:   Name: GLIBC_2.4  Flags: none\n  0x0020:   Name: GLIBC_2.34  Flags: none\n  \
                    0x0030:   Name: GLIBC_2.2.5  Flags: none\n  0x0040:   Name: GCC_4.2.0  Flags: none\n";
        assert_eq!(glibc(said), Some((2, 34)));
        assert_eq!(glibc("nothing"), None);
    }
}
