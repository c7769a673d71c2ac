//! Names the choice of transport once: `own_transport` on Linux, unless the feature `upstream-tiny-http` asks for the crate.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(own_transport)");
    println!("cargo::rerun-if-changed=build.rs");
    let linux = std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux");
    if linux && std::env::var_os("CARGO_FEATURE_UPSTREAM_TINY_HTTP").is_none() {
        println!("cargo::rustc-cfg=own_transport");
    }
}
