//! What Windows shows of a program before it runs: version, name and icon, in the files that are installed.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The resources of a program: what windres reads from the file.
fn resources(program: &Path) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let read = dir.path().join("program.res");
    let mut windres = Command::new("x86_64-w64-mingw32-windres");
    let status = windres.args(["-J", "coff", "-O", "res"]).arg(program).arg(&read).status().unwrap();
    assert!(status.success(), "{}: {status}", program.display());
    std::fs::read(read).unwrap()
}

fn holds(resources: &[u8], wanted: &[u8]) -> bool {
    resources.windows(wanted.len()).any(|window| window == wanted)
}

/// A value of the version's strings ("VERSIONINFO", Win32): its name, zeros up to a multiple of four bytes, and the text.
fn says(resources: &[u8], name: &str, text: &str) -> bool {
    let wide = |text: &str| text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    [0, 2].iter().any(|padding| holds(resources, &[wide(name), vec![0; *padding], wide(text)].concat()))
}

/// The pictures of an icon file ("Icons", Win32).
fn pictures(icon: &Path) -> Vec<Vec<u8>> {
    let file = std::fs::read(icon).unwrap();
    let number = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    let count = usize::from(u16::from_le_bytes(file[4..6].try_into().unwrap()));
    (0..count)
        .map(|picture| 6 + 16 * picture)
        .map(|at| file[number(at + 12)..][..number(at + 8)].to_vec())
        .collect()
}

#[test]
fn an_installed_program_has_version_name_and_icon_and_a_vendors_tray_has_the_vendors() {
    let setups = PathBuf::from(
        std::env::var_os("PETIT_WINDOWS_SETUPS").expect("run this by `cargo xtask test windows`"),
    );
    let programs = PathBuf::from(std::env::var_os("PETIT_WINDOWS_PROGRAMS").unwrap());
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let petit = pictures(&source.join("../icons/rendered/petit.ico"));
    let nordlicht = pictures(&source.join("windows/nordlicht.ico"));
    let of = |id: &str, program: &str| setups.join(id).join("payload").join(program);
    for (program, company, name, description, icon, other) in [
        (of("Petit", "petit.exe"), "Petit", "Petit", "Petit", &petit, &nordlicht),
        (of("Petit", "petit-client.exe"), "Petit", "Petit", "Petit client", &petit, &nordlicht),
        (programs.join("petit-server.exe"), "Petit", "Petit", "Petit server", &petit, &nordlicht),
        (
            of("Petit-nordlicht", "petit.exe"),
            "Nordlicht GmbH",
            "Nordlicht Connect",
            "Nordlicht Connect",
            &nordlicht,
            &petit,
        ),
    ] {
        let resources = resources(&program);
        let program = program.display();
        for (key, text) in [
            ("CompanyName", company),
            ("ProductName", name),
            ("FileDescription", description),
            ("FileVersion", env!("CARGO_PKG_VERSION")),
            ("ProductVersion", env!("CARGO_PKG_VERSION")),
        ] {
            assert!(says(&resources, key, text), "{program}: {key} is not {text}");
        }
        assert!(icon.iter().all(|picture| holds(&resources, picture)), "{program}: its icon");
        assert!(!other.iter().any(|picture| holds(&resources, picture)), "{program}: another one's icon");
    }
}
