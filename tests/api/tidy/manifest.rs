//! Cargo.toml: every dependency has its reason and builds with the declared Rust version, and what it names is there.

use std::process::Command;

use serde_json::Value;

use super::{read, root};

/// A value at the head of Cargo.toml.
fn declared(key: &str) -> String {
    let manifest = read("Cargo.toml");
    let line = manifest.lines().find_map(|line| line.strip_prefix(&format!("{key} = \"")));
    line.and_then(|line| line.split('"').next()).unwrap_or_else(|| panic!("Cargo.toml has no {key}")).to_string()
}

#[test]
fn what_the_manifest_names_is_said_and_there() {
    for licence in declared("license").split(" OR ") {
        let file = format!("LICENSE-{}", licence.split('-').next().expect("a name").to_ascii_uppercase());
        assert!(read(&file).len() > 1000 && read("README.md").contains(&format!("({file})")), "{file}");
    }
    let needed = format!("Rust {} or later, a C compiler and `make`", declared("rust-version"));
    assert!(read("README.md").contains(&needed), "README.md does not say: {needed}");
    assert!(read("CHANGELOG.md").contains(&declared("version")), "CHANGELOG.md does not name the version");
}

#[test]
fn every_dependency_has_its_reason_beside_it() {
    let manifest = read("Cargo.toml");
    let mut in_dependencies = false;
    let mut count = 0;
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line.contains("dependencies]");
        } else if in_dependencies && line.contains(" = ") && !line.starts_with('#') {
            count += 1;
            assert!(line.contains(" # "), "Cargo.toml: {line}");
        }
    }
    assert!(count > 15);
}

/// `1.89` and `1.89.0` as numbers.
fn rust_version(text: &str) -> (u32, u32) {
    let mut numbers = text.split('.').map(|part| part.parse().expect("a number"));
    (numbers.next().expect("a major version"), numbers.next().expect("a minor version"))
}

#[test]
fn no_dependency_asks_for_a_newer_rust_than_the_manifest_declares() {
    // For this machine's platform only: the crates of others need not have been fetched.
    let rustc = Command::new("rustc").arg("-vV").output().expect("rustc");
    let about = String::from_utf8(rustc.stdout).expect("text");
    let platform = about.lines().find_map(|line| line.strip_prefix("host: ")).expect("a platform");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root()).args(["metadata", "--locked", "--offline", "--format-version=1", "--filter-platform"]);
    let output = cargo.arg(platform).output().expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    assert!(packages.len() > 50);
    let ours = declared("rust-version");
    for package in packages {
        if let Some(theirs) = package["rust_version"].as_str() {
            let (name, version) = (&package["name"], &package["version"]);
            assert!(
                rust_version(theirs) <= rust_version(&ours),
                "{name} {version} asks for Rust {theirs}, we for {ours}"
            );
        }
    }
}
