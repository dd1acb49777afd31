//! Black-box tests of the built programs: what a user, a foreign client or an attacker can see and do.
//!
//! Nothing here links imgn's own code but the testkit; the programs are started from where they were built
//! (`cargo xtask test` builds them and says where).
//!
//! Invariant: each test has its own directory, ports and processes, so that all may run at once.

#![cfg(test)]

mod api;
mod away;
mod axe;
mod backup;
mod command_line;
mod container;
mod crash;
mod desktop;
mod doctor;
mod driver;
mod endurance;
mod hostile;
mod interrupted;
mod keyring;
mod openapi;
mod operations;
mod other_clients;
mod packages;
mod photographs;
mod secrets;
mod serverless;
mod several_servers;
mod small_disk;
mod store;
mod terminal;
mod thumbnails;
mod traces;
mod upright;
mod web_page;
