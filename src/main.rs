//! The program `healthcare-backend`. `program.rs` has its commands.

use std::process::ExitCode;

fn main() -> ExitCode {
    healthcare_backend::run(std::env::args_os().skip(1).collect())
}
