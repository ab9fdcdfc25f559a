//! Every integration test, in one binary: each further one would link everything again.

mod account_data;
mod accounts;
mod api_table;
mod config_example;
mod delayed;
mod doctor;
mod e2ee;
mod http;
mod http2;
mod layers;
mod limits;
mod limits_table;
mod media;
mod monitor;
mod notices;
mod people;
mod previews;
mod profiles;
mod push;
mod rooms;
mod search;
mod server;
mod server_keys;
mod sliding;
mod suite;
mod sync;
