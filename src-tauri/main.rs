//! `imgn-desktop`, the program: starts the window and says on standard error why it could not.

use std::process::ExitCode;

fn main() -> ExitCode {
    imgn_desktop::main()
}
