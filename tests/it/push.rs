//! Push over HTTP: rules, what is unread, threads that are followed.

mod cold;
mod delivery;
mod gateway;
mod rules;
mod threads;
mod unread;
