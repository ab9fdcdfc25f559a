//! Push over HTTP: rules, what is unread, threads that are followed, who is online.

mod cold;
mod delivery;
mod gateway;
mod notifications;
mod openid;
mod presence;
mod rules;
mod threads;
mod unread;
