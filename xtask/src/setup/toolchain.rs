//! The programs and libraries that the build calls: Rust, a C++ compiler, libclang.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::console::progress;
use crate::workspace::{cargo_program, must_succeed};

/// The oldest compiler that builds the workspace: `rust-version` in Cargo.toml.
const RUST_MINIMUM: (u32, u32) = (1, 95);

/// Something outside Rust that the build needs.
struct Need {
    name: &'static str,
    why: &'static str,
    debian_package: &'static str,
    is_there: fn() -> bool,
}

const NEEDS: [Need; 4] = [
    Need {
        name: "a C++ compiler",
        why: "to compile RocksDB",
        debian_package: "g++",
        is_there: cxx_compiler_is_there,
    },
    Need {
        name: "libclang",
        why: "to generate the bindings to RocksDB",
        debian_package: "libclang-dev",
        is_there: libclang_is_there,
    },
    Need {
        name: "setsid",
        why: "to start the nodes of a local cluster in sessions of their own",
        debian_package: "util-linux",
        is_there: setsid_is_there,
    },
    Need {
        name: "setpriv",
        why: "to start nodes that end with the program that hurts them",
        debian_package: "util-linux",
        is_there: setpriv_is_there,
    },
];

/// Checks all; installs what is missing where that needs no question (root on Debian).
pub(super) fn ensure() -> Result<()> {
    let rustc = version_line("rustc", &["--version"])?;
    check_rust(&rustc)?;
    for (component, arguments) in [("rustfmt", ["fmt", "--version"]), ("clippy", ["clippy", "-V"])]
    {
        let found = Command::new(cargo_program()).args(arguments).output();
        if !found.is_ok_and(|output| output.status.success()) {
            bail!("{component} is missing; run `rustup component add {component}`");
        }
    }
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !(need.is_there)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !(is_root() && find_program("apt-get").is_some()) {
        bail!("{}", request(&missing));
    }
    install(&missing)?;
    let missing: Vec<&Need> = missing.into_iter().filter(|need| !(need.is_there)()).collect();
    if !missing.is_empty() {
        bail!("{}", request(&missing));
    }
    Ok(())
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn install(missing: &[&Need]) -> Result<()> {
    let packages = missing.iter().map(|need| need.debian_package);
    let mut install = Command::new("apt-get");
    install.args(["install", "--yes", "--no-install-recommends"]).args(packages);
    install.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    progress(&format!("installing {}", names(missing)));
    if must_succeed(&mut install).is_ok() {
        return Ok(());
    }
    // A machine that has never fetched its package lists cannot find the package.
    must_succeed(Command::new("apt-get").arg("update").stdin(Stdio::null()))?;
    must_succeed(&mut install)
}

fn names(needs: &[&Need]) -> String {
    needs.iter().map(|need| need.name).collect::<Vec<_>>().join(", ")
}

fn request(missing: &[&Need]) -> String {
    let reasons: Vec<String> =
        missing.iter().map(|need| format!("{} is missing ({})", need.name, need.why)).collect();
    let packages: Vec<&str> = missing.iter().map(|need| need.debian_package).collect();
    format!(
        "{}; on Debian or Ubuntu run `sudo apt-get install -y {}`, elsewhere install the same by \
         its own name, and set LIBCLANG_PATH if libclang is in an unusual place",
        reasons.join("; "),
        packages.join(" ")
    )
}

fn check_rust(version_line: &str) -> Result<()> {
    let version = parse_rust_version(version_line)
        .with_context(|| format!("rustc gives no version: {version_line:?}"))?;
    if version < RUST_MINIMUM {
        bail!(
            "rustc {}.{} is too old, {}.{} or newer is needed; run `rustup update stable`",
            version.0,
            version.1,
            RUST_MINIMUM.0,
            RUST_MINIMUM.1
        );
    }
    Ok(())
}

/// `rustc 1.95.0 (59807616e 2026-04-14)` is `(1, 95)`.
fn parse_rust_version(line: &str) -> Option<(u32, u32)> {
    let mut numbers = line.strip_prefix("rustc ")?.split(['.', '-', ' ']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn version_line(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("{program} is missing: install Rust from https://rustup.rs"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn cxx_compiler_is_there() -> bool {
    match env::var_os("CXX") {
        Some(chosen) => find_program(&chosen.to_string_lossy()).is_some(),
        None => ["c++", "g++", "clang++"].iter().any(|name| find_program(name).is_some()),
    }
}

fn setsid_is_there() -> bool {
    find_program("setsid").is_some()
}

fn setpriv_is_there() -> bool {
    find_program("setpriv").is_some()
}

fn libclang_is_there() -> bool {
    let chosen = env::var_os("LIBCLANG_PATH").map(PathBuf::from);
    let mut places: Vec<PathBuf> = chosen.into_iter().collect();
    let usual = ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/opt/homebrew/opt/llvm/lib"];
    places.extend(usual.map(PathBuf::from));
    places.push(PathBuf::from(format!("/usr/lib/{}-linux-gnu", env::consts::ARCH)));
    places.extend(llvm_directories(Path::new("/usr/lib")));
    places.iter().any(|place| has_libclang(place))
}

/// `/usr/lib/llvm-14/lib` and its like, where Debian puts each version.
fn llvm_directories(beneath: &Path) -> Vec<PathBuf> {
    let Ok(entries) = beneath.read_dir() else { return Vec::new() };
    let names = entries.flatten().filter(|e| e.file_name().to_string_lossy().starts_with("llvm"));
    names.map(|entry| entry.path().join("lib")).collect()
}

/// Whether a place is, or holds, the shared library that bindgen loads.
fn has_libclang(place: &Path) -> bool {
    let is_libclang = |name: &str| {
        let rest = name.strip_prefix("libclang");
        rest.is_some_and(|rest| rest.starts_with(".so") || rest.starts_with(".dylib"))
            || name.strip_prefix("libclang-").is_some_and(|rest| {
                rest.starts_with(|c: char| c.is_ascii_digit()) && rest.contains(".so")
            })
    };
    if place.is_file() {
        return place.file_name().is_some_and(|name| is_libclang(&name.to_string_lossy()));
    }
    let Ok(entries) = place.read_dir() else { return false };
    entries.flatten().any(|entry| is_libclang(&entry.file_name().to_string_lossy()))
}

/// The file that a program's name stands for: a path as it is, a bare name by `PATH`.
fn find_program(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|path| path.is_file());
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{NEEDS, check_rust, has_libclang, llvm_directories, request};

    #[test]
    fn an_old_compiler_is_refused_with_the_command_that_renews_it() {
        assert!(check_rust("rustc 1.95.0 (59807616e 2026-04-14)").is_ok());
        assert!(check_rust("rustc 1.100.0-nightly (59807616e 2026-04-14)").is_ok());
        let error = check_rust("rustc 1.94.1 (aaaa 2026-03-01)").unwrap_err().to_string();
        assert_eq!(
            error,
            "rustc 1.94 is too old, 1.95 or newer is needed; run `rustup update stable`"
        );
        assert!(check_rust("gcc 12").unwrap_err().to_string().contains("no version"));
    }

    #[test]
    fn the_oldest_compiler_is_the_one_that_the_workspace_names() {
        let manifest = include_str!("../../../Cargo.toml");
        let (major, minor) = super::RUST_MINIMUM;
        assert!(manifest.contains(&format!("rust-version = \"{major}.{minor}\"")));
    }

    #[test]
    fn what_is_missing_is_named_with_the_exact_command() {
        let text = request(&[&NEEDS[1]]);
        assert!(text.contains("libclang is missing (to generate the bindings to RocksDB)"));
        assert!(text.contains("`sudo apt-get install -y libclang-dev`"));
    }

    #[test]
    fn libclang_is_recognised_by_the_names_that_distributions_give_it() {
        let lib = tempfile::tempdir().unwrap();
        assert!(!has_libclang(lib.path()));
        fs::write(lib.path().join("libclang-cpp.so.14"), "").unwrap();
        fs::write(lib.path().join("libclangAST.a"), "").unwrap();
        assert!(!has_libclang(lib.path()), "clang's other libraries do not help bindgen");
        let versioned = lib.path().join("libclang-14.so.1");
        fs::write(&versioned, "").unwrap();
        assert!(has_libclang(lib.path()));
        assert!(has_libclang(&versioned), "LIBCLANG_PATH may name the file itself");
    }

    #[test]
    fn each_version_of_llvm_is_looked_into() {
        let usr = tempfile::tempdir().unwrap();
        fs::create_dir_all(usr.path().join("llvm-14/lib")).unwrap();
        fs::create_dir_all(usr.path().join("python3")).unwrap();
        assert_eq!(llvm_directories(usr.path()), [usr.path().join("llvm-14/lib")]);
    }
}
