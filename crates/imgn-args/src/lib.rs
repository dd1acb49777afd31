//! What a variable of the environment says in place of a flag, the same for all of imgn's programs: an empty one says nothing,
//! as a line `IMGN_X=` of a service's file of variables means it, and yes and no may be said as people say them.
//!
//! Not here: which flags and variables there are. Invariant: the command line itself is read as clap reads it.

use std::ffi::OsString;

use clap::{ArgAction, Command, Parser, builder::BoolishValueParser};

/// Reads this process's arguments and environment; where they are wrong, says so and ends it.
#[must_use]
pub fn parse<T: Parser>() -> T {
    parse_from(std::env::args_os()).unwrap_or_else(|error| error.exit())
}

/// Reads arguments, of which the first is the program's name, and this process's environment.
///
/// # Errors
/// Says what is wrong with them, or has the help that was asked for.
pub fn parse_from<T: Parser>(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<T, clap::Error> {
    let mut command = lenient(T::command());
    let mut matches = command.try_get_matches_from_mut(arguments)?;
    T::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// The same command, with variables read as the module says.
fn lenient(command: Command) -> Command {
    command
        .mut_args(|argument| {
            let variable = argument.get_env().and_then(std::env::var_os);
            match (variable, argument.get_action()) {
                (Some(value), _) if value.is_empty() => argument.env(None),
                (Some(_), ArgAction::SetTrue) => argument.value_parser(BoolishValueParser::new()),
                _ => argument,
            }
        })
        .mut_subcommands(lenient)
}
