//! Tells the program when it was built, in seconds since 1970 (<https://reproducible-builds.org/specs/source-date-epoch/>).

use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let time = std::env::var("SOURCE_DATE_EPOCH").unwrap_or_else(|_| now.to_string());
    println!("cargo::rustc-env=BUILD_TIME={time}");
}
