//! Build script of client and server: what Windows shows of a program that has no window (name, version, icon), and the
//! sentences of its entries in the event log. For other systems it does nothing.
//!
//! windres compiles it, which comes with the one toolchain that links here. The tray app's are made by tauri-build.

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::{env, fs, io};

type Outcome = Result<(), Box<dyn Error>>;

/// The sentences of the event log are whole as they come (`petit_windows::event_log`), under these numbers.
const EVENTS: std::ops::RangeInclusive<u32> = 1..=3;

fn main() -> Outcome {
    // `file!()` begins at the workspace and cargo at the package: what it does not find there is built anew each time.
    let this = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../packaging/windows/resources.rs");
    println!("cargo::rerun-if-changed={}", this.display());
    if env::var("CARGO_CFG_TARGET_OS")? != "windows" {
        return Ok(());
    }
    if env::var("CARGO_CFG_TARGET_ENV")? != "gnu" {
        println!(
            "cargo::warning=windres is not of this toolchain: the program has no icon, and no version to be seen"
        );
        return Ok(());
    }
    let out = env::var("OUT_DIR")?;
    let out = Path::new(&out);
    let icon = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../icons/rendered/petit.ico");
    println!("cargo::rerun-if-changed={}", icon.display());
    fs::copy(&icon, out.join("petit.ico"))?;
    fs::write(out.join("events.bin"), messages())?;
    fs::write(out.join("program.rc"), script()?)?;
    // Of the compiler's own name, where it is one that compiles for another system.
    let tools = ["x86_64-w64-mingw32-windres", "windres"];
    let compiled = tools.iter().find_map(|tool| {
        let mut command = Command::new(tool);
        command.current_dir(out).args(["program.rc", "-O", "coff", "-o", "program.o"]);
        match command.status() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            done => Some(done),
        }
    });
    match compiled {
        Some(Ok(status)) if status.success() => {}
        Some(done) => return Err(format!("windres: {done:?}").into()),
        None => return Err("there is no windres; Debian has it in binutils-mingw-w64-x86-64".into()),
    }
    println!("cargo::rustc-link-arg-bins={}", out.join("program.o").display());
    Ok(())
}

/// The resources ("Resource-Definition Statements", Win32). What the task manager calls the program is its description.
fn script() -> Result<String, env::VarError> {
    let (package, version) = (env::var("CARGO_PKG_NAME")?, env::var("CARGO_PKG_VERSION")?);
    let part = |name: &str| env::var(format!("CARGO_PKG_VERSION_{name}"));
    let numbers = format!("{},{},{},0", part("MAJOR")?, part("MINOR")?, part("PATCH")?);
    let description = package.replace("petit-", "Petit ");
    let strings = [
        ("CompanyName", "Petit"),
        ("FileDescription", &description),
        ("FileVersion", &version),
        ("InternalName", &package),
        ("LegalCopyright", "MIT OR Apache-2.0"),
        ("OriginalFilename", &format!("{package}.exe")),
        ("ProductName", "Petit"),
        ("ProductVersion", &version),
    ];
    let strings: String =
        strings.iter().map(|(name, text)| format!("VALUE \"{name}\", \"{text}\\0\"\n")).collect();
    // 0x4b0: the strings are UTF-16 (1200), and of no language.
    Ok(format!(
        "1 ICON \"petit.ico\"\n1 11 \"events.bin\"\n1 VERSIONINFO\nFILEVERSION {numbers}\nPRODUCTVERSION {numbers}\n\
         FILEOS 0x40004\nFILETYPE 1\nBEGIN\nBLOCK \"StringFileInfo\"\nBEGIN\nBLOCK \"000004b0\"\nBEGIN\n{strings}END\nEND\n\
         BLOCK \"VarFileInfo\"\nBEGIN\nVALUE \"Translation\", 0, 0x4b0\nEND\nEND\n"
    ))
}

/// A table of messages (MESSAGE_RESOURCE_DATA), each of which is the text that it is given.
fn messages() -> Vec<u8> {
    const UTF_16: u16 = 1;
    let text: Vec<u8> = "%1\r\n\0\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let length = 4 + text.len() as u16;
    let head = [1, *EVENTS.start(), *EVENTS.end(), 16];
    let mut table: Vec<u8> = head.iter().flat_map(|number: &u32| number.to_le_bytes()).collect();
    for _ in EVENTS {
        table.extend([length, UTF_16].iter().flat_map(|number| number.to_le_bytes()));
        table.extend(&text);
    }
    table
}
